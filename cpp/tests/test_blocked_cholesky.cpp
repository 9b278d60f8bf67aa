#include "core/blocked_cholesky.hpp"
#include "tests/assembled.hpp"
#include "tests/check.hpp"
#include "tests/supernodal_helpers.hpp"

namespace henderson::testing {

namespace {

// The blocks of A, and what elimination makes of them, dense.
struct Eliminated {
  Eliminated(const CrossProducts& a, const RelativeFactor& factor)
      : q1(leading_size(a)), q2(a.plan.trailing_size()), p(a.p) {
    const Matrix all = assembled(a), lambda = assembled_lambda(a, factor);
    const Index q = q1 + q2, q3 = leaf_size(a);
    const Matrix lambda_3 = lambda.bottomRightCorner(q3, q3), d = all.block(q, q, q3, q3);
    const Matrix w_3 =
        lambda_3 * inverse_of(lambda_3.transpose() * d * lambda_3 + Matrix::Identity(q3, q3)) * lambda_3.transpose();
    const Matrix b = all.block(q, 0, q3, q);
    const Matrix inner = all.topLeftCorner(q, q) - b.transpose() * w_3 * b;
    const Matrix side = all.topRightCorner(q, p + 1) - b.transpose() * w_3 * all.block(q, q + q3, q3, p + 1);
    lambda_2 = lambda.block(q1, q1, q2, q2);
    const Matrix lambda_1 = lambda.topLeftCorner(q1, q1);
    const Matrix v1 = lambda_1.transpose() * inner.topLeftCorner(q1, q1) * lambda_1 + Matrix::Identity(q1, q1);
    const Matrix w = lambda_1 * inverse_of(v1) * lambda_1.transpose();
    k = inner.bottomRightCorner(q2, q2) - inner.bottomLeftCorner(q2, q1) * w * inner.topRightCorner(q1, q2);
    reduced = side.bottomRows(q2) - inner.bottomLeftCorner(q2, q1) * w * side.topRows(q1);
    s = lambda_2.transpose() * k * lambda_2 + Matrix::Identity(q2, q2);
    const Matrix m = lambda.transpose() * all.topLeftCorner(q + q3, q + q3) * lambda + Matrix::Identity(q + q3, q + q3);
    log_det = log_det_of(m);
    const Matrix whole = all.topRightCorner(q + q3, p + 1);
    corner = a.corner - whole.transpose() * lambda * inverse_of(m) * lambda.transpose() * whole;
  }
  Index q1, q2, p;
  Matrix lambda_2, k, reduced, s, corner;
  double log_det = 0;
};

template <class Body>
void for_each_case(const std::vector<Recipe>& recipes, Body&& body) {
  Draws draws(71);
  ThreadPool pool(1);
  for (const Recipe& recipe : recipes) {
    const Design design = draw(recipe);
    const CrossProducts a = build_cross_products(design.data(), pool);
    for (const Shape shape : {Shape::square, Shape::singular}) {
      const Scope scope(recipe.name + (shape == Shape::singular ? ", singular" : ""));
      const RelativeFactor factor = draw_factor(design, shape, draws);
      BlockedCholesky cholesky(a, pool);
      CHECK(cholesky.update(factor));
      body(a, cholesky, Eliminated(a, factor));
    }
  }
}

}  // namespace

TEST(blocked_cholesky_equals_the_dense_factorisation) {
  for_each_case(all_recipes(), [](const CrossProducts& a, const BlockedCholesky& cholesky, const Eliminated& expected) {
    const Index p = a.p;
    CHECK_CLOSE(cholesky.log_det(), expected.log_det, 1e-11);
    if (p > 0) {
      const Matrix inner = expected.corner.topLeftCorner(p, p);
      CHECK_CLOSE(cholesky.root(), Matrix(cholesky_of(inner).transpose()), 1e-10);
      CHECK_CLOSE(cholesky.log_det_root(), log_det_of(inner), 1e-10);
      CHECK_CLOSE(cholesky.beta(), Vector(inverse_of(inner) * expected.corner.col(p).head(p)), 1e-9);
    }
    const Vector beta = cholesky.beta();
    CHECK_CLOSE(cholesky.pwrss(), expected.corner(p, p) - expected.corner.col(p).head(p).dot(beta), 1e-10);
  });
}

TEST(trailing_solutions_equal_dense) {
  Draws draws(72);
  for_each_case(all_recipes(), [&](const CrossProducts& a, BlockedCholesky& cholesky, const Eliminated& expected) {
    if (!a.plan.has_trailing()) return;
    Matrix solution, residual;
    cholesky.trailing_solution(solution, residual);
    const Matrix inverse = expected.lambda_2 * inverse_of(expected.s) * expected.lambda_2.transpose();
    CHECK_CLOSE(solution, Matrix(inverse * expected.reduced), 1e-10);
    CHECK_CLOSE(residual, Matrix(expected.reduced - expected.k * inverse * expected.reduced), 1e-9);
    Matrix x = draws.matrix(expected.q2, 3);
    Matrix product(expected.q2, 3);
    cholesky.schur_times(x, product);
    CHECK_CLOSE(product, Matrix(expected.k * x), 1e-10);
    const Matrix right = expected.lambda_2.transpose() * x;
    cholesky.half_solve(x);
    CHECK_CLOSE(Matrix(cholesky_of(expected.s) * x), right, 1e-10);
  });
}

TEST(trailing_inverse_equals_dense_on_the_pattern) {
  for_each_case(all_recipes(), [](const CrossProducts& a, BlockedCholesky& cholesky, const Eliminated& expected) {
    if (!a.plan.has_trailing()) return;
    Vector values;
    std::vector<Matrix> c_lambda;
    cholesky.trailing_inverse(values, c_lambda);
    const Matrix half = expected.lambda_2 * inverse_of(expected.s);
    const Matrix inverse = half * expected.lambda_2.transpose(), product = expected.k * half;
    const auto stored = stored_entries(a.plan.trailing);
    CHECK_CLOSE(dense_of(a.plan.trailing, values),
                Matrix(stored.select(inverse, Matrix::Zero(expected.q2, expected.q2))), 1e-9);
    for (std::size_t g = 1; g < a.plan.groups.size(); ++g) {
      const Index s = a.plan.groups[g].effects;
      Matrix sum = Matrix::Zero(s, s);
      for (std::size_t rank = 0; rank < a.plan.group_of_rank.size(); ++rank)
        if (a.plan.group_of_rank[rank] == static_cast<Code>(g))
          sum += product.block(a.plan.trailing.node_offset[rank], a.plan.trailing.node_offset[rank], s, s);
      CHECK_CLOSE(c_lambda[g], sum, 1e-9);
    }
  });
}

TEST(blocked_cholesky_refuses_what_does_not_exist) {
  ThreadPool pool(1);
  Draws draws(73);
  for (const Recipe& recipe : all_recipes()) {
    const Scope scope(recipe.name);
    const Design design = draw(recipe);
    const CrossProducts a = build_cross_products(design.data(), pool);
    BlockedCholesky cholesky(a, pool);
    const RelativeFactor good = draw_factor(design, Shape::square, draws);
    CHECK(cholesky.update(good));
    const double log_det = cholesky.log_det();
    for (std::size_t t = 0; t < good.lambda.size(); ++t)
      for (const double value : {std::nan(""), HUGE_VAL, 1e200}) {
        RelativeFactor bad = good;
        bad.lambda[t](0, 0) = value;
        CHECK(!cholesky.update(bad));
        CHECK(cholesky.update(good) && cholesky.log_det() == log_det);  // and recovers
      }
  }
}

TEST(an_exact_fit_does_not_exist) {
  ThreadPool pool(1);
  Design design = draw({"exact", 40, {6}, {{0, 1}}, 2, false, Layout::crossed});
  design.y = 3 * design.covariates.col(0) + Vector::Constant(40, 2.0);
  const CrossProducts a = build_cross_products(design.data(), pool);
  BlockedCholesky cholesky(a, pool);
  CHECK(!cholesky.update({{Matrix::Ones(1, 1)}}));
}

}  // namespace henderson::testing
