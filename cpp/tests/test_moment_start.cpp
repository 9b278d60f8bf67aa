#include <Eigen/Eigenvalues>
#include <cmath>

#include "core/moment_start.hpp"
#include "tests/check.hpp"
#include "tests/designs.hpp"

namespace henderson::testing {

namespace {

// Sums of squares of the means of y by a factor about the grand mean.
double between(const Vector& y, const std::vector<Code>& codes, Index levels) {
  Vector sums = Vector::Zero(levels), counts = Vector::Zero(levels);
  for (Index i = 0; i < y.size(); ++i) {
    sums[codes[static_cast<std::size_t>(i)]] += y[i];
    counts[codes[static_cast<std::size_t>(i)]] += 1;
  }
  return (sums.array().square() / counts.array()).sum() - y.sum() * y.sum() / static_cast<double>(y.size());
}

Design balanced(const std::vector<Index>& levels, Index replicates, std::uint64_t seed) {
  Draws draws(seed);
  Design d;
  d.levels = levels;
  Index n = replicates;
  for (const Index each : levels) n *= each;
  d.covariates.resize(n, 0);
  d.x = {-1};
  d.y = draws.matrix(n, 1);
  Index stride = replicates;
  for (std::size_t f = 0; f < levels.size(); ++f) {
    d.factor.push_back(f);
    d.z.push_back({-1});
    d.codes.emplace_back();
    const Vector effect = 2 * draws.matrix(levels[f], 1);
    for (Index i = 0; i < n; ++i) {
      d.codes[f].push_back(static_cast<Code>((i / stride) % levels[f]));
      d.y[i] += effect[d.codes[f].back()];
    }
    stride *= levels[f];
  }
  return d;
}

RelativeFactor start_of(const Design& design) {
  ThreadPool pool(1);
  return moment_start(build_cross_products(design.data(), pool));
}

}  // namespace

TEST(moment_start_is_the_analysis_of_variance_of_balanced_designs) {
  for (const std::vector<Index>& levels : std::vector<std::vector<Index>>{{6}, {12}, {7, 5}, {4, 9}, {5, 4, 3}})
    for (const Index replicates : {2, 3, 6})
      for (const std::uint64_t seed : {1u, 2u, 3u}) {
        const Design d = balanced(levels, replicates, seed);
        const auto n = static_cast<double>(d.rows());
        const double mean = d.y.mean();
        double rest = (d.y.array() - mean).square().sum(), df = n - 1;
        for (std::size_t f = 0; f < levels.size(); ++f) {
          rest -= between(d.y, d.codes[f], levels[f]);
          df -= static_cast<double>(levels[f] - 1);
        }
        const double sigma2 = rest / df;
        const RelativeFactor start = start_of(d);
        for (std::size_t f = 0; f < levels.size(); ++f) {
          const auto m = static_cast<double>(levels[f]);
          const double psi = (between(d.y, d.codes[f], levels[f]) / (m - 1) - sigma2) / (n / m);
          CHECK(psi > 0);
          CHECK_CLOSE(start.lambda[f](0, 0), std::sqrt(psi / sigma2), 1e-10);
        }
      }
}

TEST(moment_start_is_finite_and_positive_definite) {
  for (const Recipe& recipe : all_recipes()) {
    const Scope scope(recipe.name);
    const Design design = draw(recipe);
    const RelativeFactor start = start_of(design);
    CHECK(start.lambda.size() == design.z.size());
    for (const Matrix& lambda : start.lambda) {
      CHECK(lambda.allFinite());
      const Matrix psi = lambda * lambda.transpose();
      CHECK(Eigen::SelfAdjointEigenSolver<Matrix>(psi).eigenvalues()[0] > 0);
      for (Index j = 0; j < psi.cols(); ++j)  // correlations away from one
        for (Index i = j + 1; i < psi.rows(); ++i) CHECK(std::abs(psi(i, j)) < 0.95 * std::sqrt(psi(i, i) * psi(j, j)));
    }
  }
}

TEST(moment_start_does_not_depend_on_the_units_of_the_response) {
  for (const Recipe& recipe : all_recipes()) {
    if (recipe.p == 0) continue;  // without an intercept a shift changes the model
    const Scope scope(recipe.name);
    Design design = draw(recipe);
    const RelativeFactor before = start_of(design);
    design.y = 1e4 * design.y + Vector::Constant(design.rows(), 1e6);
    const RelativeFactor after = start_of(design);
    for (std::size_t t = 0; t < before.lambda.size(); ++t)
      CHECK_CLOSE(Matrix(after.lambda[t] * after.lambda[t].transpose()),
                  Matrix(before.lambda[t] * before.lambda[t].transpose()), 1e-5);
  }
}

// A slope that follows the intercept: Psi of rank one, correlation one.
TEST(moment_start_sees_correlations) {
  Draws draws(12);
  Design design = draw({"one factor, s = 2", 4000, {200}, {{0, 2}}, 1, false, Layout::crossed});
  Vector level(200);
  for (double& each : level) each = 2 * draws.normal();
  const Matrix z = design.effects()[0];
  for (Index i = 0; i < design.rows(); ++i)
    design.y[i] = draws.normal() + level[design.codes[0][static_cast<std::size_t>(i)]] * z.row(i).sum();
  const Matrix lambda = start_of(design).lambda[0];
  const Matrix psi = lambda * lambda.transpose();
  CHECK(std::abs(psi(1, 0)) > 0.5 * std::sqrt(psi(0, 0) * psi(1, 1)));
}

TEST(moment_start_does_not_start_at_zero_where_there_is_no_variance) {
  Design design = balanced({8}, 4, 5);
  Draws draws(6);
  for (Index i = 0; i < design.rows(); ++i)
    design.y[i] = (i % 4 < 2 ? -1.0 : 1.0) + 1e-3 * draws.normal();  // equal level means
  const double start = start_of(design).lambda[0](0, 0);
  CHECK(start > 0.01 && start < 1);
}

}  // namespace henderson::testing
