// Symmetric matrices stored by supernodes, and their Cholesky factor, solves and inverse in that storage.
//
//   columns of one supernode J share their row structure R_J:      first .. first + cols | R_J
//
//        [ diagonal block ]   cols x cols, lower triangle
//        [ rows R_J       ]   |R_J| x cols                        one column-major panel, leading dimension cols +
//        |R_J|
//
// A dense matrix is the case of one supernode with all the columns. The unit of structure is a node: the s effects of
// one level, whose rows and columns always stay together.
//   factor   for J ascending:   L_JJ = chol(S_JJ), Y = S_RJ L_JJ^-T,  S[R, R] -= Y Y'
//   inverse  for J descending:  Y = L_RJ L_JJ^-1,  S_RJ = -S[R, R] Y,  S_JJ = L_JJ^-T L_JJ^-1 - Y' S_RJ     (Takahashi)
#pragma once

#include <span>
#include <vector>

#include "core/dense_kernels.hpp"
#include "core/thread_pool.hpp"
#include "core/types.hpp"

namespace henderson {

// A graph on nodes: neighbours of node j are adjacent[start[j]] .. adjacent[start[j + 1] - 1], without j itself, in any
// order.
struct NodeGraph {
  std::vector<Index> start;
  std::vector<Code> adjacent;
};

struct Supernode {
  Index first = 0;       // first scalar column
  Index cols = 0;        // scalar columns
  Index rows_begin = 0;  // its R_J in SupernodalLayout::rows
  Index rows_count = 0;
  Index values_begin = 0;  // its panel in the values
  Index nodes_begin = 0;   // node ranks of its columns, then of its rows, in SupernodalLayout::panel_nodes
  Index nodes_cols = 0;
  Index nodes_count = 0;
  [[nodiscard]] Index stride() const { return cols + rows_count; }
};

struct SupernodalLayout {
  std::vector<Code> rank;          // original node -> place in elimination order
  std::vector<Index> node_offset;  // (nodes + 1) by rank: first scalar index of a node
  std::vector<Supernode> supernodes;
  std::vector<Code> rows;  // scalar row indices
  std::vector<Code> panel_nodes;
  std::vector<Code> supernode_of;  // scalar column -> supernode
  Index size = 0;                  // scalar order q
  Index values = 0;                // doubles of storage
  double flops = 0;                // of one factorisation
  [[nodiscard]] bool is_dense() const { return supernodes.size() == 1; }
};

[[nodiscard]] SupernodalLayout dense_layout(const std::vector<Index>& node_sizes);
[[nodiscard]] SupernodalLayout dense_layout(const std::vector<Index>& node_sizes, std::vector<Code> rank);
[[nodiscard]] SupernodalLayout sparse_layout(const NodeGraph& graph, const std::vector<Index>& node_sizes);

// Where the entry (row, col), row >= col, of the matrix lies in the values.
[[nodiscard]] Index entry_place(const SupernodalLayout& layout, Index row, Index col);

// values[rows, rows] -= update, lower triangles; rows ascending. `places` is scratch, at least as long as rows.
void subtract_at(const SupernodalLayout& layout, std::span<const Code> rows, const ConstBlock& update, double* values,
                 std::span<Index> places);
// values[rows, rows_j] -= b b_j' for first <= j < last, lower triangle, with a panel b (rows, m).
void subtract_products(const SupernodalLayout& layout, std::span<const Code> rows, const double* b, Index m,
                       Index first, Index last, double* values);
// out = values[rows, rows], both triangles.
void gather_at(const SupernodalLayout& layout, std::span<const Code> rows, const double* values, Block out,
               std::span<Index> places);

struct SupernodalWork {
  Matrix update;  // (longest R_J)^2
  Matrix panel;   // longest R_J x widest supernode that has one
  std::vector<Index> places;
  DenseWork dense;
};

[[nodiscard]] SupernodalWork make_work(const SupernodalLayout& layout);

[[nodiscard]] bool factor_in_place(const SupernodalLayout& layout, double* values, SupernodalWork& work,
                                   ThreadPool& pool);
[[nodiscard]] double log_det_of_factor(const SupernodalLayout& layout, const double* values);  // log|L|^2
void solve_lower(const SupernodalLayout& layout, const double* values, Eigen::Ref<Matrix> x);  // x := L^-1 x
void solve_upper(const SupernodalLayout& layout, const double* values, Eigen::Ref<Matrix> x);  // x := L^-T x
// Replaces the factor by the inverse of the matrix, on the factor's pattern.
void invert_in_place(const SupernodalLayout& layout, double* values, SupernodalWork& work, ThreadPool& pool);

}  // namespace henderson
