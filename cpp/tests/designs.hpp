// Random designs with fixed seeds, and the dense mixed model they are compared with.
#pragma once

#include <string>

#include "core/cross_products.hpp"
#include "core/relative_factor.hpp"
#include "tests/dense_algebra.hpp"

namespace henderson::testing {

enum class Layout {
  crossed,     // codes drawn at random
  nested,      // each factor nested in the next
  chained,     // a level of the first factor meets two neighbouring levels of each other factor
  singletons,  // most levels of the first factor have one row
  unobserved,  // every third level has no rows
  long_tailed  // two thirds of the levels of the second factor have one to three rows, at one level of the first
};

struct TermShape {
  std::size_t factor = 0;
  Index effects = 1;  // the first is an intercept
};

struct Recipe {
  std::string name;
  Index n = 60;
  std::vector<Index> levels;  // per factor
  std::vector<TermShape> terms;
  Index p = 2;  // the first column of X is the intercept
  bool weighted = false;
  Layout layout = Layout::crossed;  // long_tailed designs are stripped, whether it pays or not
};

struct Design {
  Vector y, weights;  // weights: empty for none
  Matrix covariates;  // (n, any)
  std::vector<std::vector<Code>> codes;
  std::vector<Index> levels;
  std::vector<Index> x;               // columns of covariates; -1 is the column of ones
  std::vector<std::vector<Index>> z;  // per term
  std::vector<std::size_t> factor;    // per term
  Stripping stripping = Stripping::where_it_pays;

  [[nodiscard]] Index rows() const { return y.size(); }
  [[nodiscard]] ModelData data() const;               // views of this object
  [[nodiscard]] Matrix fixed() const;                 // X
  [[nodiscard]] std::vector<Matrix> effects() const;  // per term (n, s): Z_t before it meets its factor
  [[nodiscard]] Vector weight() const;                // ones where there are none
};

[[nodiscard]] Design draw(const Recipe& recipe, std::uint64_t seed = 1);
[[nodiscard]] const std::vector<Recipe>& usual_recipes();   // every kind of design, dense trailing blocks
[[nodiscard]] const std::vector<Recipe>& sparse_recipes();  // with a sparse trailing block
[[nodiscard]] const std::vector<Recipe>& leaf_recipes();    // with stripped leaves
[[nodiscard]] std::vector<Recipe> all_recipes();

// A random relative factor: square where `square`, else lower triangular; the last column zero where `singular`.
enum class Shape { square, lower, singular };
[[nodiscard]] RelativeFactor draw_factor(const Design& design, Shape shape, Draws& draws);
[[nodiscard]] Vector draw_theta(const Design& design, Draws& draws);

// The whitened columns of every term, (n, s).
[[nodiscard]] std::vector<Matrix> whitened_effects(const CrossProducts& a);

// The mixed model by its n x n matrices: V = Z Lam Lam' Z' + W^-1.
struct DenseModel {
  DenseModel(const Design& design, const std::vector<Matrix>& effects, const RelativeFactor& factor, bool reml);

  [[nodiscard]] std::vector<Matrix> g() const;          // per term: C_t - sum w w' / sigma^2
  [[nodiscard]] Matrix information() const;             // F_kl = v_k'P v_l / sigma^2 - c_k c_l / df
  [[nodiscard]] Matrix modes(std::size_t term) const;   // (levels, s): Lam Lam'Z'Py
  [[nodiscard]] Matrix scores(std::size_t term) const;  // (levels, s): Z'Py

  const Design& design;
  std::vector<Matrix> effects;
  RelativeFactor factor;
  bool reml = true;
  Matrix v_inverse;  // V^-1
  Matrix projected;  // P
  Matrix beta_vcov;  // (X'V^-1X)^-1
  Vector beta, py;
  double criterion = 0, log_det = 0, log_det_root = 0, pwrss = 0, sigma2 = 0, df = 0;
};

}  // namespace henderson::testing
