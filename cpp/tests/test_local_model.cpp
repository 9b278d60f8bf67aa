#include <functional>

#include "core/local_model.hpp"
#include "tests/analytic_objectives.hpp"
#include "tests/check.hpp"

namespace henderson::testing {

namespace {

struct Case {
  SpectralFactor point;
  Derivatives at;
  std::vector<double> shift;
};

Case draw_case(const std::vector<Index>& sizes, double smallest, Draws& draws) {
  Case out;
  RelativeFactor factor;
  std::vector<Matrix> scatter;
  std::vector<double> counts;
  for (const Index s : sizes) {
    factor.lambda.emplace_back(draws.matrix(s, s));
    factor.lambda.back().col(0) *= smallest;
    scatter.push_back(draws.positive_definite(s));
    counts.push_back(5 + draws.uniform());
    out.shift.push_back(0.1 + draws.uniform());
  }
  out.point = decompose(factor);
  GaussianSamples(scatter, counts).derivatives(compose(out.point), false, out.at);
  return out;
}

SpectralFactor nearby(const SpectralFactor& point, double length, Draws& draws) {
  const std::vector<Direction> basis = tangent_basis(point);
  return moved(point, basis, length * draws.matrix(static_cast<Index>(basis.size()), 1));
}

const std::vector<std::vector<Index>> shapes{{1}, {2}, {3}, {1, 1}, {2, 1, 3}};

}  // namespace

TEST(local_model_agrees_with_the_criterion_at_its_centre) {
  Draws draws(101);
  for (const auto& sizes : shapes)
    for (const double smallest : {1.0, 1e-3}) {
      const Case c = draw_case(sizes, smallest, draws);
      LocalModel model(c.point, c.at, c.at.information, c.shift);
      CHECK(model.value(c.point) == 0);
      const Derivatives& own = model.derivatives(c.point);
      for (std::size_t t = 0; t < sizes.size(); ++t) {
        CHECK_CLOSE(own.g[t], c.at.g[t], 1e-10);
        CHECK_CLOSE(own.gradient[t], c.at.gradient[t], 1e-9);
      }
      CHECK_CLOSE(own.information, c.at.information, 1e-9);
    }
}

TEST(local_model_derivatives_equal_finite_differences_of_its_value) {
  Draws draws(102);
  for (const auto& sizes : shapes)
    for (const double smallest : {1.0, 1e-3})
      for (const double away : {0.0, 0.3, 1.0}) {
        const Case c = draw_case(sizes, smallest, draws);
        LocalModel model(c.point, c.at, c.at.information, c.shift);
        const SpectralFactor point = nearby(c.point, away, draws);
        const QuadraticModel quadratic = quadratic_model(point, tangent_basis(point), model.derivatives(point));
        const auto value = [&](const SpectralFactor& at) { return model.value(at); };
        const Vector gradient = difference_gradient(value, point);
        const Matrix hessian = difference_hessian(value, point);
        CHECK((quadratic.gradient - gradient).norm() < 1e-6 * (1 + gradient.norm()));
        CHECK((quadratic.hessian - hessian).norm() < 1e-4 * (1 + hessian.norm()));
      }
}

TEST(local_model_uses_the_information_it_is_given) {
  Draws draws(103);
  const Case c = draw_case({2, 1}, 1.0, draws);
  const Matrix information = draws.positive_definite(4);
  LocalModel model(c.point, c.at, information, c.shift);
  CHECK_CLOSE(model.derivatives(c.point).information, information, 1e-10);
}

TEST(quadratic_model_with_exact_second_derivatives_is_the_exact_hessian) {
  Draws draws(104);
  for (const auto& sizes : shapes) {
    RelativeFactor factor;
    std::vector<Matrix> scatter;
    for (const Index s : sizes) {
      factor.lambda.emplace_back(draws.matrix(s, s));
      scatter.push_back(draws.positive_definite(s));
    }
    const GaussianSamples samples(scatter, std::vector<double>(sizes.size(), 3.0));
    const SpectralFactor point = decompose(factor);
    Derivatives at;
    samples.derivatives(compose(point), true, at);
    const QuadraticModel model = quadratic_model(point, tangent_basis(point), at);
    const auto value = [&](const SpectralFactor& to) { return samples.value(compose(to)); };
    CHECK_CLOSE(model.gradient, difference_gradient(value, point), 1e-6);
    CHECK_CLOSE(model.hessian, difference_hessian(value, point), 1e-4);
  }
}

}  // namespace henderson::testing
