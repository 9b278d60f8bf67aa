#include "core/local_model.hpp"

namespace henderson {

namespace {

// R: entries of U M U' from entries of a symmetric M.
Matrix rotation_of_entries(const Matrix& u) {
  const Index s = u.rows();
  Matrix out(triangle_size(s), triangle_size(s));
  Index column = 0;
  for (Index b = 0; b < s; ++b)
    for (Index a = b; a < s; ++a, ++column) {
      Index row = 0;
      for (Index j = 0; j < s; ++j)
        for (Index i = j; i < s; ++i)
          out(row++, column) = a == b ? u(i, a) * u(j, a) : u(i, a) * u(j, b) + u(i, b) * u(j, a);
    }
  return out;
}

// hessian += sign * second derivatives of tr(G X^2) by entries of the symmetric X: tr G (E_k E_l + E_l E_k).
void add_square_curvature(const std::vector<Matrix>& g, double sign, Matrix& hessian) {
  Index base = 0;
  for (const Matrix& own : g) {
    const Index s = own.rows();
    const auto add = [&](Index i, Index j, Index k, Index l, double value) {  // entries (i, j) and (k, l) share j = k
      const Index row = base + triangle_index(i, j, s);
      const Index column = base + triangle_index(k, l, s);
      hessian(row, column) += value;
      hessian(column, row) += value;
    };
    for (Index middle = 0; middle < s; ++middle)  // E_k E_l: ordered pairs (i, middle), (middle, l)
      for (Index i = 0; i < s; ++i)
        for (Index l = 0; l < s; ++l) add(i, middle, middle, l, sign * own(l, i));
    base += triangle_size(s);
  }
}

}  // namespace

LocalModel::LocalModel(const SpectralFactor& point, const Derivatives& at, const Matrix& information,
                       const std::vector<double>& shift)
    : shift_(shift), root_(root_entries(point, shift)) {
  const Matrix chart = jacobian(point, 1);
  slope_.noalias() = chart.transpose() * slope_entries(at.g);
  hessian_ = chart.transpose() * information * chart;
  add_square_curvature(at.g, 1.0, hessian_);
}

double LocalModel::value(const SpectralFactor& point) const {
  const Vector change = root_entries(point, shift_) - root_;
  return slope_.dot(change) + 0.5 * change.dot(hessian_ * change);
}

const Derivatives& LocalModel::derivatives(const SpectralFactor& point) {
  const Matrix inverse = jacobian(point, -1);
  const Vector slope = inverse.transpose() * (slope_ + hessian_ * (root_entries(point, shift_) - root_));
  derivatives_.g.resize(point.size());
  derivatives_.gradient.resize(point.size());
  Index k = 0;
  for (std::size_t t = 0; t < point.size(); ++t) {
    const Index s = point[t].d.size();
    Matrix& g = derivatives_.g[t];
    g.resize(s, s);
    for (Index j = 0; j < s; ++j)
      for (Index i = j; i < s; ++i, ++k) g(i, j) = g(j, i) = (i == j ? 1.0 : 0.5) * slope[k];
    derivatives_.gradient[t] = 2.0 * g * point[t].u * point[t].d.asDiagonal();
  }
  Matrix straight = hessian_;
  add_square_curvature(derivatives_.g, -1.0, straight);
  derivatives_.information = inverse.transpose() * straight * inverse;
  return derivatives_;
}

Matrix LocalModel::jacobian(const SpectralFactor& point, int power) const {
  Matrix out = Matrix::Zero(root_.size(), root_.size());
  Index base = 0;
  for (std::size_t t = 0; t < point.size(); ++t) {
    const Vector phi = (point[t].d.array().square() + shift_[t]).sqrt();
    const Index s = phi.size();
    const Index own = triangle_size(s);
    Vector scale(own);
    Index k = 0;
    for (Index j = 0; j < s; ++j)
      for (Index i = j; i < s; ++i) scale[k++] = power > 0 ? phi[i] + phi[j] : 1 / (phi[i] + phi[j]);
    if (s == 1)
      out(base, base) = scale[0];
    else
      out.block(base, base, own, own) =
          rotation_of_entries(point[t].u) * scale.asDiagonal() * rotation_of_entries(point[t].u.transpose());
    base += own;
  }
  return out;
}

}  // namespace henderson
