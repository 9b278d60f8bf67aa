// Leaf stripping: which levels are leaves, that nothing depends on it but the work, and the solves of any right-hand
// side. The tests of the criterion, its derivatives, modes, variances and allocations run on designs with leaves too.
#include <cmath>
#include <set>

#include "core/leaf_elimination.hpp"
#include "core/moment_start.hpp"
#include "core/problem.hpp"
#include "core/profiled_deviance.hpp"
#include "tests/assembled.hpp"
#include "tests/check.hpp"

namespace henderson::testing {

namespace {

// The levels of group `of` that the rows of one level of group `g` meet.
std::set<Code> levels_met(const Design& design, const EliminationPlan& plan, std::size_t g, Code level,
                          std::size_t of) {
  std::set<Code> out;
  const auto& own = design.codes[static_cast<std::size_t>(plan.groups[g].factor)];
  const auto& others = design.codes[static_cast<std::size_t>(plan.groups[of].factor)];
  for (std::size_t row = 0; row < own.size(); ++row)
    if (own[row] == level) out.insert(others[row]);
  return out;
}

Derivatives derivatives_at(ProfiledDeviance& deviance, const RelativeFactor& factor) {
  Derivatives out;
  CHECK(std::isfinite(deviance.value(factor)));
  deviance.derivatives(factor, true, out);
  return out;
}

const Recipe large{"leaves, several tasks", 9000, {4000, 3000, 12}, {{0, 1}, {1, 1}, {2, 1}}, 2, true,
                   Layout::long_tailed};

}  // namespace

TEST(leaves_have_one_host_and_do_not_meet) {
  for (const Recipe& recipe : leaf_recipes()) {
    const Scope scope(recipe.name);
    const Design design = draw(recipe);
    const EliminationPlan plan = plan_elimination(design.data());
    CHECK(plan.has_leaves());
    if (!plan.has_leaves()) continue;
    CHECK(static_cast<Index>(plan.leaves[1].leaves.size()) >= 2 * recipe.levels[1] / 3);
    for (std::size_t g = 1; g < plan.groups.size(); ++g)
      for (std::size_t k = 0; k < plan.leaves[g].leaves.size(); ++k) {
        const Leaf& leaf = plan.leaves[g].leaves[k];
        CHECK(leaf_of(plan.rank_of(g, leaf.level)) == static_cast<Index>(k));
        const std::set<Code> hosts = levels_met(design, plan, g, leaf.level, 0);
        CHECK(hosts.size() == 1 && plan.place(*hosts.begin()) == plan.host_of(leaf).position);
        Index rows = 0;
        for (std::size_t u = 1; u < plan.groups.size(); ++u) {
          if (u == g) continue;
          for (const Code level : levels_met(design, plan, g, leaf.level, u)) {
            CHECK(!is_leaf(plan.rank_of(u, level)));
            rows += plan.groups[u].effects;
          }
        }
        CHECK(rows == leaf.rows_count);
      }
  }
}

TEST(leaves_are_stripped_where_the_work_falls) {
  Design crossed = draw({"filled", 6000, {160, 150}, {{0, 1}, {1, 1}}, 2, false, Layout::crossed});
  for (Code level = 0; level < 100; ++level) {  // a hundred more levels of one row each
    crossed.codes[1][static_cast<std::size_t>(level)] = 150 + level;
    crossed.levels = {300, 250};
  }
  const EliminationPlan filled = plan_elimination(crossed.data());
  CHECK(filled.has_leaves() && filled.leaves[1].leaves.size() == 100 && filled.trailing.size == 150);
  CHECK(filled.considered.front().leaf_flops + filled.update_flops + filled.trailing.flops <
        0.5 * filled.considered.front().unstripped_flops);
  crossed.stripping = Stripping::never;
  const EliminationPlan plain = plan_elimination(crossed.data());
  CHECK(!plain.has_leaves() &&
        std::abs(plain.considered.front().unstripped_flops / filled.considered.front().unstripped_flops - 1) < 1e-12);
  for (const Recipe& recipe : usual_recipes()) {
    const Scope scope(recipe.name);
    const EliminationPlan plan = plan_elimination(draw(recipe).data());
    CHECK(!plan.has_leaves());
    if (!plan.has_trailing()) continue;
    const LeadChoice& choice = plan.considered.front();
    CHECK(choice.leaf_flops == 0 && choice.unstripped_flops == plan.update_flops + plan.trailing.flops);
  }
}

TEST(criterion_and_derivatives_with_leaves_equal_dense_at_extreme_factors) {
  Draws draws(141);
  ThreadPool pool(1);
  for (const Recipe& recipe : leaf_recipes()) {
    const Design design = draw(recipe);
    const CrossProducts a = build_cross_products(design.data(), pool);
    ProfiledDeviance deviance(a, pool);
    for (const bool reml : {true, false})
      for (const double scale : {1e-5, 1e-2, 30.0, 1000.0}) {
        const Scope scope(recipe.name + (reml ? ", REML, " : ", ML, ") + std::to_string(scale));
        deviance.set_reml(reml);
        RelativeFactor factor = draw_factor(design, Shape::square, draws);
        for (std::size_t t = 0; t < factor.lambda.size(); ++t)
          if (design.factor[t] == 1 || scale < 1) factor.lambda[t] *= scale;
        const DenseModel dense(design, whitened_effects(a), factor, reml);
        CHECK_CLOSE(deviance.value(factor), dense.criterion, 1e-9);
        const Derivatives at = derivatives_at(deviance, factor);
        const std::vector<Matrix> g = dense.g();
        for (std::size_t t = 0; t < g.size(); ++t) CHECK_CLOSE(at.g[t], g[t], 1e-5);
        CHECK_CLOSE(at.information, dense.information(), 1e-5);
      }
  }
}

TEST(gradient_with_leaves_is_that_of_dense_where_their_factor_is_singular) {
  Draws draws(142);
  ThreadPool pool(1);
  for (const Recipe& recipe : leaf_recipes()) {
    const Design design = draw(recipe);
    const CrossProducts a = build_cross_products(design.data(), pool);
    ProfiledDeviance deviance(a, pool);
    for (const bool reml : {true, false})
      for (const bool is_zero : {true, false}) {
        const Scope scope(recipe.name + (reml ? ", REML" : ", ML") + (is_zero ? ", zero" : ", singular"));
        deviance.set_reml(reml);
        RelativeFactor factor = draw_factor(design, is_zero ? Shape::square : Shape::singular, draws);
        for (std::size_t t = 0; t < factor.lambda.size(); ++t)
          if (is_zero && design.factor[t] == 1) factor.lambda[t].setZero();
        const DenseModel dense(design, whitened_effects(a), factor, reml);
        CHECK_CLOSE(deviance.value(factor), dense.criterion, 1e-11);
        const Derivatives at = derivatives_at(deviance, factor);
        const std::vector<Matrix> g = dense.g();
        for (std::size_t t = 0; t < g.size(); ++t) {
          const Matrix expected = 2 * g[t] * factor.lambda[t];
          CHECK((at.gradient[t] - expected).norm() <= 1e-8 * (1 + expected.norm()));
        }
        CHECK_CLOSE(at.information, dense.information(), 1e-8);
      }
  }
}

TEST(two_factors_have_leaves_and_of_two_that_meet_one_is_stripped) {
  Draws draws(147);
  ThreadPool pool(1);
  Design design = draw({"two", 340, {90, 80, 70}, {{0, 2}, {1, 1}, {2, 2}}, 2, true, Layout::long_tailed});
  const auto level = [&](std::size_t row) -> Code& { return design.codes[2][row]; };
  for (std::size_t row = 0; row < 340; ++row) level(row) %= 20;
  for (std::size_t k = 0; k < 50; ++k) level(k < 20 ? k : 340 - k) = static_cast<Code>(20 + k);  // 20 meet a leaf
  const CrossProducts a = build_cross_products(design.data(), pool);
  CHECK(a.plan.has_leaves() && a.plan.leaves[2].leaves.size() >= 10 && a.plan.leaves[1].leaves.size() >= 50);
  for (std::size_t g = 1; g < 3; ++g)
    for (const Leaf& leaf : a.plan.leaves[g].leaves)
      for (const Code other : levels_met(design, a.plan, g, leaf.level, 3 - g))
        CHECK(!is_leaf(a.plan.rank_of(3 - g, other)));
  ProfiledDeviance deviance(a, pool);
  for (const bool reml : {true, false}) {
    deviance.set_reml(reml);
    const RelativeFactor factor = draw_factor(design, Shape::square, draws);
    const DenseModel dense(design, whitened_effects(a), factor, reml);
    CHECK_CLOSE(deviance.value(factor), dense.criterion, 1e-11);
    const Derivatives at = derivatives_at(deviance, factor);
    for (std::size_t t = 0; t < 3; ++t) CHECK_CLOSE(at.g[t], dense.g()[t], 1e-8);
    CHECK_CLOSE(at.information, dense.information(), 1e-8);
  }
}

TEST(evaluations_with_leaves_have_the_same_bits_for_any_number_of_threads) {
  Draws draws(143);
  const Design design = draw(large);
  const RelativeFactor factor = draw_factor(design, Shape::square, draws);
  std::vector<Derivatives> all;
  std::vector<double> values;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    const CrossProducts a = build_cross_products(design.data(), pool);
    CHECK(a.plan.has_leaves() && a.plan.leaves[1].bounds.size() > 2);
    ProfiledDeviance deviance(a, pool);
    values.push_back(deviance.value(factor));
    all.push_back(derivatives_at(deviance, factor));
    CHECK(values.back() == values.front());
    for (std::size_t t = 0; t < all.back().g.size(); ++t) CHECK_CLOSE(all.back().g[t], all.front().g[t], 0.0);
    CHECK_CLOSE(all.back().information, all.front().information, 0.0);
  }
}

