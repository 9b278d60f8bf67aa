#include "core/problem.hpp"
#include "tests/check.hpp"
#include "tests/designs.hpp"

namespace henderson::testing {

namespace {

constexpr double huge = 1e5;

// Random effects `huge` times as large as the residuals.
void add_effects(Design& design, Draws& draws) {
  const std::vector<Matrix> z = design.effects();
  for (std::size_t t = 0; t < z.size(); ++t) {
    const Matrix b = huge * draws.matrix(design.levels[design.factor[t]], z[t].cols());
    for (Index i = 0; i < design.rows(); ++i)
      design.y[i] += z[t].row(i).dot(b.row(design.codes[design.factor[t]][static_cast<std::size_t>(i)]));
  }
}

// e'We + u'u of a solution, from the rows.
double sum_of_squares(const Design& design, const Solution& at) {
  const std::vector<Matrix> z = design.effects();
  Vector e = design.y;
  if (at.beta.size() > 0) e -= design.fixed() * at.beta;
  double sum = 0;
  for (std::size_t t = 0; t < z.size(); ++t) {
    for (Index i = 0; i < design.rows(); ++i)
      e[i] -= z[t].row(i).dot(at.b[t].row(design.codes[design.factor[t]][static_cast<std::size_t>(i)]));
    sum += at.u[t].squaredNorm();
  }
  return sum + design.weight().dot(e.cwiseAbs2());
}

}  // namespace

TEST(a_tiny_residual_sum_of_squares_is_that_of_the_rows) {
  Draws draws(21);
  std::vector<Recipe> recipes = usual_recipes();
  recipes.insert(recipes.end(), sparse_recipes().begin(), sparse_recipes().end());
  for (const Recipe& recipe : recipes) {
    const Scope scope(recipe.name);
    Design design = draw(recipe);
    add_effects(design, draws);
    const Vector theta = huge * draw_theta(design, draws);
    for (const int threads : {1, 3}) {
      Problem problem(design.data(), threads);
      const std::optional<Solution> found = problem.solve(theta, false);
      CHECK(found.has_value());
      if (!found) continue;
      const double expected = sum_of_squares(design, *found);
      CHECK(std::abs(found->pwrss / expected - 1) < 1e-9);
      CHECK(expected < 1e-6 * design.y.squaredNorm());
    }
  }
}

TEST(rows_are_read_again_only_where_digits_are_lost) {
  ThreadPool pool(1);
  Draws draws(22);
  for (const Recipe& recipe : all_recipes()) {
    const Scope scope(recipe.name);
    const Design design = draw(recipe);
    const ModelData data = design.data();
    const CrossProducts a = build_cross_products(data, pool);
    BlockedCholesky cholesky(a, pool);
    cholesky.set_rows(&data);
    CHECK(cholesky.update(draw_factor(design, Shape::lower, draws)));
    CHECK(!cholesky.is_exact());
  }
}

}  // namespace henderson::testing
