#include "core/equal_levels.hpp"
#include "core/profiled_deviance.hpp"
#include "tests/assembled.hpp"
#include "tests/check.hpp"

namespace henderson::testing {

namespace {

// Growth curves: every subject is seen at the same times, every third one misses the last; (1 + t + t^2 | subject).
Design visits(Index subjects) {
  Design out = draw({.name = "visits", .n = 5 * subjects, .levels = {subjects}, .terms = {{0, 3}}, .p = 2});
  std::vector<Index> kept;
  for (Index row = 0; row < 5 * subjects; ++row) {
    const Index subject = row / 5, visit = row % 5;
    out.codes[0][static_cast<std::size_t>(row)] = static_cast<Code>(subject);
    const auto t = static_cast<double>(visit);
    for (const Index column : out.z[0])
      if (column >= 0) out.covariates(row, column) = column == out.z[0][1] ? t : t * t;
    if (subject % 3 != 0 || visit < 4) kept.push_back(row);
  }
  out.covariates = Matrix(out.covariates(kept, Eigen::all));
  out.y = Vector(out.y(kept));
  std::vector<Code> codes;
  for (const Index row : kept) codes.push_back(out.codes[0][static_cast<std::size_t>(row)]);
  out.codes[0] = codes;
  return out;
}

}  // namespace

TEST(equal_levels_lie_side_by_side) {
  ThreadPool pool(1);
  const Design design = visits(48);
  const CrossProducts a = build_cross_products(design.data(), pool);
  CHECK(a.plan.position.size() == 48);
  for (Index batch = 1; batch < 6; ++batch)  // 16 subjects miss a visit, 32 do not
    CHECK(repeats_last(a.gram.data(), batch, triangle_size(3)) == (batch != 2));
  CHECK_CLOSE(assembled(a), from_rows(a, design), 1e-12);
}

TEST(equal_levels_count_as_often_as_they_occur) {
  ThreadPool pool(1);
  Draws draws(5);
  const Design design = visits(44);  // the last batch is not full
  const CrossProducts a = build_cross_products(design.data(), pool);
  for (const bool reml : {true, false}) {
    const RelativeFactor factor = draw_factor(design, Shape::lower, draws);
    const DenseModel dense(design, whitened_effects(a), factor, reml);
    ProfiledDeviance deviance(a, pool);
    deviance.set_reml(reml);
    CHECK_CLOSE(deviance.value(factor), dense.criterion, 1e-12);
    Derivatives derivatives;
    deviance.derivatives(factor, true, derivatives);
    CHECK_CLOSE(derivatives.g[0], dense.g()[0], 1e-9);
    CHECK_CLOSE(derivatives.information, dense.information(), 1e-9);
  }
}

TEST(levels_that_differ_keep_their_order) {
  ThreadPool pool(1);
  const Design design = draw({.name = "slopes", .n = 200, .levels = {40}, .terms = {{0, 2}}, .p = 2});
  CHECK(build_cross_products(design.data(), pool).plan.position.empty());
}

}  // namespace henderson::testing
