#include "core/trust_region.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/local_model.hpp"

namespace henderson {

namespace {

struct Step {
  Vector step;
  double decrease = 0;             // predicted
  double decrement = 0;            // of the unconstrained Newton step
  double lowest = 0, highest = 0;  // eigenvalues of H, or their order of magnitude where it is positive definite
  [[nodiscard]] bool is_convex() const { return lowest >= -1e-6 * highest; }
};

// The Newton step, where H is safely positive definite and the step stays within the radius.
bool newton_step(const QuadraticModel& model, double radius, Step& out) {
  const Eigen::LLT<Matrix> llt(model.hessian);
  if (llt.info() != Eigen::Success) return false;
  const auto pivots = llt.matrixLLT().diagonal();
  const double lowest = pivots.minCoeff(), highest = pivots.maxCoeff();
  if (!(lowest > 1e-4 * highest)) return false;
  out.step = llt.solve(-model.gradient);
  if (!(out.step.norm() <= radius)) return false;
  out.decrease = out.decrement = -0.5 * model.gradient.dot(out.step);
  out.lowest = lowest * lowest;
  out.highest = highest * highest;
  return true;
}

// Minimises a quadratic within the radius (More and Sorensen 1983): by Newton's step, else from the eigendecomposition
// of H.
Step minimise_quadratic(const QuadraticModel& model, double radius) {
  Step out;
  if (newton_step(model, radius, out)) return out;
  const Eigen::SelfAdjointEigenSolver<Matrix> eigen(model.hessian);
  const Vector& values = eigen.eigenvalues();
  const Vector g = eigen.eigenvectors().transpose() * model.gradient;
  const Index size = g.size();
  out.lowest = values[0];
  out.highest = std::max(values[size - 1], -values[0]);
  const double flat = std::max(1e-11 * out.highest, std::numeric_limits<double>::min());
  const auto length = [&](double shift) { return (g.array() / (values.array() + shift).max(flat)).matrix().norm(); };
  out.decrement = 0.5 * (g.array().square() / values.array().abs().max(flat)).sum();
  double shift = std::max(0.0, -out.lowest);
  double missing = 0;
  if (length(shift) > radius) {
    double low = shift, high = shift + g.norm() / radius + flat;
    for (int pass = 0; pass < 100 && high - low > 1e-3 * high; ++pass) {
      const double middle = 0.5 * (low + high);
      (length(middle) > radius ? low : high) = middle;
    }
    shift = high;
  } else if (out.lowest < -flat) {
    missing = std::sqrt(std::max(0.0, radius * radius - std::pow(length(shift), 2)));
  }
  Vector coefficients = -(g.array() / (values.array() + shift).max(flat)).matrix();
  if (missing > 0) coefficients[0] += coefficients[0] < 0 ? -missing : missing;
  out.step.noalias() = eigen.eigenvectors() * coefficients;
  out.decrease = -(g.dot(coefficients) + 0.5 * coefficients.cwiseAbs2().dot(values));
  return out;
}

struct Proposal {
  SpectralFactor point;
  double decrease = 0;  // predicted
  double length = 0;
};

// Minimises the local model within the radius: the tangent step first, then the same iteration on the model.
Proposal minimise_model(const SpectralFactor& start, const std::vector<Direction>& basis, const Step& first,
                        LocalModel& model, double radius) {
  Proposal out{moved(start, basis, first.step), 0, first.step.norm()};
  double value = model.value(out.point);
  double reach = radius;
  for (int pass = 0; pass < 30; ++pass) {
    const std::vector<Direction> here = tangent_basis(out.point);
    const Step step = minimise_quadratic(quadratic_model(out.point, here, model.derivatives(out.point)), reach);
    if (!(step.decrease > 1e-3 * std::abs(value))) break;
    SpectralFactor next = moved(out.point, here, step.step);
    const double next_value = model.value(next);
    const double next_length = distance(start, next);
    if (!(next_value < value) || next_length > radius) {
      reach = 0.25 * step.step.norm();
      if (reach < 1e-3 * radius) break;
      continue;
    }
    out.point = std::move(next);
    out.length = next_length;
    value = next_value;
  }
  out.decrease = -value;
  return out;
}

// What the average information leaves out of the Hessian, learnt from gradients at successive points: a symmetric
// rank-one update in the entries of Psi, where nothing depends on rotations.
class SecantCorrection {
 public:
  void visit(const SpectralFactor& point, const Derivatives& at, bool is_near) {
    const Vector entries = covariance_entries(point);
    const Vector slope = slope_entries(at.g);
    if (is_near && entries_.size() > 0) {
      const Vector step = entries - entries_;
      Vector rest = slope - slope_;
      rest.noalias() -= 0.5 * (at.information + information_) * step;
      if (correction_.size() > 0)
        rest.noalias() -= correction_ * step;
      else
        correction_ = Matrix::Zero(step.size(), step.size());
      const double along = rest.dot(step);
      if (std::abs(along) > 1e-6 * rest.norm() * step.norm()) correction_ += rest * rest.transpose() / along;
    }
    entries_ = entries;
    slope_ = slope;
    information_ = at.information;
  }

