// The residual variance that is left within the levels of the leading factor, as if its effects were fixed.
#pragma once

#include "core/cross_products.hpp"

namespace henderson {

// r'r less what the columns of Z_1 explain level by level, and then Q, over its degrees of freedom; 0 where these are
// few or nothing but rounding is left.
[[nodiscard]] double within_level_variance(const CrossProducts& a);

}  // namespace henderson
