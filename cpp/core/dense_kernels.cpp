#include "core/dense_kernels.hpp"

#include <Eigen/Cholesky>
#include <algorithm>

namespace henderson {

namespace {

constexpr Index tile = 128;

Index tiles(Index size) { return (size + tile - 1) / tile; }

Index tile_rows(Index size, Index t) { return std::min(tile, size - t * tile); }

}  // namespace

void solve_right_transposed(const Block& l, Block x, ThreadPool& pool) {
  pool.run(tiles(x.rows()), [&](Index t) {
    auto rows = x.middleRows(t * tile, tile_rows(x.rows(), t));
    l.triangularView<Eigen::Lower>().transpose().solveInPlace<Eigen::OnTheRight>(rows);
  });
}

void subtract_outer(const Block& y, Block c, ThreadPool& pool) {
  const Index count = tiles(c.rows());
  pool.run(count * (count + 1) / 2, [&](Index task) {
    Index j = 0;
    while (task >= count - j) task -= count - j++;  // lower triangle of tiles, column by column
    const Index i = j + task;
    const auto yi = y.middleRows(i * tile, tile_rows(c.rows(), i));
    const auto yj = y.middleRows(j * tile, tile_rows(c.rows(), j));
    auto target = c.block(i * tile, j * tile, yi.rows(), yj.rows());
    if (i == j) target.selfadjointView<Eigen::Lower>().rankUpdate(yi, -1.0);
    else target.noalias() -= yi * yj.transpose();
  });
}

bool cholesky_in_place(Block a, ThreadPool& pool) {
  const Index n = a.rows();
  for (Index j = 0; j < n; j += tile) {
    const Index width = std::min(tile, n - j);
    const Index below = n - j - width;
    Block diagonal = a.block(j, j, width, width);
    Eigen::LLT<Block> llt(diagonal);
    if (llt.info() != Eigen::Success || !diagonal.diagonal().allFinite()) return false;
    if (below == 0) break;
    Block panel = a.block(j + width, j, below, width);
    solve_right_transposed(diagonal, panel, pool);
    subtract_outer(panel, a.block(j + width, j + width, below, below), pool);
  }
  return true;
}

// Two sweeps over block columns, each half the flops:  X = L^-1 (last column first), then X'X (first column first).
void invert_from_cholesky(Block l, ThreadPool& pool) {
  const Index n = l.rows();
  const Index count = tiles(n);
  for (Index j = count - 1; j >= 0; --j) {
    const Index begin = j * tile;
    const Index width = tile_rows(n, j);
    const Index below = n - begin - width;
    Block diagonal = l.block(begin, begin, width, width);
    Matrix inverse = Matrix::Identity(width, width);
    diagonal.triangularView<Eigen::Lower>().solveInPlace(inverse);
    if (below > 0) {  // X_BJ = -X_BB L_BJ X_JJ
      const Matrix panel = l.block(begin + width, begin, below, width) * inverse.triangularView<Eigen::Lower>();
      pool.run(tiles(below), [&](Index t) {
        const Index row = t * tile;
        const Index rows = tile_rows(below, t);
        auto target = l.block(begin + width + row, begin, rows, width);
        const auto x = l.block(begin + width + row, begin + width, rows, row + rows);
        target.noalias() = -(x.leftCols(row) * panel.topRows(row));
        target -= x.rightCols(rows).triangularView<Eigen::Lower>() * panel.middleRows(row, rows);
      });
    }
    diagonal.triangularView<Eigen::Lower>() = inverse;
  }
  for (Index i = 0; i < count; ++i) {  // row block i of X'X needs only rows i and below of X
    const Index begin = i * tile;
    const Index width = tile_rows(n, i);
    const Index below = n - begin - width;
    const Matrix x_ii = Matrix(l.block(begin, begin, width, width).triangularView<Eigen::Lower>());
    pool.run(i + 1, [&](Index j) {
      auto target = l.block(begin, j * tile, width, tile_rows(n, j));
      Matrix product = x_ii.transpose().triangularView<Eigen::Upper>() * (i == j ? x_ii : Matrix(target));
      if (below > 0)
        product.noalias() += l.block(begin + width, begin, below, width).transpose() *
                             l.block(begin + width, j * tile, below, tile_rows(n, j));
      if (i == j) target.triangularView<Eigen::Lower>() = product;
      else target = product;
    });
  }
}

}  // namespace henderson
