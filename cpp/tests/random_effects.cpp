#include "tests/random_effects.hpp"

#include "tests/check.hpp"

namespace henderson::testing {

DenseRandom::DenseRandom(const Design& d, const Vector& theta) : design(d), begin{0} {
  const std::vector<Matrix> effects = design.effects();
  for (std::size_t t = 0; t < effects.size(); ++t)
    begin.push_back(begin.back() + design.levels[design.factor[t]] * effects[t].cols());
  z.setZero(design.rows(), begin.back());
  Matrix lambda = Matrix::Zero(z.cols(), z.cols());
  Index k = 0;
  for (std::size_t t = 0; t < effects.size(); ++t) {
    const Index s = effects[t].cols();
    for (Index i = 0; i < design.rows(); ++i)
      z.row(i).segment(begin[t] + design.codes[design.factor[t]][static_cast<std::size_t>(i)] * s, s) =
          effects[t].row(i);
    for (Index j = 0; j < s; ++j)
      for (Index i = j; i < s; ++i, ++k)
        for (Index first = begin[t]; first < begin[t + 1]; first += s) lambda(first + i, first + j) = theta[k];
  }
  const Matrix products = z.transpose() * design.weight().asDiagonal() * z;
  const Matrix m = lambda.transpose() * products * lambda + Matrix::Identity(z.cols(), z.cols());
  h = lambda * inverse_of(m) * lambda.transpose();
  information = products - products * h * products;
}

Vector DenseRandom::leverages() const { return design.weight().cwiseProduct((z * h).cwiseProduct(z).rowwise().sum()); }

Matrix DenseRandom::trace(std::size_t term) const {
  const auto s = static_cast<Index>(design.z[term].size());
  Matrix out = Matrix::Zero(s, s);
  for (Index first = begin[term]; first < begin[term + 1]; first += s) out += information.block(first, first, s, s);
  return out;
}

Vector draw_singular_theta(const Design& design, Draws& draws) {
  Vector theta = draw_theta(design, draws);
  Index k = 0;
  for (std::size_t t = 0; t < design.z.size(); ++t) {
    const auto s = static_cast<Index>(design.z[t].size());
    const Index rank = t % 2 == 1 ? 0 : s - 1;
    for (Index j = 0; j < s; ++j)
      for (Index i = j; i < s; ++i, ++k)
        if (j >= rank) theta[k] = 0;
  }
  return theta;
}

void for_each_random_case(const RandomBody& body) {
  Draws draws(200);
  for (const Recipe& recipe : all_recipes()) {
    Design design = draw(recipe);
    design.stripping = Stripping::never;
    Problem problem(design.data(), 1);
    {
      const Scope scope(recipe.name);
      body(design, problem, draw_theta(design, draws));
    }
    {
      const Scope scope(recipe.name + ", singular");
      body(design, problem, draw_singular_theta(design, draws));
    }
    const Scope scope(recipe.name + ", zero");
    body(design, problem, Vector::Zero(problem.theta_size()));
  }
}

}  // namespace henderson::testing
