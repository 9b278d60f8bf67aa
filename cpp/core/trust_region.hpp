// Trust-region Newton on the relative factors.
//
// Each lam_t is kept as U D (rotations from the right are free). Steps are taken in the tangent directions that are orthogonal
// to those rotations, an orthonormal basis of s(s+1)/2 square matrices per term:
//   U E_ii,    U (d_j E_ij + d_i E_ji) / rho,   rho^2 = d_i^2 + d_j^2      with  dPsi = U rho (E_ij + E_ji) U'
// Nothing is bounded: zero variances are interior points of this parametrisation. H is the average information plus the exact
// curvature of lam -> lam lam'; the step is found from its eigendecomposition. Values first, derivatives at accepted points.
#pragma once

#include <functional>
#include <vector>

#include "core/profiled_deviance.hpp"

namespace henderson {

enum class Status { converged, stopped, evaluation_limit, no_progress };

struct TrustRegionOptions {
  double tolerance = 1e-10;    // Newton decrement g'H^-1g / 2, in units of the criterion
  int max_evaluations = 200;
};

struct Iteration {
  RelativeFactor factor;
  double value = 0;
  double decrement = 0;  // at the point the step started from
  double radius = 0;
};

struct Optimum {
  RelativeFactor factor;
  double value = 0;
  int evaluations = 0;
  int iterations = 0;
  Status status = Status::no_progress;
  double decrement = 0;
  double gradient_norm = 0;
  double curvature = 0;             // smallest eigenvalue of G over the null spaces of lam lam'; NaN where there is none
  std::vector<Index> ranks;         // of lam_t
  std::vector<Iteration> trace;     // one entry per evaluation
};

struct Objective {
  std::vector<double> small_variance;  // per term: one over the mean information of a level, the scale below which lam is small
  std::function<double(const RelativeFactor&)> value;
  std::function<void(const RelativeFactor&, Derivatives&)> derivatives;
  std::function<bool(const Iteration&, int evaluation)> stop;  // called after each accepted point; may be empty
};

[[nodiscard]] Optimum minimise(const Objective& objective, const RelativeFactor& start, const TrustRegionOptions& options);

}  // namespace henderson
