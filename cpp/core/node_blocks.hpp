// Supernodal matrices seen by nodes: operations that multiply every s x s block by the relative factors of its factors.
// Blocks on the diagonal hold both triangles here.
#pragma once

#include <vector>

#include "core/elimination_plan.hpp"

namespace henderson {

enum class Side { plain, transposed };  // P = lam or P = lam'

// Completes the diagonal blocks from their lower triangles.
void mirror_nodes(const EliminationPlan& plan, double* values);
// to_ij = P_i from_ij P_j'; from and to may be the same
void transform_nodes(const EliminationPlan& plan, const std::vector<Matrix>& lambda, Side side, const double* from, double* to);
// x_i := P_i x_i
void multiply_nodes(const EliminationPlan& plan, const std::vector<Matrix>& lambda, Side side, Matrix& x);
// sums[g] = sum over the nodes j of group g of sum_l k_jl lam_l inverse_lj
void sum_diagonal_products(const EliminationPlan& plan, const std::vector<Matrix>& lambda, const double* k, const double* inverse,
                           std::vector<Matrix>& sums);
void add_identity(const SupernodalLayout& layout, double* values);
// The symmetric matrix times x.
[[nodiscard]] Matrix symmetric_times(const SupernodalLayout& layout, const double* values, const Matrix& x);

}  // namespace henderson
