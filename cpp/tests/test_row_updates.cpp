#include "core/problem.hpp"
#include "core/row_updates.hpp"
#include "tests/check.hpp"
#include "tests/designs.hpp"

namespace henderson::testing {

namespace {

// Rows `from` .. `from + count` of a design, as one with the same levels.
Design slice(const Design& whole, Index from, Index count) {
  Design part = whole;
  part.y = whole.y.segment(from, count);
  part.covariates = whole.covariates.middleRows(from, count);
  if (whole.weights.size() > 0) part.weights = whole.weights.segment(from, count);
  for (auto& codes : part.codes) codes = std::vector<Code>(codes.begin() + from, codes.begin() + from + count);
  return part;
}

// The design with `count` more rows: other values at the levels of the first rows.
Design lengthened(const Design& base, const Recipe& recipe, Index count) {
  const Design other = draw(recipe, 7);
  Design out = base;
  const Index n = base.rows();
  out.y.conservativeResize(n + count);
  out.covariates.conservativeResize(n + count, Eigen::NoChange);
  out.y.tail(count) = other.y.head(count);
  out.covariates.bottomRows(count) = other.covariates.topRows(count);
  if (base.weights.size() > 0) {
    out.weights.conservativeResize(n + count);
    out.weights.tail(count) = other.weights.head(count);
  }
  for (auto& codes : out.codes) {
    const std::vector<Code> copy(codes.begin(), codes.begin() + count);
    codes.insert(codes.end(), copy.begin(), copy.end());
  }
  return out;
}

CrossProducts build(const Design& design) {
  ThreadPool pool(1);
  return build_cross_products(design.data(), pool);
}

// The same criterion, slope and solution at a theta.
void check_equal(CrossProducts updated, const Design& whole, const Vector& theta, double tolerance) {
  Problem own(std::move(updated), 1);
  Problem rebuilt(whole.data(), 1);
  for (const bool reml : {true, false}) {
    CHECK_CLOSE(own.criterion(theta, reml), rebuilt.criterion(theta, reml), tolerance);
    Vector slope, expected;
    (void)own.gradient(theta, reml, slope);
    (void)rebuilt.gradient(theta, reml, expected);
    CHECK_CLOSE(slope, expected, 100 * tolerance);
    const std::optional<Solution> one = own.solve(theta, reml);
    const std::optional<Solution> other = rebuilt.solve(theta, reml);
    CHECK(one.has_value() && other.has_value());
    if (!one || !other) return;
    CHECK_CLOSE(one->sigma, other->sigma, tolerance);
    if (one->beta.size() > 0) CHECK_CLOSE(one->beta, other->beta, 10 * tolerance);
    CHECK_CLOSE(one->unscaled_vcov, other->unscaled_vcov, 10 * tolerance);
    for (std::size_t t = 0; t < one->b.size(); ++t) CHECK_CLOSE(one->b[t], other->b[t], 10 * tolerance);
  }
}

template <class Body>
void for_each_design(Body&& body) {
  Draws draws(11);
  for (const Recipe& recipe : all_recipes()) {
    const Scope scope(recipe.name);
    const Design base = draw(recipe);
    const Design whole = lengthened(base, recipe, std::min<Index>(base.rows() / 2, 25));
    const Vector theta = draw_theta(base, draws);
    body(base, whole, slice(whole, base.rows(), whole.rows() - base.rows()), theta);
  }
}

// A design and one of its first rows, which have fewer levels; the others bring the rest.
struct Growth {
  Design base, whole, rows;
};

Growth growing(const Recipe& recipe, const std::vector<Index>& fewer) {
  Growth out{{}, draw(recipe), {}};
  const Index first = recipe.n / 2;
  for (std::size_t f = 0; f < fewer.size(); ++f)
    for (Index i = 0; i < first; ++i) out.whole.codes[f][static_cast<std::size_t>(i)] %= static_cast<Code>(fewer[f]);
  out.base = slice(out.whole, 0, first);
  out.base.levels = fewer;
  out.rows = slice(out.whole, first, recipe.n - first);
  return out;
}

}  // namespace

TEST(rows_added_equal_a_rebuild_from_all_rows) {
  for_each_design([](const Design& base, const Design& whole, const Design& rows, const Vector& theta) {
    CrossProducts a = build(base);
    CHECK(update_rows(a, rows.data(), 1) == RowUpdate::done);
    const CrossProducts rebuilt = build(whole);
    CHECK(a.n == rebuilt.n && a.observations == rebuilt.observations);
    CHECK(std::abs(a.log_weights - rebuilt.log_weights) < 1e-11);
    CHECK_CLOSE(a.y_spread, rebuilt.y_spread, 1e-12);
    CHECK_CLOSE(a.corner, rebuilt.corner, 1e-11);
    CHECK_CLOSE(a.log_det_r, rebuilt.log_det_r, 1e-11);
    if (a.p > 0) CHECK_CLOSE(a.ols, rebuilt.ols, 1e-11);
    check_equal(std::move(a), whole, theta, 1e-10);
  });
}

TEST(rows_taken_out_again_leave_what_was_there) {
  for_each_design([](const Design& base, const Design& whole, const Design& rows, const Vector& theta) {
    CrossProducts a = build(whole);
    CHECK(update_rows(a, rows.data(), -1) == RowUpdate::done);
    CHECK(a.n == base.rows());
    CHECK_CLOSE(a.y_spread, build(base).y_spread, 1e-11);
    check_equal(std::move(a), base, theta, 1e-9);
  });
}

// Two copies of every row that count half each are the rows.
TEST(tempered_rows_count_in_part) {
  for_each_design([](const Design& base, const Design&, const Design&, const Vector& theta) {
    CrossProducts a = build(base);
    CHECK(update_rows(a, base.data(), 1) == RowUpdate::done);
    temper(a, 0.5);
    CHECK(a.observations == static_cast<double>(base.rows()));
    check_equal(std::move(a), base, theta, 1e-10);
  });
}

TEST(new_levels_and_meetings_find_room) {
  const std::vector<std::pair<Recipe, std::vector<Index>>> cases{
      {{"one factor", 90, {19}, {{0, 1}}, 2, false, Layout::crossed}, {13}},
      {{"one factor, slope", 90, {19}, {{0, 2}}, 2, true, Layout::crossed}, {13}},
      {{"one factor, two slopes", 90, {19}, {{0, 3}}, 2, false, Layout::crossed}, {13}},
      {{"new leading levels", 80, {19, 6}, {{0, 1}, {1, 1}}, 2, false, Layout::crossed}, {9, 6}},
      {{"new trailing levels", 80, {19, 6}, {{0, 2}, {1, 1}}, 2, true, Layout::crossed}, {19, 4}},
      {{"new meetings", 60, {12, 6}, {{0, 1}, {1, 2}}, 2, false, Layout::crossed}, {12, 6}},
      {{"all of them", 90, {12, 7, 5}, {{0, 2}, {1, 1}, {2, 2}}, 3, true, Layout::crossed}, {8, 5, 3}},
      {{"two terms of a factor", 90, {15, 8}, {{0, 1}, {1, 2}, {0, 2}}, 2, false, Layout::crossed}, {9, 7}},
      {{"the trailing factor grows larger", 90, {10, 30}, {{0, 1}, {1, 1}}, 2, false, Layout::crossed}, {10, 8}}};
  Draws draws(5);
  for (const auto& [recipe, fewer] : cases) {
    const Scope scope(recipe.name);
    const Growth growth = growing(recipe, fewer);
    CrossProducts a = build(growth.base);
    CHECK(a.plan.trailing.supernodes.size() <= 1);
    const Vector theta = draw_theta(growth.base, draws);
    CHECK(update_rows(a, growth.rows.data(), 1) == RowUpdate::done);
    for (const Group& group : a.plan.groups)
      CHECK(group.levels == recipe.levels[static_cast<std::size_t>(group.factor)]);
    check_equal(a, growth.whole, theta, 1e-10);
    CHECK(update_rows(a, growth.rows.data(), -1) == RowUpdate::done);
    Design emptied = growth.base;
    emptied.levels = growth.whole.levels;
    check_equal(std::move(a), emptied, theta, 1e-9);
  }
}

TEST(rows_that_come_one_by_one_find_room) {
  const Growth growth =
      growing({"drop by drop", 70, {11, 6, 4}, {{0, 1}, {1, 2}, {2, 1}}, 2, false, Layout::crossed}, {7, 3, 2});
  CrossProducts a = build(growth.base);
  for (Index row = 0; row < growth.rows.rows(); ++row)
    CHECK(update_rows(a, slice(growth.rows, row, 1).data(), 1) == RowUpdate::done);
  const CrossProducts rebuilt = build(growth.whole);
  const auto entries = [](const CrossProducts& of) { return of.coupling.size(); };
  CHECK(entries(a) == entries(rebuilt) && a.plan.update_flops == rebuilt.plan.update_flops);
  Draws draws(3);
  check_equal(std::move(a), growth.whole, draw_theta(growth.base, draws), 1e-10);
}

TEST(rows_without_a_place_are_refused) {
  for (const Recipe& recipe : sparse_recipes()) {
    const Scope scope(recipe.name);
    const Design base = draw(recipe);
    Design rows = slice(base, 0, 3);
    ++rows.levels[0];
    CrossProducts a = build(base);
    CHECK(update_rows(a, rows.data(), 1) == RowUpdate::no_place);
  }
}

TEST(rows_that_were_not_there_are_refused) {
  const Recipe recipe{"one factor", 40, {20}, {{0, 1}}, 2, false, Layout::crossed};
  const Design base = draw(recipe);
  Design rows = slice(base, 0, 10);
  std::fill(rows.codes[0].begin(), rows.codes[0].end(), base.codes[0][0]);  // ten rows of a level that has fewer
  CrossProducts a = build(base);
  CHECK(update_rows(a, rows.data(), -1) == RowUpdate::not_there);
}

}  // namespace henderson::testing
