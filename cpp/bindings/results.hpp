// Results as Python sees them: numbers and arrays in the user's coordinates.
#pragma once

#include <memory>

#include "core/problem.hpp"

namespace henderson {

struct BoundSolution {
  Solution solution;
  bool reml = true;
};

// Whitened factors become theta when they are asked for.
struct BoundOptimum {
  Optimum optimum;
  std::shared_ptr<const TermRoots> roots;
};

[[nodiscard]] const char* sentence(Status status);

}  // namespace henderson
