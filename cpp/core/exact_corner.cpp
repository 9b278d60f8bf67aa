// [Q r]'V^-1[Q r] from the rows, as sums of squares:
//
//   U = M^-1 Lam'Z'W[Q r],   E = [Q r] - Z Lam U,      [Q r]'V^-1[Q r] = E'WE + U'U
//
// the value of the penalised least squares problem at its solution U, so that errors of U enter squared. The
// elimination gives the same as what it subtracts from [Q r]'W[Q r], and loses as many digits as that is larger. The
// response is taken less Q beta, with the beta that is known by then: what of it is in V^-1-span of Q would have to be
// subtracted again.
#include "core/blocked_cholesky.hpp"
#include "core/whitened_rows.hpp"

namespace henderson {

namespace {

constexpr double tiny_residual = 1e-6;     // of r'Wr: the criterion has n times the relative error
constexpr double tiny_information = 1e-7;  // of n, for a column of Q

// Lam U of the leading levels, (columns, s) a level by position; adds their U'U to the corner.
Matrix leading_modes(const CrossProducts& a, const LeadingFactor& factor, const Matrix& lambda, const Matrix& shift,
                     const Matrix& trailing, Matrix& corner) {
  const Index s = a.leading().effects, columns = a.columns(), levels = a.leading().levels;
  Matrix explained = Matrix::Zero(columns, levels * s);  // a_j' Lam U of the trailing block
  for (const Pattern& pattern : a.plan.patterns) {
    Matrix near(pattern.rows_count, columns);
    for (Index i = 0; i < near.rows(); ++i)
      near.row(i) = trailing.row(a.plan.pattern_rows[static_cast<std::size_t>(pattern.rows_begin + i)]);
    const Eigen::Map<const Matrix> panel(a.coupling.data() + pattern.values_begin, near.rows(), pattern.count * s);
    explained.middleCols(pattern.first * s, panel.cols()).noalias() = near.transpose() * panel;
  }
  Vector h(s * s), packed(triangle_size(s)), v(s * columns);
  Matrix inverse = Matrix::Zero(s, s), modes(columns, levels * s);
  for (Index position = 0; position < levels; ++position) {
    load_level(factor.h.data(), position, h);
    load_level(factor.inverse.data(), position, packed);
    load_level(a.xy.data(), position, v);
    for (Index j = 0; j < s; ++j)
      for (Index i = j; i < s; ++i) inverse(i, j) = packed[triangle_index(i, j, s)];
    const Matrix right =
        shift.transpose() * Eigen::Map<const Matrix>(v.data(), columns, s) - explained.middleCols(position * s, s);
    const Matrix u = right * Eigen::Map<const Matrix>(h.data(), s, s).transpose() * inverse;  // rows: U'
    corner.noalias() += u.lazyProduct(u.transpose());
    modes.middleCols(position * s, s).noalias() = u.lazyProduct(lambda.transpose());
  }
  return modes;
}

// E'WE
Matrix sum_of_squares(const CrossProducts& a, const ModelData& data, const Matrix& shift, const Matrix& leading,
                      const Matrix& trailing, ThreadPool& pool) {
  const Index columns = a.columns();
  const Residual map = residual_map(a, data.y[0]);
  const Index chunks = (data.n + row_chunk - 1) / row_chunk;
  std::vector<Matrix> sums(static_cast<std::size_t>(slab_count(a)), Matrix::Zero(columns, columns));
  const auto count = static_cast<Index>(sums.size());
  pool.run(count, [&](Index t) {
    RowBuffers buffers = make_buffers(a);
    for (Index chunk = chunks * t / count; chunk < chunks * (t + 1) / count; ++chunk) {
      const Index first = chunk * row_chunk;
      const Index height = std::min(row_chunk, data.n - first);
      fill_rows(a, data, map, first, height, buffers);
      auto e = buffers.qr.topRows(height);
      e.col(a.p).noalias() += e.leftCols(a.p).lazyProduct(shift.col(a.p).head(a.p));
      for (std::size_t g = 0; g < a.plan.groups.size(); ++g) {
        const Index s = a.plan.groups[g].effects;
        const Code* codes = data.factors[static_cast<std::size_t>(a.plan.groups[g].factor)].codes + first;
        for (Index i = 0; i < height; ++i) {
          const auto z = buffers.z[g].row(i);
          if (g == 0)
            e.row(i) -= z.lazyProduct(leading.middleCols(a.plan.place(codes[i]) * s, s).transpose());
          else
            e.row(i) -= z.lazyProduct(trailing.middleRows(
                a.plan.trailing.node_offset[static_cast<std::size_t>(a.plan.rank_of(g, codes[i]))], s));
        }
      }
      add_products(e, sums[static_cast<std::size_t>(t)]);
    }
  });
  Matrix out = Matrix::Zero(columns, columns);
  for (const Matrix& sum : sums) out += sum;
  return out.selfadjointView<Eigen::Lower>();
}

}  // namespace

bool BlockedCholesky::is_short_of_digits() const {
  for (Index j = 0; j < a_.p; ++j)
    if (root_(j, j) * root_(j, j) < tiny_information * a_.corner(j, j)) return true;
  return pwrss_ < tiny_residual * a_.corner(a_.p, a_.p);
}

bool BlockedCholesky::factor_exactly(bool has_beta) {
  const Index columns = a_.columns();
  Matrix shift = Matrix::Identity(columns, columns);  // [Q r] -> [Q r - Q beta]
  const Vector beta = has_beta ? beta_ : Vector::Zero(a_.p);
  shift.col(a_.p).head(a_.p) = -beta;
  Matrix trailing(a_.plan.trailing_size(), columns);
  corner_.setZero();
  if (a_.plan.has_trailing()) {
    trailing = trailing_spherical() * shift;
    corner_.noalias() += trailing.transpose() * trailing;
    multiply_nodes(a_.plan, lambda_, Side::plain, trailing, nodes_);
  }
  const Matrix leading = leading_modes(a_, leading_, lambda_[0], shift, trailing, corner_);
  corner_ += sum_of_squares(a_, *rows_, shift, leading, trailing, pool_);
  if (!factor_corner()) return false;
  beta_ += beta;
  return true;
}

}  // namespace henderson
