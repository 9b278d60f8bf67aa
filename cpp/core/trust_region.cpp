#include "core/trust_region.hpp"

#include <Eigen/Eigenvalues>
#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <limits>

namespace henderson {

namespace {

constexpr double smallest_singular = 1e-8;  // lam is never exactly singular on the way: C = (C lam) lam^-1 keeps 8 digits
constexpr double negligible = 1e-5;         // singular values below it end as zero where that costs nothing
constexpr double value_noise = 2e-14;       // of the criterion

struct Spectral {
  Matrix u;
  Vector d;
};

std::vector<Spectral> decompose(const RelativeFactor& factor) {
  std::vector<Spectral> out;
  for (const Matrix& lambda : factor.lambda) {
    Spectral own;
    if (lambda.rows() == 1) {
      own = {Matrix::Ones(1, 1), lambda.col(0).cwiseAbs()};
    } else {
      const Eigen::JacobiSVD<Matrix> svd(lambda, Eigen::ComputeFullU);
      own = {svd.matrixU(), svd.singularValues()};
    }
    own.d = own.d.cwiseMax(smallest_singular);
    out.push_back(std::move(own));
  }
  return out;
}

RelativeFactor compose(const std::vector<Spectral>& point) {
  RelativeFactor out;
  for (const Spectral& own : point) out.lambda.emplace_back(own.u * own.d.asDiagonal());
  return out;
}

// The basis direction (i, j) of one term in its rotated frame: entries (i, j) and (j, i).
struct Direction {
  std::size_t term = 0;
  Index i = 0, j = 0;
  double upper = 0, lower = 0;  // entry (i, j), entry (j, i); a diagonal direction has `upper` only
  double rho = 0;               // dPsi = rho (E_ij + E_ji), or 2 rho E_ii
};

std::vector<Direction> tangent_basis(const std::vector<Spectral>& point) {
  std::vector<Direction> basis;
  for (std::size_t t = 0; t < point.size(); ++t) {
    const Vector& d = point[t].d;
    for (Index j = 0; j < d.size(); ++j) {
      basis.push_back({t, j, j, 1.0, 0.0, d[j]});
      for (Index i = j + 1; i < d.size(); ++i) {
        const double rho = std::hypot(d[i], d[j]);
        basis.push_back({t, i, j, d[j] / rho, d[i] / rho, rho});
      }
    }
  }
  return basis;
}

struct Model {
  Vector gradient;
  Matrix hessian;
};

// Derivatives in the tangent basis.
Model quadratic_model(const std::vector<Spectral>& point, const std::vector<Direction>& basis, const Derivatives& at) {
  const auto size = static_cast<Index>(basis.size());
  Model model{Vector(size), Matrix(size, size)};
  std::vector<Matrix> slope, g;
  Matrix jacobian = Matrix::Zero(size, size);  // entries of Psi_t (in the order of the information) by direction
  Index base = 0;
  Index column = 0;
  for (std::size_t t = 0; t < point.size(); ++t) {
    const Matrix& u = point[t].u;
    const Index s = u.rows();
    slope.push_back(u.transpose() * at.gradient[t]);
    g.push_back(u.transpose() * at.g[t] * u);
    for (Index k = 0; k < triangle_size(s); ++k, ++column) {
      const Direction& e = basis[static_cast<std::size_t>(column)];
      for (Index j = 0; j < s; ++j)
        for (Index i = j; i < s; ++i)
          jacobian(base + triangle_index(i, j, s), column) = e.rho * (u(i, e.i) * u(j, e.j) + u(i, e.j) * u(j, e.i));
    }
    base += triangle_size(s);
  }
  model.hessian.noalias() = jacobian.transpose() * at.information * jacobian;
  for (Index a = 0; a < size; ++a) {
    const Direction& e = basis[static_cast<std::size_t>(a)];
    model.gradient[a] = e.upper * slope[e.term](e.i, e.j) + e.lower * slope[e.term](e.j, e.i);
    for (Index b = 0; b < size; ++b) {  // 2 <E, G E'>: columns must agree
      const Direction& f = basis[static_cast<std::size_t>(b)];
      if (e.term != f.term) continue;
      const Matrix& own = g[e.term];
      double sum = 0;
      if (e.j == f.j) sum += e.upper * f.upper * own(e.i, f.i);
      if (e.j == f.i) sum += e.upper * f.lower * own(e.i, f.j);
      if (e.i == f.j) sum += e.lower * f.upper * own(e.j, f.i);
      if (e.i == f.i) sum += e.lower * f.lower * own(e.j, f.j);
      model.hessian(a, b) += 2 * sum;
    }
  }
  return model;
}

RelativeFactor moved(const std::vector<Spectral>& point, const std::vector<Direction>& basis, const Vector& step) {
  RelativeFactor out;
  for (const Spectral& own : point) out.lambda.emplace_back(own.d.asDiagonal());
  for (std::size_t k = 0; k < basis.size(); ++k) {
    const Direction& e = basis[k];
    const double length = step[static_cast<Index>(k)];
    out.lambda[e.term](e.i, e.j) += e.upper * length;
    if (e.i != e.j) out.lambda[e.term](e.j, e.i) += e.lower * length;
  }
  for (std::size_t t = 0; t < point.size(); ++t) out.lambda[t] = (point[t].u * out.lambda[t]).eval();
  return out;
}

struct Step {
  Vector step;
  double decrease = 0;   // predicted
  double decrement = 0;  // of the unconstrained Newton step
  double lowest = 0, highest = 0;  // eigenvalues
};

// Minimises the model within the radius (More and Sorensen 1983), from the eigendecomposition of H.
Step solve_model(const Model& model, double radius) {
  const Eigen::SelfAdjointEigenSolver<Matrix> eigen(model.hessian);
  const Vector& values = eigen.eigenvalues();
  const Vector g = eigen.eigenvectors().transpose() * model.gradient;
  const Index size = g.size();
  Step out;
  out.lowest = values[0];
  out.highest = std::max(values[size - 1], -values[0]);
  const double flat = 1e-11 * out.highest;
  const auto length = [&](double shift) {
    double sum = 0;
    for (Index k = 0; k < size; ++k) {
      const double part = g[k] / std::max(values[k] + shift, flat);
      sum += part * part;
    }
    return std::sqrt(sum);
  };
  for (Index k = 0; k < size; ++k) out.decrement += 0.5 * g[k] * g[k] / std::max(std::abs(values[k]), flat);
  double shift = std::max(0.0, -out.lowest);
  const bool indefinite = out.lowest < -flat;
  Vector coefficients(size);
  double missing = 0;
  if (length(shift) > radius) {
    double low = shift, high = shift + g.norm() / radius + flat;
    for (int pass = 0; pass < 100 && high - low > 1e-12 * high; ++pass) {
      const double middle = 0.5 * (low + high);
      (length(middle) > radius ? low : high) = middle;
    }
    shift = high;
  } else if (indefinite) {
    missing = std::sqrt(std::max(0.0, radius * radius - std::pow(length(shift), 2)));
  }
  for (Index k = 0; k < size; ++k) coefficients[k] = -g[k] / std::max(values[k] + shift, flat);
  if (missing > 0) coefficients[0] += coefficients[0] < 0 ? -missing : missing;
  out.step = eigen.eigenvectors() * coefficients;
  out.decrease = -(g.dot(coefficients) + 0.5 * coefficients.cwiseAbs2().dot(values));
  return out;
}

double size_of(const std::vector<Spectral>& point) {
  double sum = 0;
  for (const Spectral& own : point) sum += own.d.squaredNorm();
  return std::sqrt(sum);
}

// Smallest eigenvalue of G over the directions that lam lacks, and the ranks.
void certify(const std::vector<Spectral>& point, const Derivatives& at, Optimum& out) {
  out.curvature = std::numeric_limits<double>::quiet_NaN();
  out.ranks.clear();
  for (std::size_t t = 0; t < point.size(); ++t) {
    const Index rank = (point[t].d.array() > negligible).count();
    out.ranks.push_back(rank);
    const Index missing = point[t].d.size() - rank;
    if (missing == 0) continue;
    const Matrix null = point[t].u.rightCols(missing);
    const Eigen::SelfAdjointEigenSolver<Matrix> eigen(null.transpose() * at.g[t] * null, Eigen::EigenvaluesOnly);
    out.curvature = std::fmin(out.curvature, eigen.eigenvalues()[0]);
  }
}

// Columns of lam that the data want at zero go there.
RelativeFactor without_negligible(const std::vector<Spectral>& point) {
  RelativeFactor out;
  for (const Spectral& own : point)
    out.lambda.emplace_back(own.u * (own.d.array() > negligible).select(own.d, 0.0).matrix().asDiagonal());
  return out;
}

// Entries of symmetric matrices, term after term, in the order of the information.
Vector entries_of(const std::vector<Matrix>& symmetric) {
  Index size = 0;
  for (const Matrix& each : symmetric) size += triangle_size(each.rows());
  Vector out(size);
  Index k = 0;
  for (const Matrix& each : symmetric)
    for (Index j = 0; j < each.cols(); ++j)
      for (Index i = j; i < each.rows(); ++i) out[k++] = each(i, j);
  return out;
}

std::vector<Matrix> covariances(const std::vector<Spectral>& point) {
  std::vector<Matrix> out;
  for (const Spectral& own : point) out.emplace_back(own.u * own.d.cwiseAbs2().asDiagonal() * own.u.transpose());
  return out;
}

// Slopes for the entries of Psi: those off the diagonal stand for two.
Vector slopes_of(const std::vector<Matrix>& g) {
  Vector out = entries_of(g);
  Index k = 0;
  for (const Matrix& each : g)
    for (Index j = 0; j < each.cols(); ++j)
      for (Index i = j; i < each.rows(); ++i, ++k)
        if (i != j) out[k] *= 2;
  return out;
}

// R: entries of U M U' from entries of a symmetric M.
Matrix rotation_of_entries(const Matrix& u) {
  const Index s = u.rows();
  Matrix out(triangle_size(s), triangle_size(s));
  for (Index b = 0; b < s; ++b)
    for (Index a = b; a < s; ++a)
      for (Index j = 0; j < s; ++j)
        for (Index i = j; i < s; ++i)
          out(triangle_index(i, j, s), triangle_index(a, b, s)) =
              a == b ? u(i, a) * u(j, a) : u(i, a) * u(j, b) + u(i, b) * u(j, a);
  return out;
}

// Second derivatives of tr(G X^2) for symmetric X, by entries.
Matrix square_curvature(const Matrix& g) {
  const Index s = g.rows();
  const Index size = triangle_size(s);
  Matrix out(size, size);
  std::vector<Matrix> basis;
  for (Index j = 0; j < s; ++j)
    for (Index i = j; i < s; ++i) {
      basis.emplace_back(Matrix::Zero(s, s));
      basis.back()(i, j) = basis.back()(j, i) = 1;
    }
  for (Index k = 0; k < size; ++k) {
    const Matrix scaled = g * basis[static_cast<std::size_t>(k)] + basis[static_cast<std::size_t>(k)] * g;
    for (Index l = 0; l < size; ++l) out(l, k) = scaled.cwiseProduct(basis[static_cast<std::size_t>(l)]).sum();
  }
  return out;
}

// The criterion as a quadratic function of Phi_t = (Psi_t + c_t I)^(1/2): close to lam where the variance is large against c_t,
// one part in the mean number of rows of a level, and linear in Psi, hence smooth through zero, where it is small.
class LocalModel {
 public:
  LocalModel(const std::vector<Spectral>& point, const Derivatives& at, const std::vector<double>& floor) : floor_(floor) {
    const Index size = at.information.rows();
    const Matrix chart = jacobian(point, 1.0);
    root_ = roots(point);
    slope_ = chart.transpose() * slopes_of(at.g);
    hessian_.noalias() = chart.transpose() * at.information * chart;
    add_curvature(at.g, 1.0, hessian_);
    derivatives_.information.resize(size, size);
  }

