#include "tests/analytic_objectives.hpp"

#include <cmath>

namespace henderson::testing {

namespace {

Matrix covariance_of(const Matrix& lambda) {
  return lambda * lambda.transpose() + Matrix::Identity(lambda.rows(), lambda.rows());
}

// The symmetric matrix whose entries are the k-th of a column-major lower triangle.
std::vector<Matrix> entry_basis(Index s) {
  std::vector<Matrix> out;
  for (Index j = 0; j < s; ++j)
    for (Index i = j; i < s; ++i) {
      out.emplace_back(Matrix::Zero(s, s));
      out.back()(i, j) = out.back()(j, i) = 1;
    }
  return out;
}

}  // namespace

GaussianSamples::GaussianSamples(std::vector<Matrix> scatter, std::vector<double> sizes)
    : scatter_(std::move(scatter)), sizes_(std::move(sizes)) {}

double GaussianSamples::value(const RelativeFactor& factor) const {
  double sum = 0;
  for (std::size_t t = 0; t < scatter_.size(); ++t) {
    const Matrix v = covariance_of(factor.lambda[t]);
    sum += sizes_[t] * (log_det_of(v) + inverse_of(v).cwiseProduct(scatter_[t]).sum());
  }
  return sum;
}

void GaussianSamples::derivatives(const RelativeFactor& factor, bool exact, Derivatives& out) const {
  Index size = 0;
  for (const Matrix& each : scatter_) size += triangle_size(each.rows());
  out.g.resize(scatter_.size());
  out.gradient.resize(scatter_.size());
  out.information.setZero(size, size);
  Index base = 0;
  for (std::size_t t = 0; t < scatter_.size(); ++t) {
    const Matrix inverse = inverse_of(covariance_of(factor.lambda[t]));
    const Matrix score = inverse * scatter_[t] * inverse;
    out.g[t] = sizes_[t] * (inverse - score);
    out.gradient[t] = 2 * out.g[t] * factor.lambda[t];
    const std::vector<Matrix> basis = entry_basis(inverse.rows());
    const Matrix middle = exact ? Matrix(2 * score - inverse) : score;  // tr (V^-1 E_k) (middle) E_l
    for (std::size_t k = 0; k < basis.size(); ++k)
      for (std::size_t l = 0; l < basis.size(); ++l) {
        const double one = (inverse * basis[k] * middle).cwiseProduct(basis[l]).sum();
        const double other = (middle * basis[k] * inverse).cwiseProduct(basis[l]).sum();
        out.information(base + static_cast<Index>(k), base + static_cast<Index>(l)) = sizes_[t] * 0.5 * (one + other);
      }
    base += static_cast<Index>(basis.size());
  }
}

Objective GaussianSamples::objective() const {
  Objective out;
  for (const double size : sizes_) out.small_variance.push_back(1 / size);
  out.value = [this](const RelativeFactor& factor) { return value(factor); };
  out.noise = [this] { return 2e-14 * (1 + std::abs(best_value())); };
  out.derivatives = [this](const RelativeFactor& factor, Derivatives& at) { derivatives(factor, false, at); };
  return out;
}

std::vector<Matrix> GaussianSamples::best_covariance() const {
  std::vector<Matrix> out;
  for (const Matrix& each : scatter_) {
    const Matrix u = eigenvectors_of(each);
    out.emplace_back(u * (eigenvalues_of(each).array() - 1).max(0.0).matrix().asDiagonal() * u.transpose());
  }
  return out;
}

double GaussianSamples::best_value() const {
  double sum = 0;
  for (std::size_t t = 0; t < scatter_.size(); ++t)
    for (const double value : eigenvalues_of(scatter_[t])) sum += sizes_[t] * (value > 1 ? std::log(value) + 1 : value);
  return sum;
}

Matrix with_eigenvalues(const Vector& values, Draws& draws) {
  const Matrix u = draws.orthogonal(values.size());
  return u * values.asDiagonal() * u.transpose();
}

Vector difference_gradient(const std::function<double(const SpectralFactor&)>& f, const SpectralFactor& point) {
  const std::vector<Direction> basis = tangent_basis(point);
  const auto size = static_cast<Index>(basis.size());
  const double h = 1e-5;
  Vector out(size);
  for (Index k = 0; k < size; ++k) {
    const Vector step = h * Vector::Unit(size, k);
    out[k] = (f(moved(point, basis, step)) - f(moved(point, basis, -step))) / (2 * h);
  }
  return out;
}

Matrix difference_hessian(const std::function<double(const SpectralFactor&)>& f, const SpectralFactor& point) {
  const std::vector<Direction> basis = tangent_basis(point);
  const auto size = static_cast<Index>(basis.size());
  const double h = 1e-3;
  Matrix out(size, size);
  for (Index k = 0; k < size; ++k)
    for (Index l = 0; l < size; ++l) {
      const Vector a = h * Vector::Unit(size, k), b = h * Vector::Unit(size, l);
      const double same = f(moved(point, basis, a + b)) + f(moved(point, basis, -a - b));
      out(k, l) = (same - f(moved(point, basis, a - b)) - f(moved(point, basis, b - a))) / (4 * h * h);
    }
  return out;
}

}  // namespace henderson::testing
