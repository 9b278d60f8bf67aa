#include "core/spectral_factor.hpp"

#include <Eigen/SVD>
#include <cmath>

namespace henderson {

namespace {

// Rotates columns until they are orthogonal (one-sided Jacobi: Hestenes 1958); small singular values keep their digits.
bool orthogonalise_columns(Matrix& a) {
  for (int sweep = 0; sweep < 40; ++sweep) {
    bool done = true;
    for (Index j = 1; j < a.cols(); ++j)
      for (Index i = 0; i < j; ++i) {
        const double product = a.col(i).dot(a.col(j));
        const double own_i = a.col(i).squaredNorm();
        const double own_j = a.col(j).squaredNorm();
        if (!(std::abs(product) > 1e-15 * std::sqrt(own_i * own_j))) continue;
        done = false;
        const double half = (own_j - own_i) / (2 * product);
        const double tangent = (half < 0 ? -1.0 : 1.0) / (std::abs(half) + std::hypot(1.0, half));
        const double cosine = 1 / std::hypot(1.0, tangent);
        const double sine = cosine * tangent;
        for (Index r = 0; r < a.rows(); ++r) {
          const double x = a(r, i), y = a(r, j);
          a(r, i) = cosine * x - sine * y;
          a(r, j) = sine * x + cosine * y;
        }
      }
    if (done) return true;
  }
  return false;
}

SpectralTerm decompose_term(const Matrix& lambda) {
  if (lambda.rows() == 1) return {Matrix::Ones(1, 1), lambda.col(0).cwiseAbs().cwiseMax(smallest_singular)};
  SpectralTerm out{lambda, Vector(lambda.cols())};
  if (orthogonalise_columns(out.u)) {
    for (Index j = 0; j < lambda.cols(); ++j) out.d[j] = out.u.col(j).norm();
    if (out.d.minCoeff() > smallest_singular) {
      for (Index j = 0; j < lambda.cols(); ++j) out.u.col(j) /= out.d[j];
      return out;
    }
  }
  const Eigen::JacobiSVD<Matrix> svd(lambda, Eigen::ComputeFullU);  // zero columns need directions of their own
  return {svd.matrixU(), svd.singularValues().cwiseMax(smallest_singular)};
}

// Entries of U diag(values) U', appended at k.
void append_entries(const Matrix& u, const Vector& values, Vector& out, Index& k) {
  const Index s = u.rows();
  for (Index j = 0; j < s; ++j)
    for (Index i = j; i < s; ++i) {
      double sum = 0;
      for (Index a = 0; a < s; ++a) sum += u(i, a) * u(j, a) * values[a];
      out[k++] = sum;
    }
}

Index entries(const SpectralFactor& point) {
  Index size = 0;
  for (const SpectralTerm& term : point) size += triangle_size(term.d.size());
  return size;
}

}  // namespace

SpectralFactor decompose(const RelativeFactor& factor) {
  SpectralFactor out;
  out.reserve(factor.lambda.size());
  for (const Matrix& lambda : factor.lambda) out.push_back(decompose_term(lambda));
  return out;
}

RelativeFactor compose(const SpectralFactor& point) {
  RelativeFactor out;
  out.lambda.reserve(point.size());
  for (const SpectralTerm& term : point) out.lambda.emplace_back(term.u * term.d.asDiagonal());
  return out;
}

RelativeFactor compose_without_negligible(const SpectralFactor& point) {
  SpectralFactor kept = point;
  for (SpectralTerm& term : kept) term.d = (term.d.array() > negligible_singular).select(term.d, 0.0);
  return compose(kept);
}

double norm(const SpectralFactor& point) {
  double sum = 0;
  for (const SpectralTerm& term : point) sum += term.d.squaredNorm();
  return std::sqrt(sum);
}

double distance(const SpectralFactor& a, const SpectralFactor& b) {
  double sum = 0;
  for (std::size_t t = 0; t < a.size(); ++t) {
    Matrix cross = a[t].d.asDiagonal() * (a[t].u.transpose() * b[t].u) * b[t].d.asDiagonal();
    orthogonalise_columns(cross);
    sum += std::max(0.0, a[t].d.squaredNorm() + b[t].d.squaredNorm() - 2 * cross.colwise().norm().sum());
  }
  return std::sqrt(sum);
}

std::vector<Direction> tangent_basis(const SpectralFactor& point) {
  std::vector<Direction> basis;
  basis.reserve(static_cast<std::size_t>(entries(point)));
  for (std::size_t t = 0; t < point.size(); ++t) {
    const Vector& d = point[t].d;
    for (Index j = 0; j < d.size(); ++j) {
      basis.push_back({t, j, j, 1.0, 0.0, d[j]});
      for (Index i = j + 1; i < d.size(); ++i) {
        const double rho = std::hypot(d[i], d[j]);
        basis.push_back({t, i, j, d[j] / rho, d[i] / rho, rho});
      }
    }
  }
  return basis;
}

SpectralFactor moved(const SpectralFactor& point, const std::vector<Direction>& basis, const Vector& step) {
  RelativeFactor out;
  out.lambda.reserve(point.size());
  for (const SpectralTerm& term : point) out.lambda.emplace_back(term.d.asDiagonal());
  for (std::size_t k = 0; k < basis.size(); ++k) {
    const Direction& e = basis[k];
    const double length = step[static_cast<Index>(k)];
    out.lambda[e.term](e.i, e.j) += e.upper * length;
    if (e.i != e.j) out.lambda[e.term](e.j, e.i) += e.lower * length;
  }
  for (std::size_t t = 0; t < point.size(); ++t)
    if (point[t].d.size() > 1) out.lambda[t] = point[t].u * out.lambda[t];
  return decompose(out);
}

Vector symmetric_entries(const std::vector<Matrix>& symmetric) {
  Index size = 0;
  for (const Matrix& each : symmetric) size += triangle_size(each.rows());
  Vector out(size);
  Index k = 0;
  for (const Matrix& each : symmetric)
    for (Index j = 0; j < each.cols(); ++j)
      for (Index i = j; i < each.rows(); ++i) out[k++] = each(i, j);
  return out;
}

Vector covariance_entries(const SpectralFactor& point) {
  Vector out(entries(point));
  Index k = 0;
  for (const SpectralTerm& term : point) append_entries(term.u, term.d.cwiseAbs2(), out, k);
  return out;
}

Vector root_entries(const SpectralFactor& point, const std::vector<double>& shift) {
  Vector out(entries(point));
  Index k = 0;
  for (std::size_t t = 0; t < point.size(); ++t)
    append_entries(point[t].u, (point[t].d.array().square() + shift[t]).sqrt(), out, k);
  return out;
}

Vector slope_entries(const std::vector<Matrix>& g) {
  Vector out = symmetric_entries(g);
  Index k = 0;
  for (const Matrix& each : g)
    for (Index j = 0; j < each.cols(); ++j)
      for (Index i = j; i < each.rows(); ++i, ++k)
        if (i != j) out[k] *= 2;
  return out;
}

QuadraticModel quadratic_model(const SpectralFactor& point, const std::vector<Direction>& basis,
                               const Derivatives& at) {
  const auto size = static_cast<Index>(basis.size());
  QuadraticModel model{Vector(size), Matrix(size, size)};
  std::vector<Matrix> slope(point.size()), g(point.size());
  Matrix jacobian = Matrix::Zero(size, size);  // entries of Psi by direction
  Index base = 0;
  for (std::size_t t = 0; t < point.size(); ++t) {
    const Matrix& u = point[t].u;
    const Index s = u.rows();
    slope[t].noalias() = u.transpose() * at.gradient[t];
    g[t] = u.transpose() * at.g[t] * u;
    for (Index column = base; column < base + triangle_size(s); ++column) {
      const Direction& e = basis[static_cast<std::size_t>(column)];
      Index row = base;
      for (Index j = 0; j < s; ++j)
        for (Index i = j; i < s; ++i) jacobian(row++, column) = e.rho * (u(i, e.i) * u(j, e.j) + u(i, e.j) * u(j, e.i));
    }
    base += triangle_size(s);
  }
  model.hessian.noalias() = jacobian.transpose() * at.information * jacobian;
  for (Index a = 0; a < size; ++a) {
    const Direction& e = basis[static_cast<std::size_t>(a)];
    model.gradient[a] = e.upper * slope[e.term](e.i, e.j) + e.lower * slope[e.term](e.j, e.i);
    for (Index b = 0; b < size; ++b) {  // 2 <E, G E'>: columns must agree
      const Direction& f = basis[static_cast<std::size_t>(b)];
      if (e.term != f.term) continue;
      const Matrix& own = g[e.term];
      double sum = 0;
      if (e.j == f.j) sum += e.upper * f.upper * own(e.i, f.i);
      if (e.j == f.i) sum += e.upper * f.lower * own(e.i, f.j);
      if (e.i == f.j) sum += e.lower * f.upper * own(e.j, f.i);
      if (e.i == f.i) sum += e.lower * f.lower * own(e.j, f.j);
      model.hessian(a, b) += 2 * sum;
    }
  }
  return model;
}

}  // namespace henderson
