#include "core/node_blocks.hpp"

#include <algorithm>

namespace henderson {

namespace {

using Panel = Eigen::Map<Matrix>;
using ConstPanel = Eigen::Map<const Matrix>;

void append_runs(const EliminationPlan& plan, const Supernode& node, std::vector<NodeRun>& runs) {
  Index row = 0;
  const std::size_t first = runs.size();
  for (Index k = 0; k < node.nodes_count; ++k) {
    const Code rank = plan.trailing.panel_nodes[static_cast<std::size_t>(node.nodes_begin + k)];
    const auto group = static_cast<std::size_t>(plan.group_of_rank[static_cast<std::size_t>(rank)]);
    const bool breaks = k == node.nodes_cols;  // the diagonal block ends
    if (runs.size() == first || breaks || runs.back().group != group)
      runs.push_back({row, 0, plan.groups[group].effects, group});
    ++runs.back().nodes;
    row += plan.groups[group].effects;
  }
}

std::span<const NodeRun> runs_of(const NodeWork& work, std::size_t supernode) {
  return {work.runs.data() + work.start[supernode],
          static_cast<std::size_t>(work.start[supernode + 1] - work.start[supernode])};
}

// Calls visit(run, node within the run, first row) for the nodes that are columns of the supernode.
template <class Visit>
void for_each_column_node(std::span<const NodeRun> runs, Index cols, Visit&& visit) {
  for (const NodeRun& run : runs) {
    if (run.row >= cols) return;
    for (Index k = 0; k < run.nodes; ++k) visit(run, run.row + k * run.effects);
  }
}

// The products of a run of nodes j with one column node l, for few effects: sum_j k_jl[a, b] inverse_jl[c, d] are
// strided dot products, shared by both sums.
template <class Columns>
void add_strided(const Columns& k_cols, const Columns& i_cols, Index begin, Index nodes, Index s,
                 const Matrix& lambda_l, const Matrix& lambda_j, Matrix& sum_j, Matrix& sum_l) {
  using Strided = Eigen::Map<const Vector, 0, Eigen::InnerStride<>>;
  for (Index b = 0; b < k_cols.cols(); ++b)
    for (Index d = 0; d < k_cols.cols(); ++d)
      for (Index a = 0; a < s; ++a)
        for (Index c = 0; c < s; ++c) {
          const double product = Strided(&k_cols.coeffRef(begin + a, b), nodes, Eigen::InnerStride<>(s))
                                     .dot(Strided(&i_cols.coeffRef(begin + c, d), nodes, Eigen::InnerStride<>(s)));
          sum_j(a, c) += product * lambda_l(b, d);
          sum_l(b, d) += product * lambda_j(a, c);
        }
}

}  // namespace

NodeWork make_node_work(const EliminationPlan& plan, Index columns) {
  NodeWork work;
  Index tallest = 0, widest = 0, effects = 1;
  for (const Supernode& node : plan.trailing.supernodes) {
    work.start.push_back(static_cast<Index>(work.runs.size()));
    append_runs(plan, node, work.runs);
    tallest = std::max(tallest, node.stride());
    widest = std::max(widest, node.cols);
  }
  work.start.push_back(static_cast<Index>(work.runs.size()));
  for (std::size_t g = 1; g < plan.groups.size(); ++g) effects = std::max(effects, plan.groups[g].effects);
  work.tall.resize(effects > 1 ? tallest : 0, effects);
  work.wide.resize(effects, std::max(widest, columns));
  work.square.resize(effects, effects);
  return work;
}

void mirror_nodes(const EliminationPlan& plan, const NodeWork& work, double* values) {
  for (std::size_t k = 0; k < plan.trailing.supernodes.size(); ++k) {
    const Supernode& node = plan.trailing.supernodes[k];
    Panel panel(values + node.values_begin, node.stride(), node.cols);
    for_each_column_node(runs_of(work, k), node.cols, [&](const NodeRun& run, Index row) {
      for (Index j = 1; j < run.effects; ++j)
        for (Index i = 0; i < j; ++i) panel(row + i, row + j) = panel(row + j, row + i);
    });
  }
}

void transform_nodes(const EliminationPlan& plan, const std::vector<Matrix>& lambda, Side side, const double* from,
                     double* to, NodeWork& work) {
  for (std::size_t k = 0; k < plan.trailing.supernodes.size(); ++k) {
    const Supernode& node = plan.trailing.supernodes[k];
    const ConstPanel source(from + node.values_begin, node.stride(), node.cols);
    Panel target(to + node.values_begin, node.stride(), node.cols);
    for_each_column_node(runs_of(work, k), node.cols, [&](const NodeRun& run, Index col) {
      const Index below = node.stride() - col;
      if (run.effects == 1) {
        target.col(col).tail(below) = source.col(col).tail(below) * lambda[run.group](0, 0);
        return;
      }
      auto block = work.tall.topLeftCorner(below, run.effects);
      if (side == Side::plain)
        block.noalias() = source.block(col, col, below, run.effects) * lambda[run.group].transpose();
      else
        block.noalias() = source.block(col, col, below, run.effects) * lambda[run.group];
      target.block(col, col, below, run.effects) = block;
    });
    for (const NodeRun& run : runs_of(work, k)) {
      if (run.effects == 1) {
        const double scale = lambda[run.group](0, 0);
        for (Index c = 0; c < std::min(node.cols, run.row + run.nodes); ++c) {
          const Index skip = std::max(Index{0}, c - run.row);
          target.col(c).segment(run.row + skip, run.nodes - skip) *= scale;
        }
        continue;
      }
      for (Index each = 0; each < run.nodes; ++each) {
        const Index row = run.row + each * run.effects;
        const Index cols = std::min(node.cols, row + run.effects);
        auto block = work.wide.topLeftCorner(run.effects, cols);
        if (side == Side::plain)
          block.noalias() = lambda[run.group] * target.block(row, 0, run.effects, cols);
        else
          block.noalias() = lambda[run.group].transpose() * target.block(row, 0, run.effects, cols);
        target.block(row, 0, run.effects, cols) = block;
      }
    }
  }
}

void multiply_nodes(const EliminationPlan& plan, const std::vector<Matrix>& lambda, Side side, Eigen::Ref<Matrix> x,
                    NodeWork& work) {
  Index row = 0;
  if (work.wide.cols() < x.cols()) work.wide.resize(work.wide.rows(), x.cols());
  for (const Code group : plan.group_of_rank) {
    const Matrix& own = lambda[static_cast<std::size_t>(group)];
    const Index s = own.rows();
    auto product = work.wide.topLeftCorner(s, x.cols());
    if (s == 1)
      product = own(0, 0) * x.row(row);
    else if (side == Side::plain)
      product.noalias() = own * x.middleRows(row, s);
    else
      product.noalias() = own.transpose() * x.middleRows(row, s);
    x.middleRows(row, s) = product;
    row += s;
  }
}

void sum_diagonal_products(const EliminationPlan& plan, const std::vector<Matrix>& lambda, const double* k,
                           const double* inverse, std::vector<Matrix>& sums, NodeWork& work) {
  sums.resize(lambda.size());
  for (std::size_t g = 0; g < lambda.size(); ++g) sums[g].setZero(lambda[g].rows(), lambda[g].cols());
  // sums[group] += left middle right
  const auto add = [&](std::size_t group, const auto& left, const Matrix& middle, const auto& right) {
    auto product = work.square.topLeftCorner(left.rows(), middle.cols());
    product.noalias() = left.lazyProduct(middle);
    sums[group] += product.lazyProduct(right);
  };
  for (std::size_t at = 0; at < plan.trailing.supernodes.size(); ++at) {
    const Supernode& node = plan.trailing.supernodes[at];
    const ConstPanel k_panel(k + node.values_begin, node.stride(), node.cols);
    const ConstPanel i_panel(inverse + node.values_begin, node.stride(), node.cols);
    for_each_column_node(runs_of(work, at), node.cols, [&](const NodeRun& column, Index col) {
      const Matrix& lambda_l = lambda[column.group];
      const auto k_cols = k_panel.middleCols(col, column.effects);
      const auto i_cols = i_panel.middleCols(col, column.effects);
      add(column.group, k_cols.middleRows(col, column.effects), lambda_l, i_cols.middleRows(col, column.effects));
      for (const NodeRun& run : runs_of(work, at)) {
        const Index begin = std::max(run.row, col + column.effects);
        const Index end = run.row + run.nodes * run.effects;
        if (begin >= end) continue;
        if (run.effects == 1 && column.effects == 1) {
          const double product =
              k_cols.col(0).segment(begin, end - begin).dot(i_cols.col(0).segment(begin, end - begin));
          sums[run.group](0, 0) += product * lambda_l(0, 0);
          sums[column.group](0, 0) += product * lambda[run.group](0, 0);
          continue;
        }
        if (run.effects <= 2 && column.effects <= 2) {
          add_strided(k_cols, i_cols, begin, (end - begin) / run.effects, run.effects, lambda_l, lambda[run.group],
                      sums[run.group], sums[column.group]);
          continue;
        }
        for (Index row = begin; row < end; row += run.effects) {
          const auto k_block = k_cols.middleRows(row, run.effects);
          const auto i_block = i_cols.middleRows(row, run.effects);
          add(run.group, k_block, lambda_l, i_block.transpose());
          add(column.group, k_block.transpose(), lambda[run.group], i_block);
        }
      }
    });
  }
}

void add_identity(const SupernodalLayout& layout, double* values) {
  for (const Supernode& node : layout.supernodes)
    Panel(values + node.values_begin, node.stride(), node.cols).diagonal().array() += 1.0;
}

void symmetric_times(const SupernodalLayout& layout, const double* values, const Eigen::Ref<const Matrix>& x,
                     Eigen::Ref<Matrix> out) {
  out.setZero();
  for (const Supernode& node : layout.supernodes) {
    const ConstPanel panel(values + node.values_begin, node.stride(), node.cols);
    const auto own = x.middleRows(node.first, node.cols);
    out.middleRows(node.first, node.cols).noalias() += panel.topRows(node.cols).selfadjointView<Eigen::Lower>() * own;
    const Code* rows = layout.rows.data() + node.rows_begin;
    for (Index c = 0; c < x.cols(); ++c)
      for (Index k = 0; k < node.cols; ++k) {
        const double* down = panel.data() + k * node.stride() + node.cols;
        const double value = own(k, c);
        double sum = 0;
        for (Index i = 0; i < node.rows_count; ++i) {
          out(rows[i], c) += down[i] * value;
          sum += down[i] * x(rows[i], c);
        }
        out(node.first + k, c) += sum;
      }
  }
}

}  // namespace henderson
