#include "core/within_levels.hpp"

#include <cmath>

#include "core/blocked_cholesky.hpp"

namespace henderson {

namespace {

constexpr double dependent = 1e-9;  // of a sum of squares: others determine the column
constexpr double rounding = 1e-13;  // of r'r
constexpr double fewest = 10;       // degrees of freedom that tell anything

// w := l^-1 w with block = l l', rows of columns that earlier ones determine zero; returns the rank.
Index solve_level(Matrix& block, Matrix& w) {
  Index rank = 0;
  for (Index j = 0; j < block.rows(); ++j) {
    const double whole = block(j, j);
    for (Index k = 0; k < j; ++k) {
      block(j, j) -= block(j, k) * block(j, k);
      w.row(j) -= block(j, k) * w.row(k);
    }
    const bool counts = block(j, j) > dependent * whole;
    const double scale = counts ? 1 / std::sqrt(block(j, j)) : 0.0;
    rank += counts ? 1 : 0;
    w.row(j) *= scale;
    for (Index i = j + 1; i < block.rows(); ++i) {
      for (Index k = 0; k < j; ++k) block(i, j) -= block(i, k) * block(j, k);
      block(i, j) *= scale;
    }
  }
  return rank;
}

}  // namespace

double within_level_variance(const CrossProducts& a) {
  const Index s = a.leading().effects;
  Matrix rest = a.corner, block(s, s), w(s, a.columns());
  double df = a.observations;
  Vector packed(triangle_size(s)), right(s * a.columns());
  for (Index position = 0; position < a.leading().levels; ++position) {
    load_level(a.gram.data(), position, packed);
    load_level(a.xy.data(), position, right);
    for (Index j = 0; j < s; ++j)
      for (Index i = j; i < s; ++i) block(i, j) = packed[triangle_index(i, j, s)];
    w = Eigen::Map<const Matrix>(right.data(), a.columns(), s).transpose();
    df -= static_cast<double>(solve_level(block, w));
    rest.noalias() -= w.transpose().lazyProduct(w);
  }
  for (Index j = 0; j < a.p; ++j) {
    if (!(rest(j, j) > dependent * a.corner(j, j))) continue;
    const Vector column = rest.col(j);
    rest.noalias() -= column * (column.transpose() / column[j]);
    df -= 1;
  }
  const double left = rest(a.p, a.p);
  return df >= fewest && left > rounding * a.corner(a.p, a.p) ? left / df : 0.0;
}

}  // namespace henderson
