#include "core/supernodal_rows.hpp"

namespace henderson {

namespace {

constexpr Index small_product = 4096;  // multiplications below which packing costs more than it saves

struct Panel {
  Eigen::Map<const Matrix, 0, Eigen::OuterStride<>> diagonal, below;
};

Panel panel_at(const Supernode& node, const double* values) {
  const double* from = values + node.values_begin;
  const Eigen::OuterStride<> stride(node.stride());
  return {{from, node.cols, node.cols, stride}, {from + node.cols, node.rows_count, node.cols, stride}};
}

std::span<const Code> rows_of(const SupernodalLayout& layout, const Supernode& node) {
  return {layout.rows.data() + node.rows_begin, static_cast<std::size_t>(node.rows_count)};
}

void at_least(Matrix& work, Index rows, Index cols) {
  if (work.rows() != rows || work.cols() < cols) work.resize(rows, std::max(cols, work.cols()));
}

}  // namespace

void solve_lower_rows(const SupernodalLayout& layout, const double* values, Matrix& x, Matrix& work) {
  for (const Supernode& node : layout.supernodes) {
    const Panel panel = panel_at(node, values);
    const auto rows = rows_of(layout, node);
    auto own = x.middleCols(node.first, node.cols);
    if (node.cols == 1) {
      own /= panel.diagonal(0, 0);
      for (std::size_t i = 0; i < rows.size(); ++i) x.col(rows[i]) -= panel.below(static_cast<Index>(i), 0) * own;
      continue;
    }
    panel.diagonal.triangularView<Eigen::Lower>().transpose().solveInPlace<Eigen::OnTheRight>(own);
    if (rows.empty()) continue;
    at_least(work, x.rows(), node.rows_count);
    auto update = work.leftCols(node.rows_count);
    if (own.size() * node.rows_count < small_product)
      update = own.lazyProduct(panel.below.transpose());
    else
      update.noalias() = own * panel.below.transpose();
    for (std::size_t i = 0; i < rows.size(); ++i) x.col(rows[i]) -= update.col(static_cast<Index>(i));
  }
}

void solve_upper_rows(const SupernodalLayout& layout, const double* values, Matrix& x, Matrix& work) {
  for (auto node = layout.supernodes.rbegin(); node != layout.supernodes.rend(); ++node) {
    const Panel panel = panel_at(*node, values);
    const auto rows = rows_of(layout, *node);
    auto own = x.middleCols(node->first, node->cols);
    if (node->cols == 1) {
      for (std::size_t i = 0; i < rows.size(); ++i) own -= panel.below(static_cast<Index>(i), 0) * x.col(rows[i]);
      own /= panel.diagonal(0, 0);
      continue;
    }
    if (!rows.empty()) {
      at_least(work, x.rows(), node->rows_count);
      auto far = work.leftCols(node->rows_count);
      for (std::size_t i = 0; i < rows.size(); ++i) far.col(static_cast<Index>(i)) = x.col(rows[i]);
      if (own.size() * node->rows_count < small_product)
        own -= far.lazyProduct(panel.below);
      else
        own.noalias() -= far * panel.below;
    }
    panel.diagonal.triangularView<Eigen::Lower>().solveInPlace<Eigen::OnTheRight>(own);
  }
}

}  // namespace henderson