  [[nodiscard]] double value(const std::vector<Spectral>& point) const {
    const Vector change = roots(point) - root_;
    return slope_.dot(change) + 0.5 * change.dot(hessian_ * change);
  }

  [[nodiscard]] const Derivatives& derivatives(const std::vector<Spectral>& point) {
    const Matrix inverse = jacobian(point, -1.0);
    const Vector slope = inverse.transpose() * (slope_ + hessian_ * (roots(point) - root_));
    derivatives_.g.clear();
    derivatives_.gradient.clear();
    Index k = 0;
    for (const Spectral& own : point) {
      const Index s = own.u.rows();
      Matrix g(s, s);
      for (Index j = 0; j < s; ++j)
        for (Index i = j; i < s; ++i, ++k) g(i, j) = g(j, i) = (i == j ? 1.0 : 0.5) * slope[k];
      derivatives_.gradient.emplace_back(2.0 * g * own.u * own.d.asDiagonal());
      derivatives_.g.push_back(std::move(g));
    }
    Matrix straight = hessian_;
    add_curvature(derivatives_.g, -1.0, straight);
    derivatives_.information.noalias() = inverse.transpose() * straight * inverse;
    return derivatives_;
  }

 private:
  [[nodiscard]] Vector roots(const std::vector<Spectral>& point) const {
    std::vector<Matrix> out;
    for (std::size_t t = 0; t < point.size(); ++t)
      out.emplace_back(point[t].u * (point[t].d.array().square() + floor_[t]).sqrt().matrix().asDiagonal() * point[t].u.transpose());
    return entries_of(out);
  }

