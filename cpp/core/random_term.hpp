// What a model is made of, as views of the caller's columns: response, fixed-effect columns, grouping factors, random
// terms.
#pragma once

#include <optional>
#include <vector>

#include "core/types.hpp"

namespace henderson {

// One column of X or Z; no data means a column of ones (intercepts are never stored).
struct Column {
  const double* data = nullptr;
  [[nodiscard]] double operator[](Index row) const { return data == nullptr ? 1.0 : data[row]; }
};

struct Factor {
  const Code* codes = nullptr;  // (n,), values 0 .. levels - 1
  Index levels = 0;
};

// s effects for each level of one factor, with an unstructured s x s covariance.
struct RandomTerm {
  Index factor = 0;
  std::vector<Column> z;  // s columns of length n
};

// Whether levels that meet one level of the leading factor are eliminated before it (leaf_levels.hpp).
enum class Stripping { where_it_pays, always, never };

// Rows may stand for more rows than they are: any rows with the same weighted cross-products give the same criterion up
// to the number of observations and the determinant of their weights, which are then told apart from the rows.
struct Represented {
  double observations = 0;  // n of the criterion
  double log_weights = 0;   // sum of the logarithms of their weights
};

struct ModelData {
  Index n = 0;
  const double* y = nullptr;        // (n,)
  const double* weights = nullptr;  // (n,), positive; none = all ones
  std::vector<Column> x;            // p columns of length n
  std::vector<Factor> factors;
  std::vector<RandomTerm> terms;           // in the order of theta; several may share one factor
  std::optional<Represented> represented;  // none: the rows themselves
  Stripping stripping = Stripping::where_it_pays;
};

}  // namespace henderson
