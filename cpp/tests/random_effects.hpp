// H = Lam (Lam'Z'WZ Lam + I)^-1 Lam' and its like from dense matrices, in the user's coordinates, and the cases that
// the core's are compared on.
#pragma once

#include <functional>

#include "core/problem.hpp"
#include "tests/designs.hpp"

namespace henderson::testing {

struct DenseRandom {
  DenseRandom(const Design& design, const Vector& theta);

  [[nodiscard]] Vector leverages() const;              // w_i z_i'H z_i
  [[nodiscard]] Matrix trace(std::size_t term) const;  // sum_j [Z'V^-1 Z]_jj

  const Design& design;
  Matrix z;                  // (n, q): term after term, level after level, effects side by side
  Matrix h;                  // (q, q)
  Matrix information;        // Z'V^-1 Z
  std::vector<Index> begin;  // per term: its first column
};

// Lower triangles of less than full rank: the last column of each is zero, and of every other term the rest too.
[[nodiscard]] Vector draw_singular_theta(const Design& design, Draws& draws);

using RandomBody = std::function<void(const Design&, Problem&, const Vector& theta)>;
// Every design at a regular theta, at a singular one, and at zero.
void for_each_random_case(const RandomBody& body);

}  // namespace henderson::testing
