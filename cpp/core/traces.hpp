// What a change of the covariance of one term does to log|V|, summed over its levels.
//
//   C_t = sum_j [Z'V^-1 Z]_jj = d log|V| / dPsi_t        V = Z Lam Lam'Z' + W^-1,   Psi_t = lam_t lam_t'
//
// Leading levels: C = N A - N G N' (leading_block.hpp). Trailing levels: C lam = [K Lam_2 S^-1]_jj at lam = U D, from
// its singular values, and C = (C lam) D^-1 U'. Column k of C lam is of the order of d_k and so is its error: C keeps
// its digits however small d_k is, and where Psi is singular a d_k stands in that is too small to change any.
#pragma once

#include "core/blocked_cholesky.hpp"

namespace henderson {

// Per term (s, s), in whitened coordinates; factors `cholesky` anew. Nothing where M is not positive definite.
[[nodiscard]] std::vector<Matrix> marginal_traces(const CrossProducts& a, BlockedCholesky& cholesky,
                                                  RelativeFactor factor, ThreadPool& pool);

}  // namespace henderson