TEST(stripping_changes_no_result) {
  Draws draws(146);
  Design design = draw(large);
  const RelativeFactor factor = draw_factor(design, Shape::square, draws);
  ThreadPool pool(1);
  const CrossProducts stripped = build_cross_products(design.data(), pool);
  design.stripping = Stripping::never;
  const CrossProducts plain = build_cross_products(design.data(), pool);
  CHECK(stripped.plan.has_leaves() && !plain.plan.has_leaves());
  ProfiledDeviance one(stripped, pool), other(plain, pool);
  CHECK_CLOSE(one.value(factor), other.value(factor), 1e-13);
  const Derivatives a = derivatives_at(one, factor), b = derivatives_at(other, factor);
  for (std::size_t t = 0; t < a.g.size(); ++t) CHECK_CLOSE(a.g[t], b.g[t], 1e-9);
  CHECK_CLOSE(a.information, b.information, 1e-9);
  for (std::size_t t = 0; t < factor.lambda.size(); ++t)
    CHECK_CLOSE(moment_start(stripped).lambda[t], moment_start(plain).lambda[t], 1e-9);
}

TEST(an_evaluation_does_not_depend_on_the_ones_before) {
  Draws draws(144);
  ThreadPool pool(1);
  for (const Recipe& recipe : leaf_recipes()) {
    const Scope scope(recipe.name);
    const Design design = draw(recipe);
    const CrossProducts a = build_cross_products(design.data(), pool);
    ProfiledDeviance deviance(a, pool);
    const RelativeFactor factor = draw_factor(design, Shape::square, draws);
    const double value = deviance.value(factor);
    static_cast<void>(deviance.value(draw_factor(design, Shape::square, draws)));
    CHECK(deviance.value(factor) == value);
  }
}

