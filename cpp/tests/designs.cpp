#include "tests/designs.hpp"

#include <cmath>

namespace henderson::testing {

namespace {

// Six rows hold three leaves of one, two and three rows; the levels that are no leaves share the rows that are left.
Code draw_long_tailed(const Recipe& recipe, std::size_t factor, Index row, Draws& draws) {
  const Index leaves = 2 * recipe.levels[1] / 3;
  const Index leaf = row / 6 * 3 + (row % 6 + 1) / 2 - (row % 6 == 5 ? 1 : 0);
  if (factor == 0) return static_cast<Code>((leaf < leaves ? leaf : row) % recipe.levels[0]);
  if (factor > 1) return static_cast<Code>(draws.below(recipe.levels[factor]));
  return static_cast<Code>(leaf < leaves ? leaf : leaves + draws.below(recipe.levels[1] - leaves));
}

Code draw_code(const Recipe& recipe, std::size_t factor, Index row, Draws& draws) {
  const Index levels = recipe.levels[factor];
  const Index first = row % recipe.levels[0];
  switch (recipe.layout) {
    case Layout::nested:
      return static_cast<Code>(first * levels / recipe.levels[0]);
    case Layout::chained:
      if (factor == 0) return static_cast<Code>(first);
      return static_cast<Code>((first * levels / recipe.levels[0] + draws.below(2)) % levels);
    case Layout::singletons:
      return static_cast<Code>(row < levels ? row : draws.below(std::min<Index>(levels, 3)));
    case Layout::unobserved:
      return static_cast<Code>(3 * draws.below((levels + 2) / 3));
    case Layout::long_tailed:
      return draw_long_tailed(recipe, factor, row, draws);
    case Layout::crossed:
      break;
  }
  return static_cast<Code>(draws.below(levels));
}

}  // namespace

Design draw(const Recipe& recipe, std::uint64_t seed) {
  Draws draws(seed + 1000 * recipe.name.size());
  Design d;
  Index columns = std::max<Index>(recipe.p - 1, 0);
  for (const TermShape& term : recipe.terms) columns = std::max(columns, term.effects);
  d.covariates = draws.matrix(recipe.n, columns);
  d.levels = recipe.levels;
  if (recipe.layout == Layout::long_tailed) d.stripping = Stripping::always;
  for (Index j = 0; j < recipe.p; ++j) d.x.push_back(j - 1);
  for (std::size_t f = 0; f < recipe.levels.size(); ++f) {
    d.codes.emplace_back();
    for (Index row = 0; row < recipe.n; ++row) d.codes.back().push_back(draw_code(recipe, f, row, draws));
  }
  d.y = draws.matrix(recipe.n, 1);
  if (columns > 0) d.y += 0.5 * d.covariates.col(0);
  for (std::size_t t = 0; t < recipe.terms.size(); ++t) {
    const TermShape& term = recipe.terms[t];
    const bool again =
        t > 0 && recipe.terms[t - 1].factor == term.factor;  // a second term on a factor has no intercept
    d.factor.push_back(term.factor);
    d.z.emplace_back();
    for (Index e = 0; e < term.effects; ++e) d.z.back().push_back(again ? e : e - 1);
    const Matrix b = draws.matrix(recipe.levels[term.factor], term.effects);
    const Matrix z = d.effects().back();
    for (Index i = 0; i < recipe.n; ++i)
      d.y[i] += b.row(d.codes[term.factor][static_cast<std::size_t>(i)]).dot(z.row(i));
  }
  if (recipe.weighted) d.weights = (draws.matrix(recipe.n, 1).array() * 0.5).exp();
  return d;
}

ModelData Design::data() const {
  const auto column = [&](Index j) { return Column{j < 0 ? nullptr : covariates.col(j).data()}; };
  ModelData out;
  out.n = rows();
  out.stripping = stripping;
  out.y = y.data();
  out.weights = weights.size() > 0 ? weights.data() : nullptr;
  for (const Index j : x) out.x.push_back(column(j));
  for (std::size_t f = 0; f < codes.size(); ++f) out.factors.push_back({codes[f].data(), levels[f]});
  for (std::size_t t = 0; t < z.size(); ++t) {
    out.terms.push_back({static_cast<Index>(factor[t]), {}});
    for (const Index j : z[t]) out.terms.back().z.push_back(column(j));
  }
  return out;
}

Matrix Design::fixed() const {
  Matrix out = Matrix::Ones(rows(), static_cast<Index>(x.size()));
  for (Index j = 0; j < out.cols(); ++j)
    if (x[static_cast<std::size_t>(j)] >= 0) out.col(j) = covariates.col(x[static_cast<std::size_t>(j)]);
  return out;
}

std::vector<Matrix> Design::effects() const {
  std::vector<Matrix> out;
  for (const std::vector<Index>& columns : z) {
    Matrix own = Matrix::Ones(rows(), static_cast<Index>(columns.size()));
    for (Index j = 0; j < own.cols(); ++j)
      if (columns[static_cast<std::size_t>(j)] >= 0) own.col(j) = covariates.col(columns[static_cast<std::size_t>(j)]);
    out.push_back(own);
  }
  return out;
}

Vector Design::weight() const { return weights.size() > 0 ? weights : Vector::Ones(rows()); }

const std::vector<Recipe>& usual_recipes() {
  static const std::vector<Recipe> recipes{
      {"one factor, s = 1", 40, {7}, {{0, 1}}, 2, false, Layout::crossed},
      {"one factor, s = 2, no fixed effects", 50, {9}, {{0, 2}}, 0, false, Layout::crossed},
      {"one factor, s = 3, weights", 70, {10}, {{0, 3}}, 4, true, Layout::crossed},
      {"one factor, s = 4", 90, {17}, {{0, 4}}, 1, false, Layout::crossed},
      {"one factor, s = 5, singletons", 80, {20}, {{0, 5}}, 3, true, Layout::singletons},
      {"one factor, s = 6, unobserved", 90, {12}, {{0, 6}}, 2, false, Layout::unobserved},
      {"one factor, s = 20", 150, {9}, {{0, 20}}, 2, false, Layout::crossed},
      {"one factor, two terms", 60, {8}, {{0, 1}, {0, 2}}, 2, false, Layout::crossed},
      {"two crossed", 60, {11, 5}, {{0, 1}, {1, 1}}, 2, false, Layout::crossed},
      {"two crossed, the smaller first", 60, {5, 11}, {{0, 1}, {1, 1}}, 2, true, Layout::crossed},
      {"two crossed, s = 2 and 3, weights", 90, {12, 6}, {{0, 2}, {1, 3}}, 3, true, Layout::crossed},
      {"two crossed, no fixed effects", 60, {8, 5}, {{0, 2}, {1, 2}}, 0, false, Layout::crossed},
      {"three crossed", 80, {13, 7, 4}, {{0, 1}, {1, 1}, {2, 1}}, 2, false, Layout::crossed},
      {"three crossed, s = 3, 1, 2", 90, {10, 6, 4}, {{0, 3}, {1, 1}, {2, 2}}, 2, true, Layout::crossed},
      {"nested chain", 80, {24, 8, 2}, {{0, 1}, {1, 1}, {2, 1}}, 1, false, Layout::nested},
      {"nested chain, s = 2, 1, 2", 90, {24, 8, 2}, {{0, 2}, {1, 1}, {2, 2}}, 2, true, Layout::nested},
      {"several terms on each of two factors",
       90,
       {10, 5},
       {{0, 1}, {0, 2}, {1, 1}, {1, 1}},
       2,
       false,
       Layout::crossed},
      {"crossed, unobserved levels", 70, {15, 9}, {{0, 2}, {1, 1}}, 2, false, Layout::unobserved},
      {"a trailing factor of one level", 60, {10, 1}, {{0, 2}, {1, 3}}, 2, false, Layout::crossed},
      {"crossed, singleton levels", 70, {50, 9}, {{0, 1}, {1, 2}}, 2, true, Layout::singletons}};
  return recipes;
}

const std::vector<Recipe>& sparse_recipes() {
  static const std::vector<Recipe> recipes{
      {"sparse trailing, s = 1", 320, {160, 90}, {{0, 1}, {1, 1}}, 2, false, Layout::chained},
      {"sparse trailing, s = 2 and 2", 330, {150, 60}, {{0, 2}, {1, 2}}, 2, true, Layout::chained},
      {"sparse trailing, three factors", 330, {165, 70, 40}, {{0, 1}, {1, 1}, {2, 2}}, 2, false, Layout::chained},
      {"sparse trailing, nested", 330, {110, 55, 50}, {{0, 1}, {1, 2}, {2, 1}}, 1, true, Layout::nested}};
  return recipes;
}

const std::vector<Recipe>& leaf_recipes() {
  static const std::vector<Recipe> recipes{
      {"leaves, s = 1", 340, {100, 90}, {{0, 1}, {1, 1}}, 2, false, Layout::long_tailed},
      {"leaves, s = 2 and 1", 340, {60, 100}, {{0, 2}, {1, 1}}, 2, false, Layout::long_tailed},
      {"leaves, s = 3 and 2, weights", 340, {60, 84}, {{0, 3}, {1, 2}}, 3, true, Layout::long_tailed},
      {"leaves, s = 2 and 2, no fixed effects", 340, {90, 84}, {{0, 2}, {1, 2}}, 0, false, Layout::long_tailed},
      {"leaves, three factors", 340, {60, 96, 4}, {{0, 2}, {1, 1}, {2, 1}}, 2, false, Layout::long_tailed},
      {"leaves, s = 3, 2, 2, weights", 340, {60, 84, 3}, {{0, 3}, {1, 2}, {2, 2}}, 2, true, Layout::long_tailed},
      {"leaves, several terms on each factor",
       340,
       {60, 54, 5},
       {{0, 1}, {0, 1}, {1, 1}, {1, 1}, {2, 1}},
       1,
       true,
       Layout::long_tailed},
      {"leaves, a larger third factor", 340, {60, 96, 40}, {{0, 2}, {1, 1}, {2, 1}}, 2, false, Layout::long_tailed}};
  return recipes;
}

std::vector<Recipe> all_recipes() {
  std::vector<Recipe> out = usual_recipes();
  out.insert(out.end(), sparse_recipes().begin(), sparse_recipes().end());
  out.insert(out.end(), leaf_recipes().begin(), leaf_recipes().end());
  return out;
}

RelativeFactor draw_factor(const Design& design, Shape shape, Draws& draws) {
  RelativeFactor out;
  for (const std::vector<Index>& columns : design.z) {
    const auto s = static_cast<Index>(columns.size());
    Matrix lambda = 0.4 * draws.matrix(s, s) + Matrix::Identity(s, s);
    if (shape == Shape::lower) {
      lambda = lower_of(lambda);
      lambda.diagonal() = lambda.diagonal().cwiseAbs();
    }
    if (shape == Shape::singular) lambda.col(s - 1).setZero();
    out.lambda.push_back(lambda);
  }
  return out;
}

Vector draw_theta(const Design& design, Draws& draws) {
  const RelativeFactor factor = draw_factor(design, Shape::lower, draws);
  std::vector<double> theta;
  for (const Matrix& lambda : factor.lambda)
    for (Index j = 0; j < lambda.cols(); ++j)
      for (Index i = j; i < lambda.rows(); ++i) theta.push_back(lambda(i, j));
  return Eigen::Map<const Vector>(theta.data(), static_cast<Index>(theta.size()));
}

std::vector<Matrix> whitened_effects(const CrossProducts& a) {
  std::vector<Matrix> out;
  for (const AffineMap& map : a.random) {
    out.emplace_back(a.n, map.size());
    map.apply(0, out.back());
  }
  return out;
}

}  // namespace henderson::testing
