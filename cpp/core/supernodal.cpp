#include "core/supernodal.hpp"

#include <algorithm>
#include <cmath>

#include "core/dense_kernels.hpp"

namespace henderson {

namespace {

const Supernode& supernode_with(const SupernodalLayout& layout, Index col) {
  return layout.supernodes[static_cast<std::size_t>(layout.supernode_of[static_cast<std::size_t>(col)])];
}

std::span<const Code> rows_of(const SupernodalLayout& layout, const Supernode& node) {
  return {layout.rows.data() + node.rows_begin, static_cast<std::size_t>(node.rows_count)};
}

// Row of a scalar index within the panel of a supernode, which holds it.
Index panel_row(const SupernodalLayout& layout, const Supernode& node, Index row) {
  if (row < node.first + node.cols) return row - node.first;
  const auto rows = rows_of(layout, node);
  return node.cols + (std::lower_bound(rows.begin(), rows.end(), static_cast<Code>(row)) - rows.begin());
}

// Visits the lower triangle of [rows, rows] one column at a time: visit(column index, panel column, panel row of each i >= column).
template <class Visit>
void for_each_column(const SupernodalLayout& layout, std::span<const Code> rows, Visit&& visit) {
  if (layout.is_dense()) {
    for (std::size_t j = 0; j < rows.size(); ++j)
      visit(j, static_cast<Index>(rows[j]) * layout.size, [&](std::size_t i) { return static_cast<Index>(rows[i]); });
    return;
  }
  std::vector<Index> place(rows.size());
  const Supernode* current = nullptr;
  for (std::size_t j = 0; j < rows.size(); ++j) {
    const Supernode& node = supernode_with(layout, rows[j]);
    if (&node != current) {
      current = &node;
      for (std::size_t i = j; i < rows.size(); ++i) place[i] = panel_row(layout, node, rows[i]);
    }
    visit(j, node.values_begin + (rows[j] - node.first) * node.stride(), [&](std::size_t i) { return place[i]; });
  }
}

Block panel_of(const Supernode& node, double* values) {
  return Eigen::Map<Matrix, 0, Eigen::OuterStride<>>(values + node.values_begin, node.stride(), node.cols,
                                                     Eigen::OuterStride<>(node.stride()));
}

Eigen::Map<const Matrix> panel_of(const Supernode& node, const double* values) {
  return {values + node.values_begin, node.stride(), node.cols};
}

}  // namespace

Index entry_place(const SupernodalLayout& layout, Index row, Index col) {
  const Supernode& node = supernode_with(layout, col);
  return node.values_begin + (col - node.first) * node.stride() + panel_row(layout, node, row);
}

void subtract_at(const SupernodalLayout& layout, std::span<const Code> rows, const Eigen::Ref<const Matrix>& update, double* values) {
  for_each_column(layout, rows, [&](std::size_t j, Index column, auto&& row) {
    const double* from = update.data() + static_cast<Index>(j) * update.outerStride();
    for (std::size_t i = j; i < rows.size(); ++i) values[column + row(i)] -= from[i];
  });
}

void gather_at(const SupernodalLayout& layout, std::span<const Code> rows, const double* values, Eigen::Ref<Matrix> out) {
  for_each_column(layout, rows, [&](std::size_t j, Index column, auto&& row) {
    for (std::size_t i = j; i < rows.size(); ++i) {
      const double value = values[column + row(i)];
      out(static_cast<Index>(i), static_cast<Index>(j)) = value;
      out(static_cast<Index>(j), static_cast<Index>(i)) = value;
    }
  });
}

bool factor_in_place(const SupernodalLayout& layout, double* values, SupernodalWork& work, ThreadPool& pool) {
  for (const Supernode& node : layout.supernodes) {
    Block panel = panel_of(node, values);
    Block diagonal = panel.topRows(node.cols);
    if (node.cols == 1) {
      if (!(diagonal(0, 0) > 0) || !std::isfinite(diagonal(0, 0))) return false;
      diagonal(0, 0) = std::sqrt(diagonal(0, 0));
    } else if (!cholesky_in_place(diagonal, pool)) {
      return false;
    }
    if (node.rows_count == 0) continue;
    Block below = panel.bottomRows(node.rows_count);
    if (node.cols == 1) below /= diagonal(0, 0);
    else solve_right_transposed(diagonal, below, pool);
    work.update.resize(node.rows_count, node.rows_count);
    work.update.setZero();
    subtract_outer(below, work.update, pool);
    work.update *= -1.0;
    subtract_at(layout, rows_of(layout, node), work.update, values);
  }
  return true;
}

double log_det_of_factor(const SupernodalLayout& layout, const double* values) {
  double sum = 0;
  for (const Supernode& node : layout.supernodes) sum += panel_of(node, values).diagonal().array().log().sum();
  return 2 * sum;
}

void solve_lower(const SupernodalLayout& layout, const double* values, Eigen::Ref<Matrix> x) {
  for (const Supernode& node : layout.supernodes) {
    const auto panel = panel_of(node, values);
    auto own = x.middleRows(node.first, node.cols);
    panel.topRows(node.cols).triangularView<Eigen::Lower>().solveInPlace(own);
    const auto rows = rows_of(layout, node);
    for (Index c = 0; c < x.cols() && !rows.empty(); ++c) {
      const Vector down = panel.bottomRows(node.rows_count) * own.col(c);
      for (std::size_t i = 0; i < rows.size(); ++i) x(rows[i], c) -= down[static_cast<Index>(i)];
    }
  }
}

void solve_upper(const SupernodalLayout& layout, const double* values, Eigen::Ref<Matrix> x) {
  for (auto node = layout.supernodes.rbegin(); node != layout.supernodes.rend(); ++node) {
    const auto panel = panel_of(*node, values);
    auto own = x.middleRows(node->first, node->cols);
    const auto rows = rows_of(layout, *node);
    Vector above(node->rows_count);
    for (Index c = 0; c < x.cols() && !rows.empty(); ++c) {
      for (std::size_t i = 0; i < rows.size(); ++i) above[static_cast<Index>(i)] = x(rows[i], c);
      own.col(c).noalias() -= panel.bottomRows(node->rows_count).transpose() * above;
    }
    panel.topRows(node->cols).triangularView<Eigen::Lower>().transpose().solveInPlace(own);
  }
}

void invert_in_place(const SupernodalLayout& layout, double* values, SupernodalWork& work, ThreadPool& pool) {
  for (auto node = layout.supernodes.rbegin(); node != layout.supernodes.rend(); ++node) {
    Block panel = panel_of(*node, values);
    Block diagonal = panel.topRows(node->cols);
    if (node->rows_count == 0) {
      invert_from_cholesky(diagonal, pool);
      continue;
    }
    Block below = panel.bottomRows(node->rows_count);
    diagonal.triangularView<Eigen::Lower>().solveInPlace<Eigen::OnTheRight>(below);  // Y
    work.panel = below;
    work.update.resize(node->rows_count, node->rows_count);
    gather_at(layout, rows_of(layout, *node), values, work.update);
    below.noalias() = -(work.update * work.panel);
    invert_from_cholesky(diagonal, pool);
    diagonal.triangularView<Eigen::Lower>() -= work.panel.transpose() * below;
  }
}

}  // namespace henderson
