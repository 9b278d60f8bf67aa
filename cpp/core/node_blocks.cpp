#include "core/node_blocks.hpp"

#include <algorithm>

namespace henderson {

namespace {

using Panel = Eigen::Map<Matrix>;
using ConstPanel = Eigen::Map<const Matrix>;

constexpr Index shared_from = 100000;  // values
constexpr Index shared_tasks = 32;

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

// Calls visit(column node, task) for every column node, tasks in parallel.
template <class Visit>
void for_each_task(NodeWork& work, ThreadPool& pool, Visit&& visit) {
  pool.run(static_cast<Index>(work.tasks.size()), [&](Index t) {
    for (Index c = work.bounds[static_cast<std::size_t>(t)]; c < work.bounds[static_cast<std::size_t>(t) + 1]; ++c)
      visit(work.columns[static_cast<std::size_t>(c)], work.tasks[static_cast<std::size_t>(t)]);
  });
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
  Index tallest = 0, effects = 1;
  for (std::size_t k = 0; k < plan.trailing.supernodes.size(); ++k) {
    const Supernode& node = plan.trailing.supernodes[k];
    work.start.push_back(static_cast<Index>(work.runs.size()));
    append_runs(plan, node, work.runs);
    for (std::size_t r = static_cast<std::size_t>(work.start.back()); r < work.runs.size(); ++r)
      for (Index each = 0; each < work.runs[r].nodes && work.runs[r].row < node.cols; ++each)
        work.columns.push_back({k, work.runs[r].row + each * work.runs[r].effects, work.runs[r].group});
    tallest = std::max(tallest, node.stride());
  }
  work.start.push_back(static_cast<Index>(work.runs.size()));
  for (std::size_t g = 1; g < plan.groups.size(); ++g) effects = std::max(effects, plan.groups[g].effects);
  const auto count = static_cast<Index>(work.columns.size());
  const Index tasks = plan.trailing.values < shared_from ? 1 : std::min(shared_tasks, count);
  for (Index t = 0; t <= tasks; ++t) work.bounds.push_back(count * t / tasks);
  for (Index t = 0; t < tasks; ++t)
    work.tasks.push_back(
        {Matrix(effects > 1 ? tallest : 0, effects), Matrix(effects, effects), Matrix(effects, effects), {}});
  work.wide.resize(effects, columns);
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
                     double* to, NodeWork& work, ThreadPool& pool) {
  for_each_task(work, pool, [&](const ColumnNode& column, NodeTask& task) {
    const Supernode& node = plan.trailing.supernodes[column.supernode];
    const Matrix& own = lambda[column.group];
    const Index s = own.rows();
    const Index below = node.stride() - column.col;
    const ConstPanel source(from + node.values_begin, node.stride(), node.cols);
    Panel target(to + node.values_begin, node.stride(), node.cols);
    auto block = target.block(column.col, column.col, below, s);
    if (s == 1) {
      block = source.block(column.col, column.col, below, 1) * own(0, 0);
    } else {
      auto product = task.tall.topLeftCorner(below, s);
      if (side == Side::plain)
        product.noalias() = source.block(column.col, column.col, below, s) * own.transpose();
      else
        product.noalias() = source.block(column.col, column.col, below, s) * own;
      block = product;
    }
    for (const NodeRun& run : runs_of(work, column.supernode)) {
      const Index begin = std::max(run.row, column.col);
      const Index end = run.row + run.nodes * run.effects;
      if (begin >= end) continue;
      const Matrix& left = lambda[run.group];
      if (run.effects == 1) {
        target.block(begin, column.col, end - begin, s) *= left(0, 0);
        continue;
      }
      auto small = task.block.topLeftCorner(run.effects, s);
      for (Index row = begin; row < end; row += run.effects) {
        auto rows = target.block(row, column.col, run.effects, s);
        if (side == Side::plain)
          small.noalias() = left.lazyProduct(rows);
        else
          small.noalias() = left.transpose().lazyProduct(rows);
        rows = small;
      }
    }
  });
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
                           const double* inverse, std::vector<Matrix>& sums, NodeWork& work, ThreadPool& pool) {
  for (NodeTask& task : work.tasks) {
    task.sums.resize(lambda.size());
    for (std::size_t g = 0; g < lambda.size(); ++g) task.sums[g].setZero(lambda[g].rows(), lambda[g].cols());
  }
  for_each_task(work, pool, [&](const ColumnNode& column, NodeTask& task) {
    const Supernode& node = plan.trailing.supernodes[column.supernode];
    const Matrix& lambda_l = lambda[column.group];
    const Index s = lambda_l.rows();
    const ConstPanel k_panel(k + node.values_begin, node.stride(), node.cols);
    const ConstPanel i_panel(inverse + node.values_begin, node.stride(), node.cols);
    const auto k_cols = k_panel.middleCols(column.col, s);
    const auto i_cols = i_panel.middleCols(column.col, s);
    // sums[group] += left middle right
    const auto add = [&](std::size_t group, const auto& left, const Matrix& middle, const auto& right) {
      auto product = task.square.topLeftCorner(left.rows(), middle.cols());
      product.noalias() = left.lazyProduct(middle);
      task.sums[group] += product.lazyProduct(right);
    };
    add(column.group, k_cols.middleRows(column.col, s), lambda_l, i_cols.middleRows(column.col, s));
    for (const NodeRun& run : runs_of(work, column.supernode)) {
      const Index begin = std::max(run.row, column.col + s);
      const Index end = run.row + run.nodes * run.effects;
      if (begin >= end) continue;
      if (run.effects == 1 && s == 1) {
        const double product = k_cols.col(0).segment(begin, end - begin).dot(i_cols.col(0).segment(begin, end - begin));
        task.sums[run.group](0, 0) += product * lambda_l(0, 0);
        task.sums[column.group](0, 0) += product * lambda[run.group](0, 0);
        continue;
      }
      if (run.effects <= 2 && s <= 2) {
        add_strided(k_cols, i_cols, begin, (end - begin) / run.effects, run.effects, lambda_l, lambda[run.group],
                    task.sums[run.group], task.sums[column.group]);
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
  sums.resize(lambda.size());
  for (std::size_t g = 0; g < lambda.size(); ++g) {
    sums[g].setZero(lambda[g].rows(), lambda[g].cols());
    for (const NodeTask& task : work.tasks) sums[g] += task.sums[g];
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
