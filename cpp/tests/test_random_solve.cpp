#include "core/problem.hpp"
#include "core/random_solve.hpp"
#include "core/supernodal_rows.hpp"
#include "tests/assembled.hpp"
#include "tests/check.hpp"
#include "tests/designs.hpp"
#include "tests/random_effects.hpp"

namespace henderson::testing {

TEST(solve_random_equals_dense) {
  Draws draws(201);
  for_each_random_case([&](const Design& design, Problem& problem, const Vector& theta) {
    const DenseRandom dense(design, theta);
    for (const Index m : {1, 5, 61}) {  // less than a block, a block, several blocks and a rest
      const Matrix rhs = draws.matrix(problem.random_size(), m);
      Matrix out = Matrix::Constant(rhs.rows(), m, 99.0);
      CHECK(problem.solve_random(theta, rhs, out));
      CHECK_CLOSE(out, dense.h * rhs, 1e-9);
    }
  });
}

TEST(random_leverages_equal_dense) {
  for_each_random_case([](const Design& design, Problem& problem, const Vector& theta) {
    const DenseRandom dense(design, theta);
    const std::optional<Vector> found = problem.random_leverages(theta, design.data());
    CHECK(found.has_value());
    if (found) CHECK_CLOSE(*found, dense.leverages(), 1e-9);
  });
}

TEST(traces_equal_dense) {
  for_each_random_case([](const Design& design, Problem& problem, const Vector& theta) {
    const DenseRandom dense(design, theta);
    const std::optional<std::vector<Matrix>> found = problem.traces(theta);
    CHECK(found.has_value());
    if (!found) return;
    for (std::size_t t = 0; t < found->size(); ++t) CHECK_CLOSE((*found)[t], dense.trace(t), 1e-9);
  });
}

TEST(traces_keep_their_digits_next_to_the_boundary) {
  for (const Recipe& recipe : all_recipes()) {
    const Scope scope(recipe.name);
    Design design = draw(recipe);
    design.stripping = Stripping::never;
    Problem problem(design.data(), 1);
    Draws draws(204);
    const Vector theta = draw_singular_theta(design, draws);
    Vector near = theta;
    near += 1e-12 * draws.matrix(theta.size(), 1).cwiseAbs();
    const auto at = problem.traces(theta), beside = problem.traces(near);
    CHECK(at.has_value() && beside.has_value());
    if (!at || !beside) continue;
    for (std::size_t t = 0; t < at->size(); ++t) CHECK_CLOSE((*at)[t], (*beside)[t], 1e-9);
  }
}

TEST(a_factorisation_knows_where_it_is) {
  for (const std::size_t recipe : {0U, 10U}) {
    Design design = draw(usual_recipes()[recipe]);
    ThreadPool pool(1);
    CrossProducts a = build_cross_products(design.data(), pool);
    BlockedCholesky cholesky(a, pool);
    Draws draws(206);
    const RelativeFactor one = draw_factor(design, Shape::square, draws);
    RelativeFactor other = one, broken = one;
    other.lambda.back()(0, 0) += 1e-15;
    broken.lambda.back()(0, 0) = std::nan("");
    CHECK(!cholesky.is_at(one));
    CHECK(cholesky.update(one) && cholesky.is_at(one) && !cholesky.is_at(other));
    CHECK(cholesky.update(other) && cholesky.is_at(other) && !cholesky.is_at(one));
    CHECK(!cholesky.update(broken) && !cholesky.is_at(broken) && !cholesky.is_at(other));
    design.y.setZero();
    replace_response(a, design.data(), pool);
    CHECK(!cholesky.update(one) && cholesky.is_at(one));  // no residuals, but a factor
  }
}

TEST(random_solves_follow_theta_and_need_no_residuals) {
  Design design = draw(usual_recipes()[10]);
  Problem problem(design.data(), 1);
  const Vector theta = Vector::Constant(problem.theta_size(), 0.7);
  const Matrix rhs = Matrix::Identity(problem.random_size(), 3);
  Matrix first(rhs.rows(), 3), second(rhs.rows(), 3);
  CHECK(problem.solve_random(theta, rhs, first));
  CHECK(std::isfinite(problem.criterion(2 * theta, true)));  // the factor has moved
  CHECK(problem.solve_random(theta, rhs, second));
  CHECK((first.array() == second.array()).all());
  design.y.setZero();
  problem.set_response(design.data());
  CHECK(!std::isfinite(problem.criterion(theta, true)));
  CHECK(problem.solve_random(theta, rhs, second));
  CHECK((first.array() == second.array()).all());
}

TEST(random_solves_give_nothing_where_theta_is_not_a_number) {
  for (const std::size_t recipe : {0U, 10U}) {
    const Design design = draw(usual_recipes()[recipe]);
    Problem problem(design.data(), 1);
    Vector theta = Vector::Ones(problem.theta_size());
    theta[0] = std::nan("");
    const Matrix rhs = Matrix::Zero(problem.random_size(), 1);
    Matrix out(rhs.rows(), 1);
    CHECK(!problem.solve_random(theta, rhs, out));
    CHECK(!problem.random_leverages(theta, design.data()).has_value());
    CHECK(!problem.traces(theta).has_value());
    CHECK(problem.solve_random(Vector::Ones(theta.size()), rhs, out) && (out.array() == 0).all());
  }
}

TEST(random_solves_have_the_same_bits_for_any_number_of_threads) {
  Draws draws(205);
  for (const Recipe& recipe :
       {Recipe{"one factor", 9000, {4500}, {{0, 2}}, 2, true, Layout::crossed},
        Recipe{"dense trailing", 5000, {2500, 40}, {{0, 2}, {1, 1}}, 2, false, Layout::crossed},
        Recipe{"sparse trailing", 6000, {2000, 900}, {{0, 1}, {1, 2}}, 2, true, Layout::chained}}) {
    const Scope scope(recipe.name);
    Design design = draw(recipe);
    design.stripping = Stripping::never;
    const Vector theta = draw_theta(design, draws);
    Problem one(design.data(), 1), three(design.data(), 3);
    const Matrix rhs = draws.matrix(one.random_size(), 70);
    Matrix a(rhs.rows(), rhs.cols()), b(rhs.rows(), rhs.cols());
    CHECK(one.solve_random(theta, rhs, a) && three.solve_random(theta, rhs, b));
    CHECK((a.array() == b.array()).all());
    CHECK((one.random_leverages(theta, design.data())->array() == three.random_leverages(theta, design.data())->array())
              .all());
    const auto c = one.traces(theta), d = three.traces(theta);
    for (std::size_t t = 0; t < c->size(); ++t) CHECK(((*c)[t].array() == (*d)[t].array()).all());
  }
}

}  // namespace henderson::testing
