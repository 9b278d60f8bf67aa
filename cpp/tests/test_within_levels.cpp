#include <Eigen/QR>

#include "core/within_levels.hpp"
#include "tests/check.hpp"
#include "tests/designs.hpp"

namespace henderson::testing {

namespace {

// Residual mean square of the least squares fit on X and the columns of the terms on one factor, level by level.
double mean_square(const Design& design, std::size_t factor) {
  std::vector<Vector> columns;
  const Matrix x = design.fixed();
  for (Index j = 0; j < x.cols(); ++j) columns.emplace_back(x.col(j));
  const std::vector<Matrix> z = design.effects();
  for (std::size_t t = 0; t < z.size(); ++t) {
    if (design.factor[t] != factor) continue;
    for (Index level = 0; level < design.levels[factor]; ++level)
      for (Index k = 0; k < z[t].cols(); ++k) {
        Vector column = z[t].col(k);
        for (Index i = 0; i < design.rows(); ++i)
          if (design.codes[factor][static_cast<std::size_t>(i)] != level) column[i] = 0;
        columns.push_back(column);
      }
  }
  const Vector root = design.weight().cwiseSqrt();
  Matrix all(design.rows(), static_cast<Index>(columns.size()));
  for (Index j = 0; j < all.cols(); ++j) all.col(j) = root.cwiseProduct(columns[static_cast<std::size_t>(j)]);
  const Eigen::ColPivHouseholderQR<Matrix> qr(all);
  const Vector rotated = qr.householderQ().adjoint() * root.cwiseProduct(design.y);
  const Index left = design.rows() - qr.rank();
  return rotated.tail(left).squaredNorm() / static_cast<double>(left);
}

}  // namespace

TEST(variance_within_levels_is_the_residual_mean_square_of_least_squares) {
  ThreadPool pool(1);
  for (const Recipe& recipe :
       {Recipe{"one factor", 60, {12}, {{0, 1}}, 2, false, Layout::crossed},
        Recipe{"slopes, weights", 80, {12}, {{0, 2}}, 3, true, Layout::crossed},
        Recipe{"two terms, levels without rows", 90, {12}, {{0, 1}, {0, 2}}, 2, false, Layout::unobserved},
        Recipe{"crossed", 90, {14, 5}, {{0, 2}, {1, 1}}, 2, false, Layout::crossed},
        Recipe{"no fixed effects", 60, {12}, {{0, 1}}, 0, false, Layout::crossed}}) {
    const Scope scope(recipe.name);
    const Design design = draw(recipe);
    const CrossProducts a = build_cross_products(design.data(), pool);
    const double expected = mean_square(design, static_cast<std::size_t>(a.leading().factor));
    CHECK(std::abs(within_level_variance(a) / expected - 1) < 1e-8);
  }
}

TEST(few_degrees_of_freedom_or_nothing_but_rounding_tell_no_variance) {
  ThreadPool pool(1);
  const Design few = draw({"few", 20, {12}, {{0, 1}}, 2, false, Layout::crossed});
  CHECK(within_level_variance(build_cross_products(few.data(), pool)) == 0);
  Design exact = draw({"exact", 60, {12}, {{0, 1}}, 2, false, Layout::crossed});
  for (Index i = 0; i < exact.rows(); ++i) exact.y[i] = exact.codes[0][static_cast<std::size_t>(i)] % 5;
  CHECK(within_level_variance(build_cross_products(exact.data(), pool)) == 0);
}

}  // namespace henderson::testing
