#include <cmath>

#include "core/trust_region.hpp"
#include "tests/analytic_objectives.hpp"
#include "tests/check.hpp"

namespace henderson::testing {

namespace {

RelativeFactor identity(const std::vector<Matrix>& like, double scale) {
  RelativeFactor out;
  for (const Matrix& each : like) out.lambda.emplace_back(scale * Matrix::Identity(each.rows(), each.rows()));
  return out;
}

void check_optimum(const Optimum& optimum, const GaussianSamples& samples) {
  CHECK(optimum.status == Status::converged);
  CHECK(std::abs(optimum.value - samples.best_value()) < 1e-8 * (1 + std::abs(samples.best_value())));
  CHECK(optimum.value == samples.value(optimum.factor));
  const std::vector<Matrix> best = samples.best_covariance();
  for (std::size_t t = 0; t < best.size(); ++t) {
    const Matrix psi = optimum.factor.lambda[t] * optimum.factor.lambda[t].transpose();
    CHECK((psi - best[t]).norm() < 1e-3 * (1 + best[t].norm()));
  }
}

std::vector<Matrix> draw_scatter(const std::vector<Vector>& eigenvalues, Draws& draws) {
  std::vector<Matrix> out;
  for (const Vector& each : eigenvalues) out.push_back(with_eigenvalues(each, draws));
  return out;
}

Vector three(double a, double b, double c) { return Eigen::Vector3d(a, b, c); }

}  // namespace

TEST(trust_region_finds_interior_minima_of_analytic_objectives) {
  Draws draws(111);
  for (const Index s : {1, 2, 3, 6}) {
    const Vector values = Vector::LinSpaced(s, 1.5, 30);
    const GaussianSamples samples(draw_scatter({values, values.head(1)}, draws), {20, 100});
    for (const double start : {0.05, 1.0, 20.0}) {
      const Scope scope("s = " + std::to_string(s) + ", start " + std::to_string(start));
      const Optimum optimum = minimise(samples.objective(), identity(samples.best_covariance(), start), {});
      check_optimum(optimum, samples);
      CHECK(optimum.evaluations <= 25);
      CHECK((optimum.ranks == std::vector<Index>{s, 1}));
      CHECK(std::isnan(optimum.curvature));
    }
  }
}

TEST(trust_region_finds_singular_minima_and_their_ranks) {
  Draws draws(112);
  const GaussianSamples samples(draw_scatter({three(0.2, 0.7, 9), three(0.1, 0.3, 0.5), three(2, 3, 4)}, draws),
                                {40, 30, 20});
  for (const double start : {0.1, 1.0, 5.0}) {
    const Optimum optimum = minimise(samples.objective(), identity(samples.best_covariance(), start), {});
    check_optimum(optimum, samples);
    CHECK((optimum.ranks == std::vector<Index>{1, 0, 3}));
    CHECK(optimum.curvature > 0);
    CHECK(optimum.factor.lambda[1].isZero(0));
  }
}

TEST(trust_region_leaves_saddles) {
  Draws draws(113);
  const GaussianSamples samples(draw_scatter({three(3, 5, 9), Vector::Constant(1, 4.0)}, draws), {40, 30});
  RelativeFactor start = identity(samples.best_covariance(), 0.0);
  check_optimum(minimise(samples.objective(), start, {}), samples);  // zero is stationary
  start = identity(samples.best_covariance(), 1.0);
  start.lambda[0].col(1).setZero();
  check_optimum(minimise(samples.objective(), start, {}), samples);
}

TEST(trust_region_starts_from_any_square_factor) {
  Draws draws(114);
  const GaussianSamples samples(draw_scatter({three(0.5, 5, 9), three(2, 2, 2)}, draws), {40, 30});
  for (int trial = 0; trial < 20; ++trial) {
    const RelativeFactor start{{draws.matrix(3, 3), draws.matrix(3, 3)}};
    check_optimum(minimise(samples.objective(), start, {}), samples);
  }
}

TEST(trust_region_treats_regions_without_a_value_as_rejected_steps) {
  Draws draws(115);
  const GaussianSamples samples(draw_scatter({three(1.5, 3, 9)}, draws), {40});
  const double limit = samples.best_covariance()[0].trace() * 1.05;
  for (const double nothing : {HUGE_VAL, std::nan("")}) {
    Objective objective = samples.objective();
    objective.value = [&](const RelativeFactor& factor) {
      return factor.lambda[0].squaredNorm() > limit ? nothing : samples.value(factor);
    };
    check_optimum(minimise(objective, identity(samples.best_covariance(), 0.3), {}), samples);
    check_optimum(minimise(objective, identity(samples.best_covariance(), 50), {}), samples);  // starts outside
  }
}

TEST(trust_region_gives_up_where_nothing_has_a_value) {
  Objective objective;
  objective.small_variance = {1.0};
  objective.value = [](const RelativeFactor&) { return HUGE_VAL; };
  objective.noise = [] { return 1e-14; };
  const Optimum optimum = minimise(objective, {{Matrix::Identity(2, 2)}}, {});
  CHECK(optimum.status == Status::no_progress);
  CHECK(!std::isfinite(optimum.value));
  CHECK(optimum.evaluations < 30 && optimum.iterations == 0);
}

TEST(trust_region_stops_when_told_and_at_its_limit) {
  Draws draws(116);
  const GaussianSamples samples(draw_scatter({three(2, 5, 40)}, draws), {40});
  const RelativeFactor start = identity(samples.best_covariance(), 0.01);
  Objective objective = samples.objective();
  int calls = 0;
  objective.stop = [&](const Iteration& at, int evaluation) {
    CHECK(at.value == samples.value(at.factor) && evaluation >= calls);
    return ++calls == 3;
  };
  CHECK(minimise(objective, start, {}).status == Status::stopped && calls == 3);
  TrustRegionOptions options;
  options.max_evaluations = 3;
  const Optimum limited = minimise(samples.objective(), start, options);
  CHECK(limited.status == Status::evaluation_limit && limited.evaluations == 3);
  CHECK(limited.value < samples.value(start));
}

TEST(trust_region_traces_every_evaluation_and_never_accepts_worse) {
  Draws draws(117);
  const GaussianSamples samples(draw_scatter({three(0.3, 5, 40), three(2, 3, 4)}, draws), {40, 15});
  const Optimum optimum = minimise(samples.objective(), identity(samples.best_covariance(), 3.0), {});
  CHECK(optimum.evaluations == static_cast<int>(optimum.trace.size()));
  CHECK(optimum.iterations <= optimum.evaluations);
  double best = HUGE_VAL;
  for (const Iteration& each : optimum.trace) best = std::min(best, each.value);
  CHECK(optimum.value <= best + 1e-10 * std::abs(best));
  CHECK(optimum.decrement < TrustRegionOptions{}.tolerance);
}

}  // namespace henderson::testing
