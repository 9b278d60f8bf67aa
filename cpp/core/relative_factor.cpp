#include "core/relative_factor.hpp"

#include <Eigen/QR>

namespace henderson {

Index theta_size(const std::vector<AffineMap>& terms) {
  Index size = 0;
  for (const AffineMap& term : terms) size += triangle_size(term.size());
  return size;
}

RelativeFactor whitened_factor(const Vector& theta, const std::vector<AffineMap>& terms) {
  RelativeFactor out;
  Index k = 0;
  for (const AffineMap& term : terms) {
    Matrix lambda = Matrix::Zero(term.size(), term.size());
    for (Index j = 0; j < term.size(); ++j)
      for (Index i = j; i < term.size(); ++i) lambda(i, j) = theta[k++];
    out.lambda.emplace_back(term.r.triangularView<Eigen::Upper>() * lambda);
  }
  return out;
}

Matrix lower_triangle(const Matrix& lambda) {
  if (lambda.rows() == 1) return lambda.cwiseAbs();
  const Eigen::HouseholderQR<Matrix> qr(lambda.transpose());
  Matrix lower = Matrix(qr.matrixQR().triangularView<Eigen::Upper>()).transpose();
  for (Index j = 0; j < lower.cols(); ++j)
    if (lower(j, j) < 0) lower.col(j) *= -1.0;
  return lower;
}

Vector canonical_theta(const RelativeFactor& factor, const std::vector<AffineMap>& terms) {
  Vector theta(theta_size(terms));
  Index k = 0;
  for (std::size_t t = 0; t < terms.size(); ++t) {
    const Matrix lower = lower_triangle(terms[t].r.triangularView<Eigen::Upper>().solve(factor.lambda[t]));
    for (Index j = 0; j < lower.cols(); ++j)
      for (Index i = j; i < lower.rows(); ++i) theta[k++] = lower(i, j);
  }
  return theta;
}

}  // namespace henderson
