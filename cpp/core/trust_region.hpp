// Trust-region Newton on the relative factors; knows only callables.
//
//   linearise   derivatives at the accepted point, H = average information + what earlier gradients taught + curvature
//   of lam lam' propose     minimise the local model within the radius judge       value of the criterion there:
//   accept, or shrink certify     gradient zero on the face, curvature off it not negative
// Values first, derivatives only at accepted points. A point where the criterion does not exist is a rejected step.
#pragma once

#include <functional>
#include <vector>

#include "core/spectral_factor.hpp"

namespace henderson {

enum class Status { converged, stopped, evaluation_limit, no_progress };

struct TrustRegionOptions {
  double tolerance = 1e-10;  // Newton decrement g'H^-1g / 2, in units of the criterion
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
  double curvature = 0;          // smallest eigenvalue of G over the null spaces of lam lam'; NaN where there is none
  std::vector<Index> ranks;      // of lam_t
  std::vector<Iteration> trace;  // one entry per evaluation
};

struct Objective {
  std::vector<double>
      small_variance;  // per term: one over the mean information of a level, the scale below which lam is small
  std::function<double(const RelativeFactor&)> value;
  std::function<double()> noise;                                         // rounding error of the last value
  std::function<void(const RelativeFactor&, Derivatives&)> derivatives;  // at the factor of the last value
  std::function<bool(const Iteration&, int evaluation)> stop;            // called at each accepted point; may be empty
};

[[nodiscard]] Optimum minimise(const Objective& objective, const RelativeFactor& start,
                               const TrustRegionOptions& options);

}  // namespace henderson
