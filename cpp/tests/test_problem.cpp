#include <cmath>

#include "core/problem.hpp"
#include "tests/check.hpp"
#include "tests/designs.hpp"

namespace henderson::testing {

namespace {

// theta as relative factors in the user's own coordinates.
RelativeFactor user_factor(const Design& design, const Vector& theta) {
  TermRoots roots;
  for (const auto& columns : design.z)
    roots.emplace_back(Matrix::Identity(static_cast<Index>(columns.size()), static_cast<Index>(columns.size())));
  return whitened_factor(theta, roots);
}

template <class Body>
void for_each_case(Body&& body) {
  Draws draws(121);
  for (const Recipe& recipe : all_recipes()) {
    const Design design = draw(recipe);
    Problem problem(design.data(), 1);
    for (const bool reml : {true, false}) {
      const Scope scope(recipe.name + (reml ? ", REML" : ", ML"));
      const Vector theta = draw_theta(design, draws);
      body(design, problem, theta, reml);
    }
  }
}

DenseModel dense_of(const Design& design, const Vector& theta, bool reml) {
  return DenseModel(design, design.effects(), user_factor(design, theta), reml);
}

}  // namespace

// Rows that stand for more rows differ in the number of observations and in the log of their weights alone.
TEST(problem_rows_may_stand_for_others) {
  for_each_case([](const Design& design, Problem& problem, const Vector& theta, bool reml) {
    ModelData data = design.data();
    data.represented = Represented{static_cast<double>(3 * data.n), -1.5};
    Problem standing(data, 1);
    const std::optional<Solution> own = problem.solve(theta, reml);
    const std::optional<Solution> other = standing.solve(theta, reml);
    CHECK(own.has_value() && other.has_value());
    if (!own || !other) return;
    const double df = static_cast<double>(3 * data.n - (reml ? standing.cross_products().p : 0));
    const double log_weights = problem.cross_products().log_weights - 1.5;
    const double log_dets = own->log_det + (reml ? own->log_det_root : 0.0);
    const double two_pi = 2 * std::acos(-1.0);
    CHECK_CLOSE(other->criterion, log_dets + df * (1 + std::log(two_pi * own->pwrss / df)) - log_weights, 1e-10);
    CHECK_CLOSE(other->sigma, std::sqrt(own->pwrss / df), 1e-10);
    if (own->beta.size() > 0) CHECK_CLOSE(other->beta, own->beta, 1e-12);
  });
}

TEST(problem_criterion_and_solution_equal_dense) {
  for_each_case([](const Design& design, Problem& problem, const Vector& theta, bool reml) {
    const DenseModel dense = dense_of(design, theta, reml);
    CHECK_CLOSE(problem.criterion(theta, reml), dense.criterion, 1e-10);
    const std::optional<Solution> solution = problem.solve(theta, reml);
    CHECK(solution.has_value());
    if (!solution) return;
    CHECK_CLOSE(solution->criterion, dense.criterion, 1e-10);
    CHECK_CLOSE(solution->log_det, dense.log_det, 1e-10);
    CHECK_CLOSE(solution->pwrss, dense.pwrss, 1e-9);
    CHECK_CLOSE(solution->sigma, std::sqrt(dense.sigma2), 1e-9);
    if (dense.beta.size() > 0) {
      CHECK_CLOSE(solution->beta, dense.beta, 1e-8);
      CHECK_CLOSE(solution->unscaled_vcov, dense.beta_vcov, 1e-8);
    }
    for (std::size_t t = 0; t < design.z.size(); ++t) {
      CHECK_CLOSE(solution->b[t], dense.modes(t), 1e-7);
      CHECK_CLOSE(solution->u[t], Matrix(dense.scores(t) * dense.factor.lambda[t]), 1e-7);
    }
  });
}

TEST(problem_log_det_root_equals_dense) {
  for_each_case([](const Design& design, Problem& problem, const Vector& theta, bool reml) {
    if (design.x.empty()) return;
    CHECK_CLOSE(problem.solve(theta, reml)->log_det_root, dense_of(design, theta, reml).log_det_root, 1e-10);
  });
}

TEST(problem_gradient_equals_finite_differences) {
  for_each_case([](const Design&, Problem& problem, const Vector& theta, bool reml) {
    if (theta.size() > 30) return;
    Vector gradient, expected(theta.size());
    CHECK(problem.gradient(theta, reml, gradient) == problem.criterion(theta, reml));
    for (Index k = 0; k < theta.size(); ++k) {
      const Vector step = 1e-5 * Vector::Unit(theta.size(), k);
      expected[k] = (problem.criterion(theta + step, reml) - problem.criterion(theta - step, reml)) / 2e-5;
    }
    CHECK((gradient - expected).norm() < 1e-6 * (1 + expected.norm()));
  });
}

TEST(problem_conditional_variances_equal_dense) {
  for_each_case([](const Design& design, Problem& problem, const Vector& theta, bool reml) {
    const DenseModel dense = dense_of(design, theta, reml);
    const std::vector<Matrix> variances = problem.conditional_variances(theta, reml);
    for (std::size_t t = 0; t < design.z.size(); ++t) {
      const Matrix psi = dense.factor.lambda[t] * dense.factor.lambda[t].transpose();
      CHECK(variances[t].rows() == psi.size() && variances[t].cols() == design.levels[design.factor[t]]);
      for (Code level = 0; level < static_cast<Code>(design.levels[design.factor[t]]); level += 3) {
        Matrix z = dense.effects[t];  // Var(b_j | y) = sigma^2 (Psi - Psi z'V^-1 z Psi)
        for (Index i = 0; i < z.rows(); ++i)
          if (design.codes[design.factor[t]][static_cast<std::size_t>(i)] != level) z.row(i).setZero();
        const Matrix expected = dense.sigma2 * (psi - psi * (z.transpose() * dense.v_inverse * z) * psi);
        CHECK((variances[t].col(level) - expected.reshaped()).norm() < 1e-8 * dense.sigma2 * psi.norm());
      }
    }
  });
}

TEST(problem_has_no_solution_where_the_criterion_does_not_exist) {
  const Design design = draw(usual_recipes()[10]);
  Problem problem(design.data(), 1);
  Vector theta = Vector::Ones(problem.theta_size());
  theta[0] = std::nan("");
  Vector gradient;
  CHECK(!problem.solve(theta, true).has_value());
  CHECK(problem.criterion(theta, false) == HUGE_VAL);
  CHECK(problem.gradient(theta, true, gradient) == HUGE_VAL && gradient.array().isNaN().all());
  CHECK(std::isfinite(problem.criterion(Vector::Ones(problem.theta_size()), true)));
}

TEST(problem_with_another_response_equals_a_new_problem) {
  Draws draws(122);
  for (const Recipe& recipe : all_recipes()) {
    const Scope scope(recipe.name);
    Design design = draw(recipe);
    Problem problem(design.data(), 1);
    const Vector theta = draw_theta(design, draws);
    const double before = problem.criterion(theta, true);
    Problem copy(problem);
    design.y = 2 * draw(recipe, 7).y + Vector::Constant(design.rows(), 5.0);
    problem.set_response(design.data());
    Problem fresh(design.data(), 1);
    CHECK_CLOSE(problem.criterion(theta, true), fresh.criterion(theta, true), 1e-13);
    CHECK_CLOSE(problem.solve(theta, false)->b[0], fresh.solve(theta, false)->b[0], 1e-10);
    CHECK(copy.criterion(theta, true) == before);  // a copy keeps its own
  }
}

TEST(fit_ends_at_a_minimum) {
  for (const Recipe& recipe : all_recipes()) {
    const Design design = draw(recipe);
    Problem problem(design.data(), 1);
    if (problem.theta_size() > 30) continue;
    for (const bool reml : {true, false}) {
      const Scope scope(recipe.name + (reml ? ", REML" : ", ML"));
      const Optimum optimum = problem.fit(reml, std::nullopt, {}, {});
      CHECK(optimum.status == Status::converged);
      const Vector theta = problem.theta_of(optimum.factor);
      CHECK_CLOSE(problem.criterion(theta, reml), optimum.value, 1e-10);
      Draws draws(123);
      for (int trial = 0; trial < 20; ++trial) {
        const Vector other = theta + 0.03 * draws.matrix(theta.size(), 1);
        CHECK(problem.criterion(other, reml) > optimum.value - 1e-7);
      }
      const Optimum again = problem.fit(reml, draw_theta(design, draws), {}, {});
      CHECK(std::abs(again.value - optimum.value) < 1e-6);
    }
  }
}

TEST(fit_does_not_depend_on_shifts_and_scales_of_columns_or_response) {
  const Recipe recipe{"invariance", 120, {15, 6}, {{0, 2}, {1, 2}}, 2, true, Layout::crossed};
  Design design = draw(recipe);
  Problem plain(design.data(), 1);
  const double value = plain.fit(true, std::nullopt, {}, {}).value;
  const double before = plain.cross_products().log_det_r;
  design.covariates.array() = design.covariates.array() * 1e6 + 1e9;
  Problem shifted(design.data(), 1);
  const double change = 2 * (shifted.cross_products().log_det_r - before);
  CHECK(std::abs(shifted.fit(true, std::nullopt, {}, {}).value - value - change) < 1e-5);
  design = draw(recipe);
  design.y = 1e5 * design.y + Vector::Constant(design.rows(), 1e8);
  Problem scaled(design.data(), 1);
  const double df = static_cast<double>(design.rows() - 2);
  CHECK(std::abs(scaled.fit(true, std::nullopt, {}, {}).value - value - 2 * df * std::log(1e5)) < 1e-5);
}

TEST(fit_has_the_same_bits_for_any_number_of_threads) {
  for (const Recipe& recipe : {Recipe{"leading", 5000, {2500, 12}, {{0, 2}, {1, 1}}, 2, false, Layout::crossed},
                               Recipe{"trailing", 3000, {600, 200}, {{0, 1}, {1, 1}}, 2, false, Layout::crossed}}) {
    const Design design = draw(recipe);
    Problem one(design.data(), 1), three(design.data(), 3);
    const Optimum a = one.fit(true, std::nullopt, {}, {}), b = three.fit(true, std::nullopt, {}, {});
    CHECK(a.value == b.value && a.evaluations == b.evaluations);
    CHECK((one.theta_of(a.factor).array() == three.theta_of(b.factor).array()).all());
  }
}

TEST(moment_theta_is_a_start_in_user_coordinates) {
  for (const Recipe& recipe : all_recipes()) {
    const Design design = draw(recipe);
    Problem problem(design.data(), 1);
    CHECK(problem.moment_theta().size() == problem.theta_size());
    CHECK(std::isfinite(problem.criterion(problem.moment_theta(), true)));
  }
}

}  // namespace henderson::testing