  // dPsi/dPhi by entries (power 1), or its inverse (power -1): in the frame of U it is diagonal, phi_i + phi_j.
  [[nodiscard]] Matrix jacobian(const std::vector<Spectral>& point, double power) const {
    Index size = 0;
    for (const Spectral& own : point) size += triangle_size(own.d.size());
    Matrix out = Matrix::Zero(size, size);
    Index base = 0;
    for (std::size_t t = 0; t < point.size(); ++t) {
      const Index s = point[t].d.size();
      const Index own = triangle_size(s);
      const Vector phi = (point[t].d.array().square() + floor_[t]).sqrt();
      Vector scale(own);
      Index k = 0;
      for (Index j = 0; j < s; ++j)
        for (Index i = j; i < s; ++i) scale[k++] = std::pow(phi[i] + phi[j], power);
      out.block(base, base, own, own) =
          rotation_of_entries(point[t].u) * scale.asDiagonal() * rotation_of_entries(point[t].u.transpose());
      base += own;
    }
    return out;
  }

  static void add_curvature(const std::vector<Matrix>& g, double sign, Matrix& hessian) {
    Index base = 0;
    for (const Matrix& own : g) {
      const Index size = triangle_size(own.rows());
      hessian.block(base, base, size, size) += sign * square_curvature(own);
      base += size;
    }
  }

