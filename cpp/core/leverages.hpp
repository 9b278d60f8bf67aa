// The leverage of every row given the fixed effects, from the inverse on the pattern of the factor.
//
//   h_i = w_i z_i' H z_i,    H = Lam M^-1 Lam'      (random_solve.hpp)
//
// A row has one level of every factor, so only the blocks of H between levels that meet are needed. With T = H_22, a_j
// the coupling of leading level j and W_j its own lam (l l')^-1 lam':
//   H_2j = -T a_j W_j          H_jj = W_j + W_j a_j'T a_j W_j
#pragma once

#include "core/blocked_cholesky.hpp"

namespace henderson {

// (n,) at the factor of `cholesky`; `data` is the design that A was built from.
[[nodiscard]] Vector random_leverages(const CrossProducts& a, BlockedCholesky& cholesky, const ModelData& data,
                                      ThreadPool& pool);

}  // namespace henderson
