#include "core/supernodal.hpp"

#include <algorithm>
#include <cmath>

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

// Visits the lower triangle of [rows, rows] one column at a time, from `begin` to `end`: visit(column index, panel
// column, panel row of each i >= column).
template <class Visit>
void for_each_column(const SupernodalLayout& layout, std::span<const Code> rows, std::size_t begin, std::size_t end,
                     std::span<Index> place, Visit&& visit) {
  if (layout.is_dense()) {
    for (std::size_t j = begin; j < end; ++j)
      visit(j, static_cast<Index>(rows[j]) * layout.size, [&](std::size_t i) { return static_cast<Index>(rows[i]); });
    return;
  }
  const Supernode* current = nullptr;
  for (std::size_t j = begin; j < end; ++j) {
    const Supernode& node = supernode_with(layout, rows[j]);
    if (&node != current) {
      current = &node;
      for (std::size_t i = j; i < rows.size(); ++i) place[i] = panel_row(layout, node, rows[i]);
    }
    visit(j, node.values_begin + (rows[j] - node.first) * node.stride(), [&](std::size_t i) { return place[i]; });
  }
}

void subtract_columns(const SupernodalLayout& layout, std::span<const Code> rows, std::size_t begin, std::size_t end,
                      const ConstBlock& update, double* values, std::span<Index> places) {
  for_each_column(layout, rows, begin, end, places, [&](std::size_t j, Index column, auto&& row) {
    const double* from = update.data() + static_cast<Index>(j) * update.outerStride();
    for (std::size_t i = j; i < rows.size(); ++i) values[column + row(i)] -= from[i];
  });
}

void gather_columns(const SupernodalLayout& layout, std::span<const Code> rows, std::size_t begin, std::size_t end,
                    const double* values, Block out, std::span<Index> places) {
  for_each_column(layout, rows, begin, end, places, [&](std::size_t j, Index column, auto&& row) {
    for (std::size_t i = j; i < rows.size(); ++i) {
      const double value = values[column + row(i)];
      out(static_cast<Index>(i), static_cast<Index>(j)) = value;
      out(static_cast<Index>(j), static_cast<Index>(i)) = value;
    }
  });
}

// Columns in tasks that own their places; a few hundred rows are done at once.
constexpr std::size_t shared_rows = 256;
constexpr std::size_t column_tasks = 32;

std::size_t task_count(std::size_t rows) { return rows < shared_rows ? 1 : column_tasks; }

template <class Columns>
void share_columns(std::size_t rows, std::span<Index> places, ThreadPool& pool, Columns&& columns) {
  const std::size_t tasks = task_count(rows);
  pool.run(static_cast<Index>(tasks), [&](Index task) {
    const auto t = static_cast<std::size_t>(task);
    columns(rows * t / tasks, rows * (t + 1) / tasks, places.subspan(t * rows, rows));
  });
}

Block panel_of(const Supernode& node, double* values) {
  return Eigen::Map<Matrix, 0, Eigen::OuterStride<>>(values + node.values_begin, node.stride(), node.cols,
                                                     Eigen::OuterStride<>(node.stride()));
}

Eigen::Map<const Matrix> panel_of(const Supernode& node, const double* values) {
  return {values + node.values_begin, node.stride(), node.cols};
}

constexpr Index product_rows = 128;  // of one task

// c -= y'z on and below the diagonal, where the product is symmetric
void subtract_lower(const ConstBlock& y, const ConstBlock& z, Block c) {
  const Index width = c.cols();
  if (width <= 8) {
    for (Index j = 0; j < width; ++j)
      for (Index i = j; i < width; ++i) c(i, j) -= y.col(i).dot(z.col(j));
  } else {
    c.topRows(width).triangularView<Eigen::Lower>() -= y.leftCols(width).transpose() * z;
  }
  c.bottomRows(c.rows() - width).noalias() -= y.rightCols(c.rows() - width).transpose() * z;
}

// x := l^-1 x and l^-T x by tiles: Eigen's own solve of a large triangle packs it whole, in memory it allocates each
// time.
constexpr Index solve_width = 64;
constexpr Index solve_height = 128;

void solve_triangle(const ConstBlock& l, Block x) {
  const Index n = l.rows();
  for (Index j = 0; j < n; j += solve_width) {
    const Index width = std::min(solve_width, n - j);
    auto own = x.middleRows(j, width);
    l.block(j, j, width, width).triangularView<Eigen::Lower>().solveInPlace(own);
    for (Index i = j + width; i < n; i += solve_height) {
      const Index height = std::min(solve_height, n - i);
      x.middleRows(i, height).noalias() -= l.block(i, j, height, width) * own;
    }
  }
}

void solve_transposed_triangle(const ConstBlock& l, Block x) {
  const Index n = l.rows();
  for (Index j = (n - 1) / solve_width * solve_width; j >= 0; j -= solve_width) {
    const Index width = std::min(solve_width, n - j);
    auto own = x.middleRows(j, width);
    for (Index i = j + width; i < n; i += solve_height) {
      const Index height = std::min(solve_height, n - i);
      own.noalias() -= l.block(i, j, height, width).transpose() * x.middleRows(i, height);
    }
    l.block(j, j, width, width).triangularView<Eigen::Lower>().transpose().solveInPlace(own);
  }
}

}  // namespace

Index entry_place(const SupernodalLayout& layout, Index row, Index col) {
  const Supernode& node = supernode_with(layout, col);
  return node.values_begin + (col - node.first) * node.stride() + panel_row(layout, node, row);
}