  // False where there was nothing to forget.
  bool forget() {
    const bool had = correction_.size() > 0;
    correction_.resize(0, 0);
    return had;
  }

  [[nodiscard]] Matrix information() const {
    return correction_.size() == 0 ? information_ : Matrix(information_ + correction_);
  }

 private:
  Vector entries_, slope_;
  Matrix information_, correction_;
};

class Minimiser {
 public:
  Minimiser(const Objective& objective, const TrustRegionOptions& options) : objective_(objective), options_(options) {}

  Optimum run(const RelativeFactor& start) {
    if (!begin(start)) return std::move(out_);
    while (true) {
      linearise();
      Step step;
      do {
        step = minimise_quadratic(model_, radius_);
        if (!step.is_convex() && secant_.forget()) {
          rebuild();
          step = minimise_quadratic(model_, radius_);
        }
        out_.decrement = step.decrement;
        out_.gradient_norm = model_.gradient.norm();
        if (ends(step)) {
          certify();
          return std::move(out_);
        }
      } while (!advance(step));
    }
  }

 private:
  double evaluate(const RelativeFactor& factor, double decrement) {
    const double value = objective_.value(factor);
    ++out_.evaluations;
    out_.trace.push_back({factor, value, decrement, radius_});
    return value;
  }

  // The value at the start; where there is none, nearer to zero.
  bool begin(const RelativeFactor& start) {
    constexpr double unknown = std::numeric_limits<double>::quiet_NaN();
    point_ = decompose(start);
    double shrink = 0.1;
    for (int attempt = 0; attempt < 9; ++attempt, shrink *= shrink) {
      out_.factor = compose(point_);
      out_.value = evaluate(out_.factor, unknown);
      noise_ = objective_.noise();
      radius_ = std::max(1.0, 2 * norm(point_));
      if (std::isfinite(out_.value)) return true;
      for (SpectralTerm& term : point_) term.d *= shrink;
    }
    return false;
  }

  void linearise() {
    objective_.derivatives(out_.factor, at_);
    secant_.visit(point_, at_, out_.decrement < 1);
    ++out_.iterations;
    rebuild();
  }

  void rebuild() {
    at_.information = secant_.information();
    basis_ = tangent_basis(point_);
    model_ = quadratic_model(point_, basis_, at_);
  }

