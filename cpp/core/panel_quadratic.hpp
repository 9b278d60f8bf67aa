// G = P'T[rows, rows] P of one leading level: T dense and symmetric, its lower triangle stored, P (rows, s).
//
//   T[rows, rows]:   j |  T_jj          G = sum_j  P_j'T_jj P_j + P_j'D_j + D_j'P_j,     D_j = sum_{i > j} T_ij' P_i
//                    i |  T_ij  ...
//
// T is read once where it lies and nothing is copied: one look-up for each pair of nodes.
#pragma once

#include "core/types.hpp"

namespace henderson {

// Whether there is a kernel for s effects of the level and nodes of so many rows.
[[nodiscard]] constexpr bool has_panel_quadratic(Index s, Index node_size) {
  return s >= 1 && s <= 4 && node_size >= 1 && node_size <= 4;
}

// packed: triangle_size(s), column-major lower triangle of G. `panel` is column-major with `count` rows; every node has
// `node_size` consecutive rows.
void panel_quadratic(const double* t, Index q, const Code* rows, const double* panel, Index count, Index s,
                     Index node_size, double* packed);

}  // namespace henderson