void subtract_at(const SupernodalLayout& layout, std::span<const Code> rows, const ConstBlock& update, double* values,
                 std::span<Index> places) {
  subtract_columns(layout, rows, 0, rows.size(), update, values, places);
}

void subtract_products(const SupernodalLayout& layout, std::span<const Code> rows, const double* b, Index m,
                       Index first, Index last, double* values) {
  const auto count = static_cast<Index>(rows.size());
  for (Index j = first; j < last; ++j) {
    const Index own = rows[static_cast<std::size_t>(j)];
    const Supernode& node = supernode_with(layout, own);
    double* column = values + node.values_begin + (own - node.first) * node.stride();
    for (Index i = j; i < count; ++i) {
      double sum = 0;
      for (Index e = 0; e < m; ++e) sum += b[e * count + i] * b[e * count + j];
      column[panel_row(layout, node, rows[static_cast<std::size_t>(i)])] -= sum;
    }
  }
}

void gather_at(const SupernodalLayout& layout, std::span<const Code> rows, const double* values, Block out,
               std::span<Index> places) {
  gather_columns(layout, rows, 0, rows.size(), values, out, places);
}

SupernodalWork make_work(const SupernodalLayout& layout) {
  Index longest = 0, widest = 0, largest = 0;
  for (const Supernode& node : layout.supernodes) {
    largest = std::max(largest, node.cols);
    if (node.rows_count == 0) continue;
    longest = std::max(longest, node.rows_count);
    widest = std::max(widest, node.cols);
  }
  SupernodalWork work{
      Matrix(longest, longest),
      Matrix(longest, widest),
      std::vector<Index>(static_cast<std::size_t>(longest) * task_count(static_cast<std::size_t>(longest))),
      {}};
  reserve(largest, work.dense);
  return work;
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
    auto update = work.update.topLeftCorner(node.rows_count, node.rows_count);
    if (node.cols == 1) {
      below /= diagonal(0, 0);
      for (Index j = 0; j < node.rows_count; ++j)
        for (Index i = j; i < node.rows_count; ++i) update(i, j) = below(i, 0) * below(j, 0);
    } else {
      solve_right_transposed(diagonal, below, pool);
      update.triangularView<Eigen::Lower>().setZero();
      add_outer(below, update, pool);
    }
    const std::span<const Code> rows = rows_of(layout, node);
    share_columns(rows.size(), work.places, pool, [&](std::size_t begin, std::size_t end, std::span<Index> places) {
      subtract_columns(layout, rows, begin, end, update, values, places);
    });
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
    solve_triangle(panel.topRows(node.cols), own);
    const auto rows = rows_of(layout, node);
    for (Index c = 0; c < x.cols(); ++c)
      for (Index k = 0; k < node.cols; ++k) {
        const double value = own(k, c);
        const double* down = panel.data() + k * node.stride() + node.cols;
        for (std::size_t i = 0; i < rows.size(); ++i) x(rows[i], c) -= down[i] * value;
      }
  }
}

void solve_upper(const SupernodalLayout& layout, const double* values, Eigen::Ref<Matrix> x) {
  for (auto node = layout.supernodes.rbegin(); node != layout.supernodes.rend(); ++node) {
    const auto panel = panel_of(*node, values);
    auto own = x.middleRows(node->first, node->cols);
    const auto rows = rows_of(layout, *node);
    for (Index c = 0; c < x.cols(); ++c)
      for (Index k = 0; k < node->cols; ++k) {
        const double* down = panel.data() + k * node->stride() + node->cols;
        double sum = 0;
        for (std::size_t i = 0; i < rows.size(); ++i) sum += down[i] * x(rows[i], c);
        own(k, c) -= sum;
      }
    solve_transposed_triangle(panel.topRows(node->cols), own);
  }
}

void invert_in_place(const SupernodalLayout& layout, double* values, SupernodalWork& work, ThreadPool& pool) {
  for (auto node = layout.supernodes.rbegin(); node != layout.supernodes.rend(); ++node) {
    Block panel = panel_of(*node, values);
    Block diagonal = panel.topRows(node->cols);
    if (node->rows_count == 0) {
      invert_from_cholesky(diagonal, work.dense, pool);
      continue;
    }
    Block below = panel.bottomRows(node->rows_count);
    solve_right(diagonal, below, pool);
    auto y = work.panel.topLeftCorner(node->rows_count, node->cols);
    y = below;
    auto far = work.update.topLeftCorner(node->rows_count, node->rows_count);
    const std::span<const Code> rows = rows_of(layout, *node);
    share_columns(rows.size(), work.places, pool, [&](std::size_t begin, std::size_t end, std::span<Index> places) {
      gather_columns(layout, rows, begin, end, values, far, places);
    });
    pool.run((node->rows_count + product_rows - 1) / product_rows, [&](Index t) {
      const Index height = std::min(product_rows, node->rows_count - t * product_rows);
      auto target = below.middleRows(t * product_rows, height);
      target.noalias() = far.middleRows(t * product_rows, height) * y;
      target *= -1.0;
    });
    invert_from_cholesky(diagonal, work.dense, pool);
    pool.run((node->cols + product_rows - 1) / product_rows, [&](Index t) {
      const Index first = t * product_rows;
      const Index width = std::min(product_rows, node->cols - first);
      subtract_lower(y.rightCols(node->cols - first), below.middleCols(first, width),
                     diagonal.block(first, first, node->cols - first, width));
    });
  }
}

}  // namespace henderson
