// The random effects at the factor of a BlockedCholesky, in whitened coordinates, all terms of a group side by side.
//
//   u = M^-1 Lam'Z'(y - X beta)        b = Lam u        Var(b_j | y) / sigma^2 = [Lam M^-1 Lam']_jj
#pragma once

#include <vector>

#include "core/blocked_cholesky.hpp"

namespace henderson {

struct StackedModes {
  Matrix b, u;  // (levels, s)
};

// Per group.
[[nodiscard]] std::vector<StackedModes> conditional_modes(const CrossProducts& a, BlockedCholesky& cholesky);
// Per group and level (s, s); beta and theta given.
[[nodiscard]] std::vector<std::vector<Matrix>> unscaled_variances(const CrossProducts& a, BlockedCholesky& cholesky);

}  // namespace henderson
