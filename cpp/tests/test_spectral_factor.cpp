#include <cmath>

#include "core/spectral_factor.hpp"
#include "tests/check.hpp"
#include "tests/dense_algebra.hpp"

namespace henderson::testing {

namespace {

RelativeFactor draw_square(const std::vector<Index>& sizes, Draws& draws) {
  RelativeFactor out;
  for (const Index s : sizes) out.lambda.push_back(draws.matrix(s, s));
  return out;
}

// Direction k as a matrix in the coordinates of its term.
Matrix as_matrix(const SpectralFactor& point, const Direction& e) {
  Matrix inner = Matrix::Zero(point[e.term].d.size(), point[e.term].d.size());
  inner(e.i, e.j) += e.upper;
  if (e.i != e.j) inner(e.j, e.i) += e.lower;
  return point[e.term].u * inner;
}

Matrix covariance(const SpectralTerm& term) { return term.u * term.d.cwiseAbs2().asDiagonal() * term.u.transpose(); }

}  // namespace

TEST(decompose_keeps_the_covariance) {
  Draws draws(31);
  for (const Index s : {1, 2, 3, 4, 5, 6, 7, 8, 9, 20})
    for (const double smallest : {1.0, 1e-5}) {
      Vector d = Vector::Ones(s);
      d[s - 1] = smallest;
      const Matrix lambda = draws.orthogonal(s) * d.asDiagonal() * draws.orthogonal(s);
      const SpectralFactor point = decompose({{lambda}});
      CHECK_CLOSE(Matrix(point[0].u.transpose() * point[0].u), Matrix::Identity(s, s), 1e-10);
      CHECK_CLOSE(covariance(point[0]), Matrix(lambda * lambda.transpose()), 1e-13);
      CHECK(std::abs(point[0].d.minCoeff() / smallest - 1) < 1e-9);
      const Matrix composed = compose(point).lambda[0];
      CHECK_CLOSE(Matrix(composed * composed.transpose()), Matrix(lambda * lambda.transpose()), 1e-13);
    }
}

TEST(decompose_floors_singular_values_with_directions_of_their_own) {
  Draws draws(32);
  for (const Index s : {1, 2, 3, 6}) {
    Matrix lambda = draws.matrix(s, s);
    lambda.rightCols(1).setZero();
    for (const Matrix& each : {lambda, Matrix(lambda * draws.orthogonal(s)), Matrix(Matrix::Zero(s, s))}) {
      const SpectralFactor point = decompose({{each}});
      CHECK_CLOSE(Matrix(point[0].u.transpose() * point[0].u), Matrix::Identity(s, s), 1e-12);
      CHECK(point[0].d.minCoeff() == smallest_singular);
      const Matrix kept = compose_without_negligible(point).lambda[0];
      CHECK((kept.colwise().norm().array() == 0).any());
      CHECK((kept * kept.transpose() - each * each.transpose()).norm() <= 1e-12 * (1 + each.squaredNorm()));
    }
  }
}

TEST(distance_ignores_rotations_and_is_small_for_small_steps) {
  Draws draws(33);
  const RelativeFactor factor = draw_square({1, 2, 4}, draws);
  RelativeFactor rotated = factor;
  for (Matrix& lambda : rotated.lambda) lambda *= draws.orthogonal(lambda.cols());
  CHECK(distance(decompose(factor), decompose(rotated)) < 1e-6);
  CHECK_CLOSE(norm(decompose(factor)), norm(decompose(rotated)), 1e-12);
  const SpectralFactor point = decompose(factor);
  const std::vector<Direction> basis = tangent_basis(point);
  const Vector step = 1e-3 * draws.matrix(static_cast<Index>(basis.size()), 1);
  CHECK_CLOSE(distance(point, moved(point, basis, step)), step.norm(), 1e-2);  // tangent steps use no rotation
}

TEST(tangent_basis_is_orthonormal_and_free_of_rotations) {
  Draws draws(34);
  const SpectralFactor point = decompose(draw_square({1, 2, 3, 5}, draws));
  const RelativeFactor lambda = compose(point);
  const std::vector<Direction> basis = tangent_basis(point);
  CHECK(basis.size() == 1 + 3 + 6 + 15);
  for (const Direction& e : basis) {
    const Matrix own = as_matrix(point, e);
    for (const Direction& f : basis) {
      if (f.term != e.term) continue;
      const double expected = e.i == f.i && e.j == f.j ? 1 : 0;
      CHECK(std::abs(own.cwiseProduct(as_matrix(point, f)).sum() - expected) < 1e-12);
    }
    const Matrix crossed = lambda.lambda[e.term].transpose() * own;  // <lam K, E> = 0 for every skew K
    CHECK((crossed - crossed.transpose()).norm() < 1e-12);
    Matrix inner = Matrix::Zero(own.rows(), own.rows());
    inner(e.i, e.j) += e.rho;
    inner(e.j, e.i) += e.rho;
    const Matrix slope = own * lambda.lambda[e.term].transpose() + lambda.lambda[e.term] * own.transpose();
    CHECK_CLOSE(Matrix(point[e.term].u * inner * point[e.term].u.transpose()), slope, 1e-12);
  }
}

TEST(moved_adds_the_step_to_lambda) {
  Draws draws(35);
  const SpectralFactor point = decompose(draw_square({1, 3}, draws));
  const std::vector<Direction> basis = tangent_basis(point);
  const Vector step = 0.1 * draws.matrix(7, 1);
  std::vector<Matrix> expected = compose(point).lambda;
  for (std::size_t k = 0; k < basis.size(); ++k)
    expected[basis[k].term] += step[static_cast<Index>(k)] * as_matrix(point, basis[k]);
  const SpectralFactor to = moved(point, basis, step);
  for (std::size_t t = 0; t < 2; ++t)
    CHECK_CLOSE(covariance(to[t]), Matrix(expected[t] * expected[t].transpose()), 1e-12);
}

TEST(entries_are_lower_triangles_term_after_term) {
  Draws draws(36);
  const SpectralFactor point = decompose(draw_square({2, 3}, draws));
  const std::vector<Matrix> psi{covariance(point[0]), covariance(point[1])};
  CHECK_CLOSE(covariance_entries(point), symmetric_entries(psi), 1e-13);
  const Vector entries = symmetric_entries(psi);
  CHECK(entries[1] == psi[0](1, 0) && entries[3] == psi[1](0, 0) && entries[7] == psi[1](2, 1));
  const std::vector<double> shift{0.3, 0.0};
  std::vector<Matrix> squares;
  const Vector root = root_entries(point, shift);
  Index k = 0;
  for (std::size_t t = 0; t < 2; ++t) {
    Matrix phi(psi[t].rows(), psi[t].rows());
    for (Index j = 0; j < phi.rows(); ++j)
      for (Index i = j; i < phi.rows(); ++i) phi(i, j) = phi(j, i) = root[k++];
    squares.emplace_back(phi * phi - shift[t] * Matrix::Identity(phi.rows(), phi.rows()));
  }
  CHECK_CLOSE(symmetric_entries(squares), entries, 1e-12);
  const Matrix g = draws.positive_definite(3), e = draws.positive_definite(3);  // <G, E> = slope'entries
  CHECK_CLOSE(slope_entries({g}).dot(symmetric_entries({e})), g.cwiseProduct(e).sum(), 1e-13);
}

}  // namespace henderson::testing