  bool ends(const Step& step) {
    if (objective_.stop && objective_.stop({out_.factor, out_.value, step.decrement, radius_}, out_.evaluations)) {
      out_.status = Status::stopped;
      return true;
    }
    const bool is_flat = step.decrement < std::max(options_.tolerance, noise_);
    if (is_flat && step.is_convex()) {
      out_.status = Status::converged;
      finish(step);
      return true;
    }
    if (out_.evaluations >= options_.max_evaluations)
      out_.status = Status::evaluation_limit;
    else if (radius_ < 1e-14 * (1 + norm(point_)))
      out_.status = step.decrement < 50 * noise_ ? Status::converged : Status::no_progress;
    else
      return false;
    return true;
  }

  // The last step, with negligible columns of lam at exactly zero.
  void finish(const Step& step) {
    if (out_.evaluations >= options_.max_evaluations) return;
    SpectralFactor point = moved(point_, basis_, step.step);
    RelativeFactor last = compose_without_negligible(point);
    const double value = evaluate(last, step.decrement);
    if (!(value <= out_.value + noise_)) return;
    point_ = std::move(point);
    out_.factor = std::move(last);
    out_.value = value;
  }

  // Far from every zero variance a short step of the quadratic is the local model's own.
  Proposal propose(const Step& step) {
    double smallest = std::numeric_limits<double>::infinity();
    for (const SpectralTerm& term : point_) smallest = std::min(smallest, term.d.minCoeff());
    const double length = step.step.norm();
    if (length < 0.05 * smallest) return {moved(point_, basis_, step.step), step.decrease, length};
    LocalModel local(point_, at_, at_.information, objective_.small_variance);
    return minimise_model(point_, basis_, step, local, radius_);
  }

  // Tries a step; false where it is rejected.
  bool advance(const Step& step) {
    Proposal trial = propose(step);
    RelativeFactor factor = compose(trial.point);
    const double value = evaluate(factor, step.decrement);
    const double actual = out_.value - value;
    const bool in_noise = trial.decrease < 50 * noise_ && actual > -100 * noise_;
    const double ratio = in_noise ? 1.0 : actual / trial.decrease;
    if (!(ratio > 1e-4)) {
      radius_ = 0.25 * std::min(radius_, trial.length);
      if (++rejected_ > 1 && secant_.forget()) rebuild();
      return false;
    }
    if (ratio < 0.25)
      radius_ = 0.5 * trial.length;
    else if (ratio > 0.7 && trial.length > 0.8 * radius_)
      radius_ = 3 * trial.length;
    rejected_ = 0;
    noise_ = objective_.noise();
    point_ = std::move(trial.point);
    out_.factor = std::move(factor);
    out_.value = value;
    return true;
  }

  // Ranks, and the smallest eigenvalue of G (at the last derivatives) over the directions that lam lacks.
  void certify() {
    out_.curvature = std::numeric_limits<double>::quiet_NaN();
    for (std::size_t t = 0; t < point_.size(); ++t) {
      std::vector<Index> missing;
      for (Index j = 0; j < point_[t].d.size(); ++j)
        if (point_[t].d[j] <= negligible_singular) missing.push_back(j);
      out_.ranks.push_back(point_[t].d.size() - static_cast<Index>(missing.size()));
      if (missing.empty()) continue;
      const Matrix null = point_[t].u(Eigen::all, missing);
      const Eigen::SelfAdjointEigenSolver<Matrix> eigen(null.transpose() * at_.g[t] * null, Eigen::EigenvaluesOnly);
      out_.curvature = std::fmin(out_.curvature, eigen.eigenvalues()[0]);
    }
  }

  const Objective& objective_;
  const TrustRegionOptions& options_;
  Optimum out_;
  SpectralFactor point_;
  Derivatives at_;
  SecantCorrection secant_;
  std::vector<Direction> basis_;
  QuadraticModel model_;
  double radius_ = 0;
  double noise_ = 0;  // rounding error of the criterion at the point
  int rejected_ = 0;  // steps in a row
};

}  // namespace

Optimum minimise(const Objective& objective, const RelativeFactor& start, const TrustRegionOptions& options) {
  return Minimiser(objective, options).run(start);
}

}  // namespace henderson
