// Supernodal matrices seen by nodes: operations that multiply every s x s block by the relative factors of its factors.
// Blocks on the diagonal hold both triangles here.
#pragma once

#include <vector>

#include "core/elimination_plan.hpp"

namespace henderson {

enum class Side { plain, transposed };  // P = lam or P = lam'

// A run of nodes of one group that follow each other in a panel.
struct NodeRun {
  Index row = 0;  // first row in the panel
  Index nodes = 0;
  Index effects = 0;
  std::size_t group = 0;
};

// The columns of a panel that belong to one node.
struct ColumnNode {
  std::size_t supernode = 0;
  Index col = 0;  // first column in the panel
  std::size_t group = 0;
};

// Scratch of one task: columns of a node by rows of a node, and sums of its own.
struct NodeTask {
  Matrix tall, block, square;
  std::vector<Matrix> sums;
};

// Runs and column nodes of every supernode, found once, and the tasks that share them: fixed by the layout, so that
// sums do not depend on the number of threads.
struct NodeWork {
  std::vector<NodeRun> runs;
  std::vector<Index> start;  // per supernode: its first run
  std::vector<ColumnNode> columns;
  std::vector<Index> bounds;  // of the tasks, in columns
  std::vector<NodeTask> tasks;
  Matrix wide;
};

[[nodiscard]] NodeWork make_node_work(const EliminationPlan& plan, Index columns);

// Completes the diagonal blocks from their lower triangles.
void mirror_nodes(const EliminationPlan& plan, const NodeWork& work, double* values);
// to_ij = P_i from_ij P_j'; from and to may be the same
void transform_nodes(const EliminationPlan& plan, const std::vector<Matrix>& lambda, Side side, const double* from,
                     double* to, NodeWork& work, ThreadPool& pool);
// x_i := P_i x_i
void multiply_nodes(const EliminationPlan& plan, const std::vector<Matrix>& lambda, Side side, Eigen::Ref<Matrix> x,
                    NodeWork& work);
// sums[g] = sum over the nodes j of group g of sum_l k_jl lam_l inverse_lj
void sum_diagonal_products(const EliminationPlan& plan, const std::vector<Matrix>& lambda, const double* k,
                           const double* inverse, std::vector<Matrix>& sums, NodeWork& work, ThreadPool& pool);
void add_identity(const SupernodalLayout& layout, double* values);
// out := the symmetric matrix times x
void symmetric_times(const SupernodalLayout& layout, const double* values, const Eigen::Ref<const Matrix>& x,
                     Eigen::Ref<Matrix> out);

}  // namespace henderson
