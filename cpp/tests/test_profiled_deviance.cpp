#include <cmath>
#include <functional>

#include "core/profiled_deviance.hpp"
#include "core/spectral_factor.hpp"
#include "tests/assembled.hpp"
#include "tests/check.hpp"

namespace henderson::testing {

namespace {

using Body = std::function<void(const Design&, const CrossProducts&, ProfiledDeviance&, bool reml)>;

void for_each_case(const std::vector<Recipe>& recipes, const Body& body) {
  ThreadPool pool(1);
  for (const Recipe& recipe : recipes) {
    const Design design = draw(recipe);
    const CrossProducts a = build_cross_products(design.data(), pool);
    ProfiledDeviance deviance(a, pool);
    for (const bool reml : {true, false}) {
      const Scope scope(recipe.name + (reml ? ", REML" : ", ML"));
      deviance.set_reml(reml);
      body(design, a, deviance, reml);
    }
  }
}

// Central difference of the criterion as entry (i, j) of lam of one term moves.
double slope_of(ProfiledDeviance& deviance, const RelativeFactor& factor, std::size_t term, Index i, Index j) {
  const double step = 1e-5;
  RelativeFactor up = factor, down = factor;
  up.lambda[term](i, j) += step;
  down.lambda[term](i, j) -= step;
  return (deviance.value(up) - deviance.value(down)) / (2 * step);
}

Matrix difference_gradient(ProfiledDeviance& deviance, const RelativeFactor& factor, std::size_t term) {
  const Index s = factor.lambda[term].rows();
  Matrix out(s, s);
  for (Index j = 0; j < s; ++j)
    for (Index i = 0; i < s; ++i) out(i, j) = slope_of(deviance, factor, term, i, j);
  return out;
}

Derivatives derivatives_at(ProfiledDeviance& deviance, const RelativeFactor& factor) {
  Derivatives out;
  CHECK(std::isfinite(deviance.value(factor)));
  deviance.derivatives(factor, true, out);
  return out;
}

void check_same(const Derivatives& a, const Derivatives& b, double tolerance) {
  for (std::size_t t = 0; t < a.g.size(); ++t) {
    CHECK_CLOSE(a.g[t], b.g[t], tolerance);
    CHECK_CLOSE(a.gradient[t], b.gradient[t], tolerance);
  }
  CHECK_CLOSE(a.information, b.information, tolerance);
}

}  // namespace

TEST(criterion_equals_the_dense_marginal_likelihood) {
  Draws draws(81);
  for_each_case(all_recipes(),
                [&](const Design& design, const CrossProducts& a, ProfiledDeviance& deviance, bool reml) {
                  for (const Shape shape : {Shape::square, Shape::lower, Shape::singular}) {
                    const RelativeFactor factor = draw_factor(design, shape, draws);
                    const DenseModel dense(design, whitened_effects(a), factor, reml);
                    CHECK_CLOSE(deviance.value(factor), dense.criterion, 1e-11);
                    CHECK_CLOSE(deviance.sigma2(), dense.sigma2, 1e-9);
                    CHECK(deviance.degrees_of_freedom() == dense.df);
                  }
                });
}

TEST(criterion_at_zero_is_that_of_least_squares) {
  Draws draws(82);
  for_each_case(
      usual_recipes(), [&](const Design& design, const CrossProducts& a, ProfiledDeviance& deviance, bool reml) {
        RelativeFactor zero = draw_factor(design, Shape::square, draws);
        for (Matrix& lambda : zero.lambda) lambda.setZero();
        CHECK_CLOSE(deviance.value(zero), DenseModel(design, whitened_effects(a), zero, reml).criterion, 1e-12);
      });
}

TEST(gradient_and_g_equal_dense) {
  Draws draws(83);
  for_each_case(all_recipes(),
                [&](const Design& design, const CrossProducts& a, ProfiledDeviance& deviance, bool reml) {
                  const RelativeFactor factor = draw_factor(design, Shape::square, draws);
                  const Derivatives at = derivatives_at(deviance, factor);
                  const std::vector<Matrix> g = DenseModel(design, whitened_effects(a), factor, reml).g();
                  for (std::size_t t = 0; t < g.size(); ++t) {
                    CHECK_CLOSE(at.g[t], g[t], 1e-8);
                    CHECK_CLOSE(at.gradient[t], Matrix(2 * g[t] * factor.lambda[t]), 1e-8);
                  }
                });
}

TEST(gradient_equals_finite_differences_at_regular_and_singular_factors) {
  Draws draws(84);
  for_each_case(usual_recipes(), [&](const Design& design, const CrossProducts&, ProfiledDeviance& deviance, bool) {
    for (const Shape shape : {Shape::square, Shape::singular}) {
      const RelativeFactor factor = draw_factor(design, shape, draws);
      if (factor.lambda[0].rows() > 6) continue;
      const Derivatives at = derivatives_at(deviance, factor);
      for (std::size_t t = 0; t < at.gradient.size(); ++t) {
        const Matrix expected = difference_gradient(deviance, factor, t);
        CHECK(at.gradient[t].allFinite());
        CHECK((at.gradient[t] - expected).norm() < 1e-6 * (1 + expected.norm()));
      }
    }
  });
}

TEST(gradient_at_zero_is_zero) {
  Draws draws(85);
  for_each_case(all_recipes(), [&](const Design& design, const CrossProducts&, ProfiledDeviance& deviance, bool) {
    RelativeFactor zero = draw_factor(design, Shape::square, draws);
    for (Matrix& lambda : zero.lambda) lambda.setZero();
    const Derivatives at = derivatives_at(deviance, zero);
    for (const Matrix& gradient : at.gradient) CHECK(gradient.isZero(1e-10));
  });
}

TEST(g_and_information_keep_their_digits_near_singular_factors) {
  Draws draws(86);
  for_each_case(usual_recipes(),
                [&](const Design& design, const CrossProducts& a, ProfiledDeviance& deviance, bool reml) {
                  RelativeFactor factor = draw_factor(design, Shape::square, draws);
                  for (Matrix& lambda : factor.lambda) lambda.col(0) *= smallest_singular / lambda.col(0).norm();
                  const Derivatives at = derivatives_at(deviance, factor);
                  const DenseModel dense(design, whitened_effects(a), factor, reml);
                  const std::vector<Matrix> g = dense.g();
                  for (std::size_t t = 0; t < g.size(); ++t) CHECK_CLOSE(at.g[t], g[t], 1e-5);
                  CHECK_CLOSE(at.information, dense.information(), 1e-6);
                });
}

TEST(information_equals_dense) {
  Draws draws(87);
  for_each_case(
      all_recipes(), [&](const Design& design, const CrossProducts& a, ProfiledDeviance& deviance, bool reml) {
        const RelativeFactor factor = draw_factor(design, Shape::square, draws);
        const Derivatives at = derivatives_at(deviance, factor);
        CHECK_CLOSE(at.information, DenseModel(design, whitened_effects(a), factor, reml).information(), 1e-8);
        CHECK(eigenvalues_of(at.information)[0] > -1e-9 * at.information.norm());
      });
}

TEST(derivatives_do_not_depend_on_rotations_of_lambda) {
  Draws draws(88);
  for_each_case(usual_recipes(), [&](const Design& design, const CrossProducts&, ProfiledDeviance& deviance, bool) {
    RelativeFactor factor = draw_factor(design, Shape::square, draws);
    const double value = deviance.value(factor);
    const Derivatives before = derivatives_at(deviance, factor);
    for (Matrix& lambda : factor.lambda) lambda *= draws.orthogonal(lambda.cols());
    CHECK_CLOSE(deviance.value(factor), value, 1e-12);
    const Derivatives after = derivatives_at(deviance, factor);
    for (std::size_t t = 0; t < before.g.size(); ++t) CHECK_CLOSE(after.g[t], before.g[t], 1e-8);
    CHECK_CLOSE(after.information, before.information, 1e-8);
  });
}

TEST(quadratic_model_has_the_slopes_of_the_criterion_along_tangent_directions) {
  Draws draws(89);
  for_each_case(usual_recipes(), [&](const Design& design, const CrossProducts&, ProfiledDeviance& deviance, bool) {
    const SpectralFactor point = decompose(draw_factor(design, Shape::square, draws));
    const std::vector<Direction> basis = tangent_basis(point);
    const auto size = static_cast<Index>(basis.size());
    if (size > 30) return;
    const QuadraticModel model = quadratic_model(point, basis, derivatives_at(deviance, compose(point)));
    Vector expected(size);
    for (Index k = 0; k < size; ++k) {
      const Vector step = 1e-5 * Vector::Unit(size, k);
      const double up = deviance.value(compose(moved(point, basis, step)));
      expected[k] = (up - deviance.value(compose(moved(point, basis, -step)))) / 2e-5;
    }
    CHECK((model.gradient - expected).norm() < 1e-6 * (1 + expected.norm()));
    CHECK_CLOSE(model.hessian, Matrix(model.hessian.transpose()), 1e-12);
  });
}

TEST(sparse_and_dense_trailing_layouts_give_the_same_numbers) {
  Draws draws(90);
  ThreadPool pool(1);
  for_each_case(sparse_recipes(),
                [&](const Design& design, const CrossProducts& a, ProfiledDeviance& sparse, bool reml) {
                  const CrossProducts other = with_dense_trailing(a);
                  ProfiledDeviance dense(other, pool);
                  dense.set_reml(reml);
                  for (int trial = 0; trial < 2; ++trial) {
                    const RelativeFactor factor = draw_factor(design, Shape::square, draws);
                    CHECK_CLOSE(sparse.value(factor), dense.value(factor), 1e-13);
                    check_same(derivatives_at(sparse, factor), derivatives_at(dense, factor), 1e-9);
                  }
                });
}

TEST(criterion_and_derivatives_have_the_same_bits_for_any_number_of_threads) {
  Draws draws(91);
  for (const Recipe& recipe :
       {Recipe{"one factor", 6000, {5000}, {{0, 2}}, 3, false, Layout::crossed},
        Recipe{"dense trailing", 9000, {3000, 140}, {{0, 1}, {1, 1}}, 2, true, Layout::crossed},
        Recipe{"sparse trailing", 6000, {3000, 300}, {{0, 1}, {1, 1}}, 2, true, Layout::chained}}) {
    const Scope scope(recipe.name);
    const Design design = draw(recipe);
    const RelativeFactor factor = draw_factor(design, Shape::square, draws);
    std::vector<double> values;
    std::vector<Derivatives> all;
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      const CrossProducts a = build_cross_products(design.data(), pool);
      ProfiledDeviance deviance(a, pool);
      values.push_back(deviance.value(factor));
      all.push_back(derivatives_at(deviance, factor));
      CHECK(values.back() == values.front());
      check_same(all.back(), all.front(), 0.0);
    }
  }
}

TEST(criterion_is_infinite_where_it_does_not_exist) {
  for_each_case(usual_recipes(), [](const Design& design, const CrossProducts&, ProfiledDeviance& deviance, bool) {
    Draws draws(92);
    RelativeFactor factor = draw_factor(design, Shape::square, draws);
    factor.lambda.back()(0, 0) = std::nan("");
    CHECK(deviance.value(factor) == HUGE_VAL);
  });
}

}  // namespace henderson::testing
