// The posterior covariance of the random effects times many vectors, in the user's coordinates.
//
//   H = Lam (Lam'Z'WZ Lam + I)^-1 Lam'       Var(b | y) = sigma^2 H given beta;       V^-1 R = W R - W Z H Z'W R
//
// By blocks, W_j = lam (l l')^-1 lam' of a leading level (leading_block.hpp), a_j its coupling, S of the trailing
// block:
//   y_2 = Lam_2 S^-1 Lam_2' (r_2 - sum_j a_j W_j r_j)         y_j = W_j (r_j - a_j'y_2)
// Right-hand sides travel in blocks of a fixed width, side by side for each scalar, so that every step is a product of
// matrices and the bits do not depend on the number of threads.
#pragma once

#include "core/blocked_cholesky.hpp"

namespace henderson {

// out (q, m) = H rhs; rows term after term, level after level, the effects of a level side by side.
void solve_random(const CrossProducts& a, const BlockedCholesky& cholesky, const Eigen::Ref<const Matrix>& rhs,
                  Eigen::Ref<Matrix> out, ThreadPool& pool);

}  // namespace henderson