TEST(forward_and_backward_solve_any_right_hand_side) {
  Draws draws(145);
  ThreadPool pool(1);
  for (const Recipe& recipe : leaf_recipes()) {
    const Scope scope(recipe.name);
    const Design design = draw(recipe);
    const CrossProducts a = build_cross_products(design.data(), pool);
    const RelativeFactor factor = draw_factor(design, Shape::square, draws);
    BlockedCholesky cholesky(a, pool);
    CHECK(cholesky.update(factor));
    const Index q_1 = leading_size(a), q = q_1 + a.plan.trailing_size(), all = q + leaf_size(a);
    const Matrix lambda = assembled_lambda(a, factor), z = draws.matrix(all, 3);
    const Matrix m = lambda.transpose() * assembled(a).topLeftCorner(all, all) * lambda + Matrix::Identity(all, all);
    const Matrix expected = lambda * inverse_of(m) * lambda.transpose() * z;
    std::vector<Matrix> leaves(a.plan.groups.size());
    for (std::size_t g = 1; g < leaves.size(); ++g)
      leaves[g] = z.middleRows(leaf_scalar(a, g, 0),
                               static_cast<Index>(a.plan.leaves[g].leaves.size()) * a.plan.groups[g].effects);
    Matrix others = z.topRows(q);
    cholesky.leaves().forward(leaves, others.topRows(q_1), others.bottomRows(q - q_1));
    const Matrix w = lambda.bottomRightCorner(all - q, all - q) * inverse_of(m.bottomRightCorner(all - q, all - q)) *
                     lambda.bottomRightCorner(all - q, all - q).transpose();
    const Matrix taken = assembled(a).block(0, q, q, all - q) * w * z.bottomRows(all - q);
    CHECK_CLOSE(others, Matrix(z.topRows(q) - taken), 1e-11);
    cholesky.leaves().backward(expected.topRows(q_1), expected.middleRows(q_1, q - q_1), leaves);
    for (std::size_t g = 1; g < leaves.size(); ++g)
      CHECK_CLOSE(leaves[g], Matrix(expected.middleRows(leaf_scalar(a, g, 0), leaves[g].rows())), 1e-10);
  }
}

TEST(copies_and_other_responses_of_a_problem_with_leaves) {
  Design design = draw(large);
  Problem problem(design.data(), 1);
  const Vector theta = Vector::Constant(problem.theta_size(), 0.7);
  const double before = problem.criterion(theta, true);
  Problem copy(problem);
  design.y.array() = design.y.array().square();
  problem.set_response(design.data());
  Problem fresh(design.data(), 2);
  CHECK_CLOSE(problem.criterion(theta, true), fresh.criterion(theta, true), 1e-13);
  CHECK_CLOSE(problem.solve(theta, true)->b[1], fresh.solve(theta, true)->b[1], 1e-10);
  CHECK(copy.criterion(theta, true) == before);
}

}  // namespace henderson::testing
