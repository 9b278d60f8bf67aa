#include "core/schur_update.hpp"
#include "tests/assembled.hpp"
#include "tests/check.hpp"
#include "tests/supernodal_helpers.hpp"

namespace henderson::testing {

namespace {

// Designs whose patterns hold many levels, so that they are multiplied out rather than scattered.
std::vector<Recipe> recipes() {
  std::vector<Recipe> out = all_recipes();
  out.push_back({"wide patterns, nested", 240, {120, 3, 2}, {{0, 2}, {1, 8}, {2, 3}}, 2, true, Layout::nested});
  out.push_back({"wide and narrow patterns", 400, {200, 7, 5}, {{0, 1}, {1, 5}, {2, 4}}, 2, false, Layout::chained});
  return out;
}

struct Leading {
  LeadingFactor factor;
  Matrix covariance;  // lam (lam'A lam + I)^-1 lam' of all levels
};

Leading eliminate(const CrossProducts& a, const Matrix& all, ThreadPool& pool, Draws& draws) {
  const Index s = a.leading().effects;
  const Matrix lambda = draws.matrix(s, s);
  const LeadingShape shape{a.leading().levels, s, a.columns()};
  Leading out;
  reserve(shape, out.factor);
  Matrix corner = a.corner;
  CHECK(std::isfinite(eliminate_leading(shape, a.gram.data(), a.xy.data(), lambda, out.factor, corner, pool)));
  out.covariance = Matrix::Zero(leading_size(a), leading_size(a));
  for (Index level = 0; level < a.leading().levels; ++level) {
    const Matrix own = all.block(level * s, level * s, s, s);
    const Matrix m = lambda.transpose() * own * lambda + Matrix::Identity(s, s);
    out.covariance.block(level * s, level * s, s, s) = lambda * inverse_of(m) * lambda.transpose();
  }
  return out;
}

}  // namespace

TEST(schur_update_equals_dense_and_has_the_same_bits_for_any_number_of_threads) {
  ThreadPool pool(1);
  for (const Recipe& recipe : recipes()) {
    const Scope scope(recipe.name);
    Draws draws(95);
    const Design design = draw(recipe);
    const CrossProducts a = build_cross_products(design.data(), pool);
    if (!a.plan.has_trailing()) continue;
    const Matrix all = assembled(a);
    const Leading leading = eliminate(a, all, pool, draws);
    const Index q1 = leading_size(a), q2 = a.plan.trailing_size();
    const Matrix side = all.block(q1, 0, q2, q1) * leading.covariance;
    const Matrix expected = all.block(q1, q1, q2, q2) - side * all.block(0, q1, q1, q2);
    const Matrix expected_right = a.trailing_xy - side * all.topRightCorner(q1, a.columns());
    Vector first;
    for (const int threads : {1, 2, 3}) {
      ThreadPool some(threads);
      SchurUpdate update(a);
      Vector k = Vector::Constant(a.plan.trailing.values, std::nan(""));
      Matrix reduced = Matrix::Constant(q2, a.columns(), std::nan(""));
      update.run(a, {a.gram.data(), a.xy.data(), a.coupling.data(), &a.trailing_xy}, leading.factor, k.data(), reduced,
                 some);
      CHECK_CLOSE(symmetric_of(dense_of(a.plan.trailing, k)), expected, 1e-11);
      CHECK_CLOSE(reduced, expected_right, 1e-11);
      if (threads == 1) first = k;
      CHECK((k.array() == first.array()).all());
    }
  }
}

}  // namespace henderson::testing
