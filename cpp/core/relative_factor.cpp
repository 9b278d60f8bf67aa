#include "core/relative_factor.hpp"

#include <Eigen/QR>

namespace henderson {

Index theta_size(const TermRoots& roots) {
  Index size = 0;
  for (const Matrix& root : roots) size += triangle_size(root.rows());
  return size;
}

RelativeFactor whitened_factor(const Vector& theta, const TermRoots& roots) {
  RelativeFactor out;
  Index k = 0;
  for (const Matrix& root : roots) {
    Matrix lambda = Matrix::Zero(root.rows(), root.rows());
    for (Index j = 0; j < root.rows(); ++j)
      for (Index i = j; i < root.rows(); ++i) lambda(i, j) = theta[k++];
    out.lambda.emplace_back(root.triangularView<Eigen::Upper>() * lambda);
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

Vector canonical_theta(const RelativeFactor& factor, const TermRoots& roots) {
  Vector theta(theta_size(roots));
  Index k = 0;
  for (std::size_t t = 0; t < roots.size(); ++t) {
    const Matrix lower = lower_triangle(roots[t].triangularView<Eigen::Upper>().solve(factor.lambda[t]));
    for (Index j = 0; j < lower.cols(); ++j)
      for (Index i = j; i < lower.rows(); ++i) theta[k++] = lower(i, j);
  }
  return theta;
}

}  // namespace henderson