  const std::vector<double>& floor_;
  Vector root_, slope_;
  Matrix hessian_;
  Derivatives derivatives_;
};

// Distance between relative factors, rotations aside (orthogonal Procrustes).
double distance(const std::vector<Spectral>& a, const std::vector<Spectral>& b) {
  double sum = 0;
  for (std::size_t t = 0; t < a.size(); ++t) {
    const Matrix cross = (a[t].u * a[t].d.asDiagonal()).transpose() * (b[t].u * b[t].d.asDiagonal());
    const double nuclear = cross.rows() == 1 ? std::abs(cross(0, 0)) : Eigen::JacobiSVD<Matrix>(cross).singularValues().sum();
    sum += std::max(0.0, a[t].d.squaredNorm() + b[t].d.squaredNorm() - 2 * nuclear);
  }
  return std::sqrt(sum);
}

struct Proposal {
  std::vector<Spectral> point;
  double decrease = 0;
  double length = 0;
};

// Minimises the quadratic in Psi within the radius by the same iteration, on the model instead of the data.
Proposal minimise_model(const std::vector<Spectral>& start, const std::vector<Direction>& basis, const Step& first, LocalModel& model,
                        double radius) {
  Proposal out{decompose(moved(start, basis, first.step)), 0, first.step.norm()};
  double value = model.value(out.point);
  double reach = radius;
  for (int pass = 0; pass < 30; ++pass) {
    const std::vector<Direction> here = tangent_basis(out.point);
    const Step step = solve_model(quadratic_model(out.point, here, model.derivatives(out.point)), reach);
    if (!(step.decrease > 1e-3 * std::abs(value))) break;
    std::vector<Spectral> next = decompose(moved(out.point, here, step.step));
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

// What the average information leaves out of the Hessian, learnt from the gradients at successive points (symmetric rank one).
class SecantCorrection {
 public:
  void learn(const Vector& step, const Vector& change, const Matrix& information) {
    if (correction_.size() == 0) correction_ = Matrix::Zero(step.size(), step.size());
    const Vector rest = change - (information + correction_) * step;
    const double along = rest.dot(step);
    if (std::abs(along) > 1e-6 * rest.norm() * step.norm()) correction_ += rest * rest.transpose() / along;
  }
  // False where there was nothing to forget.
  bool forget() {
    const bool had = correction_.size() > 0;
    correction_.resize(0, 0);
    return had;
  }
  [[nodiscard]] Matrix add_to(const Matrix& information) const {
    return correction_.size() == 0 ? information : Matrix(information + correction_);
  }

 private:
  Matrix correction_;
};

}  // namespace

Optimum minimise(const Objective& objective, const RelativeFactor& start, const TrustRegionOptions& options) {
  Optimum out;
  std::vector<Spectral> point = decompose(start);
  const auto evaluate = [&](const RelativeFactor& factor, double decrement, double radius) {
    const double value = objective.value(factor);
    ++out.evaluations;
    out.trace.push_back({factor, value, decrement, radius});
    return value;
  };
  out.factor = compose(point);
  out.value = evaluate(out.factor, std::numeric_limits<double>::quiet_NaN(), 0);
  for (int attempt = 0; !std::isfinite(out.value) && attempt < 20; ++attempt) {  // a start outside the numbers: halve it
    for (Spectral& own : point) own.d *= 0.1;
    out.factor = compose(point);
    out.value = evaluate(out.factor, std::numeric_limits<double>::quiet_NaN(), 0);
  }
  if (!std::isfinite(out.value)) return out;

  Derivatives at;
  SecantCorrection secant;
  Matrix information;
  Vector last_slope, last_entries;
  Matrix last_information;
  double radius = std::max(1.0, 2 * size_of(point));
  bool fresh = true;  // derivatives are wanted at a new point
  Model model;
  std::vector<Direction> basis;
  while (true) {
    if (fresh) {
      objective.derivatives(out.factor, at);
      const Vector slope = slopes_of(at.g), entries = entries_of(covariances(point));
      if (last_slope.size() > 0 && out.decrement < 1)
        secant.learn(entries - last_entries, slope - last_slope, 0.5 * (at.information + last_information));
      last_slope = slope;
      last_entries = entries;
      last_information = at.information;
      at.information = secant.add_to(at.information);
      basis = tangent_basis(point);
      model = quadratic_model(point, basis, at);
      ++out.iterations;
      fresh = false;
    }
    const Step step = solve_model(model, radius);
    out.decrement = step.decrement;
    out.gradient_norm = model.gradient.norm();
    if (objective.stop && objective.stop({out.factor, out.value, step.decrement, radius}, out.evaluations)) {
      out.status = Status::stopped;
      break;
    }
    const double noise = value_noise * (1 + std::abs(out.value));
    const bool is_last = step.decrement < options.tolerance && step.lowest > -1e-6 * step.highest;
    if (out.evaluations >= options.max_evaluations && !is_last) {
      out.status = Status::evaluation_limit;
      break;
    }
    LocalModel local(point, at, objective.small_variance);
    Proposal trial = minimise_model(point, basis, step, local, radius);
    if (is_last) {
      out.status = Status::converged;
      RelativeFactor last = without_negligible(trial.point);
      const double value = evaluate(last, step.decrement, radius);
      if (value <= out.value + noise) {
        out.factor = std::move(last);
        out.value = value;
      }
      break;
    }
    RelativeFactor trial_factor = compose(trial.point);
    const double value = evaluate(trial_factor, step.decrement, radius);
    const double actual = out.value - value;
    const bool in_noise = trial.decrease < 50 * noise;
    const double ratio = in_noise && actual > -100 * noise ? 1.0 : actual / trial.decrease;
    if (!(ratio > 1e-4)) {
      if (secant.forget()) {
        at.information = last_information;
        model = quadratic_model(point, basis, at);
        continue;
      }
      radius = 0.25 * std::min(radius, trial.length);
      if (radius < 1e-14 * (1 + size_of(point))) {
        out.status = Status::no_progress;
        break;
      }
      continue;
    }
    if (ratio < 0.25) radius = 0.5 * trial.length;
    else if (ratio > 0.7 && trial.length > 0.8 * radius) radius = 3 * trial.length;
    point = std::move(trial.point);
    out.factor = std::move(trial_factor);
    out.value = value;
    fresh = true;
  }
  certify(point, at, out);
  return out;
}

}  // namespace henderson
