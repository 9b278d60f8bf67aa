#include "core/relative_factor.hpp"
#include "tests/check.hpp"
#include "tests/dense_algebra.hpp"

namespace henderson::testing {

namespace {

TermRoots draw_roots(const std::vector<Index>& sizes, Draws& draws) {
  TermRoots roots;
  for (const Index s : sizes) roots.push_back(cholesky_of(draws.positive_definite(s)).transpose());
  return roots;
}

}  // namespace

TEST(theta_fills_lower_triangles_column_by_column) {
  const TermRoots roots{Matrix::Identity(2, 2), Matrix::Identity(1, 1), Matrix::Identity(3, 3)};
  CHECK(theta_size(roots) == 3 + 1 + 6);
  const RelativeFactor factor = whitened_factor(Vector::LinSpaced(10, 1, 10), roots);
  CHECK_CLOSE(factor.lambda[0], (Matrix(2, 2) << 1, 0, 2, 3).finished(), 0.0);
  CHECK_CLOSE(factor.lambda[1], Matrix::Constant(1, 1, 4), 0.0);
  CHECK_CLOSE(factor.lambda[2], (Matrix(3, 3) << 5, 0, 0, 6, 8, 0, 7, 9, 10).finished(), 0.0);
}

TEST(canonical_theta_undoes_whitened_factor) {
  Draws draws(21);
  for (int trial = 0; trial < 20; ++trial) {
    const TermRoots roots = draw_roots({1, 2, 5, 9, 20}, draws);
    Vector theta = 0.2 * draws.matrix(theta_size(roots), 1);
    Index k = 0;
    for (const Matrix& root : roots)
      for (Index j = 0; j < root.rows(); k += root.rows() - j, ++j) theta[k] = 1 + std::abs(theta[k]);
    RelativeFactor factor = whitened_factor(theta, roots);
    CHECK_CLOSE(canonical_theta(factor, roots), theta, 1e-10);
    for (Matrix& lambda : factor.lambda)
      lambda *= draws.orthogonal(lambda.cols());  // rotations from the right are free
    CHECK_CLOSE(canonical_theta(factor, roots), theta, 1e-10);
  }
}

TEST(lower_triangle_keeps_the_covariance) {
  Draws draws(22);
  for (const Index s : {1, 2, 3, 4, 5, 6, 7, 8, 9, 20})
    for (const Index rank : {s, s - 1, Index{0}}) {
      Matrix lambda = draws.matrix(s, s);
      lambda.rightCols(s - rank).setZero();
      lambda *= draws.orthogonal(s);
      const Matrix lower = lower_triangle(lambda);
      CHECK_CLOSE(Matrix(lower * lower.transpose()), Matrix(lambda * lambda.transpose()), 1e-13);
      CHECK(lower.diagonal().minCoeff() >= 0);
      CHECK(Matrix(lower.triangularView<Eigen::StrictlyUpper>()).isZero(0));
    }
}

}  // namespace henderson::testing
