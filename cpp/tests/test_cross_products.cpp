#include <cmath>

#include "tests/assembled.hpp"
#include "tests/check.hpp"

namespace henderson::testing {

namespace {

bool same_bits(const CrossProducts& a, const CrossProducts& b) {
  bool same = a.gram == b.gram && a.xy == b.xy && a.coupling == b.coupling && a.entries.size() == b.entries.size();
  for (std::size_t k = 0; same && k < a.entries.size(); ++k) same = a.entries[k].value == b.entries[k].value;
  return same && (a.corner.array() == b.corner.array()).all() &&
         (a.trailing_xy.array() == b.trailing_xy.array()).all() && (a.ols.array() == b.ols.array()).all() &&
         a.log_det_r == b.log_det_r && a.y_spread == b.y_spread;
}

}  // namespace

TEST(cross_products_equal_the_products_of_the_rows) {
  ThreadPool pool(1);
  for (const Recipe& recipe : all_recipes()) {
    const Scope scope(recipe.name);
    const Design design = draw(recipe);
    const CrossProducts a = build_cross_products(design.data(), pool);
    CHECK_CLOSE(assembled(a), from_rows(a, design), 1e-12);
  }
}

TEST(cross_products_carry_the_constants_of_the_criterion) {
  ThreadPool pool(1);
  for (const Recipe& recipe : all_recipes()) {
    const Scope scope(recipe.name);
    const Design design = draw(recipe);
    const CrossProducts a = build_cross_products(design.data(), pool);
    const Vector w = design.weight();
    CHECK(a.n == design.rows() && a.p == recipe.p);
    CHECK(std::abs(a.log_weights - w.array().log().sum()) < 1e-12 * static_cast<double>(a.n));
    const double mean = w.dot(design.y) / w.sum();
    CHECK_CLOSE(a.y_spread, w.dot((design.y.array() - mean).square().matrix()), 1e-12);
    if (a.p == 0) continue;
    const Matrix x = design.fixed();  // X'WX = n R'R
    const double log_n = static_cast<double>(a.p) * std::log(static_cast<double>(a.n));
    CHECK_CLOSE(2 * a.log_det_r + log_n, log_det_of(x.transpose() * w.asDiagonal() * x), 1e-12);
    CHECK_CLOSE(Matrix(a.corner.topLeftCorner(a.p, a.p)), static_cast<double>(a.n) * Matrix::Identity(a.p, a.p), 1e-12);
    CHECK(a.corner.col(a.p).head(a.p).norm() < 1e-12 * a.corner.norm());  // r is orthogonal to Q
  }
}

TEST(replace_response_equals_a_rebuild) {
  ThreadPool pool(1);
  for (const Recipe& recipe : all_recipes()) {
    const Scope scope(recipe.name);
    Design design = draw(recipe);
    CrossProducts a = build_cross_products(design.data(), pool);
    design.y = 3 * draw(recipe, 2).y + Vector::Constant(design.rows(), 100.0);
    replace_response(a, design.data(), pool);
    const CrossProducts rebuilt = build_cross_products(design.data(), pool);
    CHECK_CLOSE(assembled(a), assembled(rebuilt), 1e-13);
    CHECK_CLOSE(a.corner, rebuilt.corner, 1e-13);
    CHECK_CLOSE(a.ols, rebuilt.ols, 1e-14);
    CHECK(a.y_spread == rebuilt.y_spread);
  }
}

TEST(cross_products_keep_their_digits_when_columns_are_shifted_and_scaled) {
  ThreadPool pool(1);
  Design design = draw({"shifts", 80, {9, 4}, {{0, 3}, {1, 2}}, 3, true, Layout::crossed});
  const Matrix plain = assembled(build_cross_products(design.data(), pool));
  design.covariates.array() *= 1e6;
  design.covariates.array() += std::ldexp(1.0, 33);
  design.covariates.array() -= std::ldexp(1.0, 33);  // what is left after rounding, so that the next line is exact
  const Matrix rounded = assembled(build_cross_products(design.data(), pool));
  CHECK_CLOSE(rounded, plain, 1e-9);
  design.covariates.array() += std::ldexp(1.0, 33);
  design.y.array() += 1e9;
  CHECK_CLOSE(assembled(build_cross_products(design.data(), pool)), rounded, 2e-6);
}

TEST(with_dense_trailing_is_the_same_matrix) {
  ThreadPool pool(1);
  for (const Recipe& recipe : sparse_recipes()) {
    const Scope scope(recipe.name);
    const Design design = draw(recipe);
    const CrossProducts a = with_dense_trailing(build_cross_products(design.data(), pool));
    CHECK(a.plan.trailing.is_dense());
    CHECK_CLOSE(assembled(a), from_rows(a, design), 1e-12);
  }
}

TEST(cross_products_have_the_same_bits_for_any_number_of_threads) {
  const Design design = draw({"many rows", 40000, {3000, 20}, {{0, 2}, {1, 1}}, 3, true, Layout::crossed});
  ThreadPool one(1), two(2), three(3);
  CrossProducts a = build_cross_products(design.data(), one);
  CHECK(same_bits(a, build_cross_products(design.data(), two)));
  CHECK(same_bits(a, build_cross_products(design.data(), three)));
}

}  // namespace henderson::testing
