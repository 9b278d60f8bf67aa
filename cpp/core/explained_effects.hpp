// Random effects that the fixed effects determine: all columns of Z for one effect lie in the span of X.
//
//   sum_j |(I - QQ'/n) z_ja|^2 = 0   =>   P Z_a = 0:   the restricted likelihood does not depend on the covariances of
//   a
//
// Its gradient in them is rounding error; the optimiser leaves them at zero. Only a factor with no more levels than X
// has columns can have such effects.
#pragma once

#include "core/cross_products.hpp"

namespace henderson {

// Per term, per effect: whether X determines it. Empty where no effect is.
[[nodiscard]] std::vector<std::vector<char>> explained_effects(const CrossProducts& a);

}  // namespace henderson
