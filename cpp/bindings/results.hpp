// Results as Python sees them: numbers and arrays in the user's coordinates.
#pragma once

#include <string>
#include <vector>

#include "core/problem.hpp"

namespace henderson {

struct BoundSolution {
  Solution solution;
  bool reml = true;
};

struct BoundStep {
  Vector theta;
  double criterion = 0, decrement = 0, radius = 0;
};

struct BoundOptimum {
  Vector theta;
  double criterion = 0;
  int evaluations = 0, iterations = 0;
  Status status = Status::no_progress;
  double decrement = 0, gradient_norm = 0, curvature = 0;
  std::vector<Index> ranks;
  std::vector<BoundStep> trace;
};

[[nodiscard]] const char* sentence(Status status);
[[nodiscard]] BoundOptimum bind_optimum(const Optimum& optimum, const Problem& problem);

}  // namespace henderson
