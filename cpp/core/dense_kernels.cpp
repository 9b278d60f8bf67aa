#include "core/dense_kernels.hpp"

#include <Eigen/Cholesky>
#include <algorithm>

namespace henderson {

namespace {

constexpr Index tile = 128;   // of products and triangular solves
constexpr Index outer = 512;  // a multiple of it

Index tiles(Index size, Index width = tile) { return (size + width - 1) / width; }

Index tile_rows(Index size, Index t, Index width = tile) { return std::min(width, size - t * width); }

// c += sign y y'_(top), the part on and below the diagonal; c (rows of y, at most as many columns).
void accumulate_outer(const ConstBlock& y, double sign, Block c, ThreadPool& pool) {
  const Index down = tiles(c.rows());
  const Index across = tiles(c.cols());
  pool.run(across * down - across * (across - 1) / 2, [&](Index task) {
    Index j = 0;
    while (task >= down - j) task -= down - j++;  // tiles, column by column
    const Index i = j + task;
    const auto yi = y.middleRows(i * tile, tile_rows(c.rows(), i));
    const auto yj = y.middleRows(j * tile, tile_rows(c.cols(), j));
    auto target = c.block(i * tile, j * tile, yi.rows(), yj.rows());
    if (i == j && yi.rows() == yj.rows())
      target.selfadjointView<Eigen::Lower>().rankUpdate(yi, sign);
    else if (sign > 0)
      target.noalias() += yi * yj.transpose();
    else
      target.noalias() -= yi * yj.transpose();
  });
}

}  // namespace

void add_outer(const ConstBlock& y, Block c, ThreadPool& pool) { accumulate_outer(y, 1.0, c, pool); }

void subtract_outer(const ConstBlock& y, Block c, ThreadPool& pool) { accumulate_outer(y, -1.0, c, pool); }

void solve_right_transposed(const ConstBlock& l, Block x, ThreadPool& pool) {
  pool.run(tiles(x.rows()), [&](Index t) {
    auto rows = x.middleRows(t * tile, tile_rows(x.rows(), t));
    l.triangularView<Eigen::Lower>().transpose().solveInPlace<Eigen::OnTheRight>(rows);
  });
}

void solve_right(const ConstBlock& l, Block x, ThreadPool& pool) {
  pool.run(tiles(x.rows()), [&](Index t) {
    auto rows = x.middleRows(t * tile, tile_rows(x.rows(), t));
    l.triangularView<Eigen::Lower>().solveInPlace<Eigen::OnTheRight>(rows);
  });
}

// Panels of `outer` columns, so that the matrix passes through memory once for each of them and not for each tile.
bool cholesky_in_place(Block a, ThreadPool& pool) {
  const Index n = a.rows();
  for (Index begin = 0; begin < n; begin += outer) {
    const Index end = std::min(n, begin + outer);
    for (Index j = begin; j < end; j += tile) {
      const Index width = std::min(tile, end - j);
      const Index next = j + width;
      Block diagonal = a.block(j, j, width, width);
      Eigen::LLT<Block> llt(diagonal);
      if (llt.info() != Eigen::Success || !diagonal.diagonal().allFinite()) return false;
      Block panel = a.block(next, j, n - next, width);
      solve_right_transposed(diagonal, panel, pool);
      subtract_outer(panel, a.block(next, next, n - next, end - next), pool);
    }
    subtract_outer(a.block(end, begin, n - end, end - begin), a.block(end, end, n - end, n - end), pool);
  }
  return true;
}

void reserve(Index n, DenseWork& work) {
  const Index width = std::min(std::max(dense_tile(n), Index{64}), n);
  if (work.strip.rows() >= n && work.strip.cols() >= width) return;
  work.square.resize(width, width);
  work.strip.resize(n, width);
  work.across.resize(width, n);
}

// Two sweeps over block columns, each half the flops:  X = L^-1 (last column first), then X'X (first column first).
void invert_from_cholesky(Block l, DenseWork& work, ThreadPool& pool) {
  const Index n = l.rows();
  const Index step = dense_tile(n);
  const Index count = tiles(n, step);
  for (Index j = count - 1; j >= 0; --j) {
    const Index begin = j * step;
    const Index width = tile_rows(n, j, step);
    const Index below = n - begin - width;
    Block diagonal = l.block(begin, begin, width, width);
    auto inverse = work.square.topLeftCorner(width, width);
    inverse.setIdentity();
    diagonal.triangularView<Eigen::Lower>().solveInPlace(inverse);
    if (below > 0) {  // X_BJ = -X_BB L_BJ X_JJ
      auto panel = work.strip.topLeftCorner(below, width);
      pool.run(tiles(below, step), [&](Index t) {
        const Index rows = tile_rows(below, t, step);
        panel.middleRows(t * step, rows).noalias() = l.block(begin + width + t * step, begin, rows, width) * inverse;
      });
      pool.run(tiles(below, step), [&](Index t) {
        const Index row = t * step;
        const Index rows = tile_rows(below, t, step);
        auto target = l.block(begin + width + row, begin, rows, width);
        const auto x = l.block(begin + width + row, begin + width, rows, row + rows);
        target.setZero();
        if (row > 0) target.noalias() -= x.leftCols(row) * panel.topRows(row);
        target.noalias() -= x.rightCols(rows).triangularView<Eigen::Lower>() * panel.middleRows(row, rows);
      });
    }
    diagonal.triangularView<Eigen::Lower>() = inverse;
  }
  for (Index i = 0; i < count; ++i) {  // row block i of X'X needs only rows i and below of X
    const Index begin = i * step;
    const Index width = tile_rows(n, i, step);
    const Index below = n - begin - width;
    auto x_ii = work.square.topLeftCorner(width, width);
    x_ii = l.block(begin, begin, width, width).triangularView<Eigen::Lower>();
    pool.run(i + 1, [&](Index j) {
      auto target = l.block(begin, j * step, width, tile_rows(n, j, step));
      auto product = work.across.block(0, j * step, width, target.cols());
      if (i == j)
        product.noalias() = x_ii.transpose() * x_ii;
      else
        product.noalias() = x_ii.transpose() * target;
      if (below > 0)
        product.noalias() += l.block(begin + width, begin, below, width).transpose() *
                             l.block(begin + width, j * step, below, target.cols());
      if (i == j)
        target.triangularView<Eigen::Lower>() = product;
      else
        target = product;
    });
  }
}

}  // namespace henderson
