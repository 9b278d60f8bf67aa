#include "core/node_blocks.hpp"

namespace henderson {

namespace {

using Panel = Eigen::Map<Matrix>;
using ConstPanel = Eigen::Map<const Matrix>;

// A run of nodes of one group that follow each other in a panel.
struct Run {
  Index row = 0;    // first row in the panel
  Index nodes = 0;
  Index effects = 0;
  std::size_t group = 0;
  Index first_node = 0;  // number among the panel's nodes
};

void find_runs(const EliminationPlan& plan, const Supernode& node, std::vector<Run>& runs) {
  runs.clear();
  Index row = 0;
  for (Index k = 0; k < node.nodes_count; ++k) {
    const Code rank = plan.trailing.panel_nodes[static_cast<std::size_t>(node.nodes_begin + k)];
    const auto group = static_cast<std::size_t>(plan.group_of_rank[static_cast<std::size_t>(rank)]);
    const bool breaks = k == node.nodes_cols;  // the diagonal block ends
    if (runs.empty() || breaks || runs.back().group != group)
      runs.push_back({row, 0, plan.groups[group].effects, group, k});
    ++runs.back().nodes;
    row += plan.groups[group].effects;
  }
}

Matrix oriented(const Matrix& lambda, Side side) { return side == Side::plain ? lambda : Matrix(lambda.transpose()); }

// Calls visit(run, node within the run, first row) for the nodes that are columns of the supernode.
template <class Visit>
void for_each_column_node(const std::vector<Run>& runs, Index cols, Visit&& visit) {
  for (const Run& run : runs) {
    if (run.row >= cols) return;
    for (Index k = 0; k < run.nodes; ++k) visit(run, run.row + k * run.effects);
  }
}

}  // namespace

void mirror_nodes(const EliminationPlan& plan, double* values) {
  std::vector<Run> runs;
  for (const Supernode& node : plan.trailing.supernodes) {
    Panel panel(values + node.values_begin, node.stride(), node.cols);
    find_runs(plan, node, runs);
    for_each_column_node(runs, node.cols, [&](const Run& run, Index row) {
      for (Index j = 1; j < run.effects; ++j)
        for (Index i = 0; i < j; ++i) panel(row + i, row + j) = panel(row + j, row + i);
    });
  }
}

void transform_nodes(const EliminationPlan& plan, const std::vector<Matrix>& lambda, Side side, const double* from, double* to) {
  std::vector<Matrix> p;
  for (const Matrix& each : lambda) p.push_back(oriented(each, side));
  std::vector<Run> runs;
  for (const Supernode& node : plan.trailing.supernodes) {
    const ConstPanel source(from + node.values_begin, node.stride(), node.cols);
    Panel target(to + node.values_begin, node.stride(), node.cols);
    find_runs(plan, node, runs);
    for_each_column_node(runs, node.cols, [&](const Run& run, Index col) {
      const Index below = node.stride() - col;
      if (run.effects == 1) target.col(col).tail(below) = source.col(col).tail(below) * p[run.group](0, 0);
      else target.block(col, col, below, run.effects) = (source.block(col, col, below, run.effects) * p[run.group].transpose()).eval();
    });
    for (const Run& run : runs) {
      if (run.effects == 1) {
        const double scale = p[run.group](0, 0);
        for (Index c = 0; c < std::min(node.cols, run.row + run.nodes); ++c) {
          const Index skip = std::max(Index{0}, c - run.row);
          target.col(c).segment(run.row + skip, run.nodes - skip) *= scale;
        }
        continue;
      }
      for (Index k = 0; k < run.nodes; ++k) {
        const Index row = run.row + k * run.effects;
        auto block = target.block(row, 0, run.effects, std::min(node.cols, row + run.effects));
        block = (p[run.group] * block).eval();
      }
    }
  }
}

void multiply_nodes(const EliminationPlan& plan, const std::vector<Matrix>& lambda, Side side, Matrix& x) {
  Index row = 0;
  for (const Code group : plan.group_of_rank) {
    const Matrix& own = lambda[static_cast<std::size_t>(group)];
    const Index s = own.rows();
    if (s == 1) x.row(row) *= own(0, 0);
    else if (side == Side::plain) x.middleRows(row, s) = (own * x.middleRows(row, s)).eval();
    else x.middleRows(row, s) = (own.transpose() * x.middleRows(row, s)).eval();
    row += s;
  }
}

void sum_diagonal_products(const EliminationPlan& plan, const std::vector<Matrix>& lambda, const double* k, const double* inverse,
                           std::vector<Matrix>& sums) {
  sums.resize(lambda.size());
  for (std::size_t g = 0; g < lambda.size(); ++g) sums[g].setZero(lambda[g].rows(), lambda[g].cols());
  std::vector<Run> runs;
  for (const Supernode& node : plan.trailing.supernodes) {
    const ConstPanel k_panel(k + node.values_begin, node.stride(), node.cols);
    const ConstPanel i_panel(inverse + node.values_begin, node.stride(), node.cols);
    find_runs(plan, node, runs);
    for_each_column_node(runs, node.cols, [&](const Run& column, Index col) {
      const Matrix& lambda_l = lambda[column.group];
      const auto k_cols = k_panel.middleCols(col, column.effects);
      const auto i_cols = i_panel.middleCols(col, column.effects);
      sums[column.group] += k_cols.middleRows(col, column.effects) * lambda_l * i_cols.middleRows(col, column.effects);
      for (const Run& run : runs) {
        const Index begin = std::max(run.row, col + column.effects);
        const Index end = run.row + run.nodes * run.effects;
        if (begin >= end) continue;
        if (run.effects == 1 && column.effects == 1) {
          const double product = k_cols.col(0).segment(begin, end - begin).dot(i_cols.col(0).segment(begin, end - begin));
          sums[run.group](0, 0) += product * lambda_l(0, 0);
          sums[column.group](0, 0) += product * lambda[run.group](0, 0);
          continue;
        }
        for (Index row = begin; row < end; row += run.effects) {
          const auto k_block = k_cols.middleRows(row, run.effects);
          const auto i_block = i_cols.middleRows(row, run.effects);
          sums[run.group] += k_block * lambda_l * i_block.transpose();
          sums[column.group] += k_block.transpose() * lambda[run.group] * i_block;
        }
      }
    });
  }
}

void add_identity(const SupernodalLayout& layout, double* values) {
  for (const Supernode& node : layout.supernodes)
    Panel(values + node.values_begin, node.stride(), node.cols).diagonal().array() += 1.0;
}

Matrix symmetric_times(const SupernodalLayout& layout, const double* values, const Matrix& x) {
  Matrix out = Matrix::Zero(x.rows(), x.cols());
  Matrix far, down;
  for (const Supernode& node : layout.supernodes) {
    const ConstPanel panel(values + node.values_begin, node.stride(), node.cols);
    const auto own = x.middleRows(node.first, node.cols);
    out.middleRows(node.first, node.cols).noalias() += panel.topRows(node.cols).selfadjointView<Eigen::Lower>() * own;
    if (node.rows_count == 0) continue;
    const Code* rows = layout.rows.data() + node.rows_begin;
    far.resize(node.rows_count, x.cols());
    for (Index i = 0; i < node.rows_count; ++i) far.row(i) = x.row(rows[i]);
    out.middleRows(node.first, node.cols).noalias() += panel.bottomRows(node.rows_count).transpose() * far;
    down.noalias() = panel.bottomRows(node.rows_count) * own;
    for (Index i = 0; i < node.rows_count; ++i) out.row(rows[i]) += down.row(i);
  }
  return out;
}

}  // namespace henderson
