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
  double radius = std::max(1.0, 2 * size_of(point));
  bool fresh = true;  // derivatives are wanted at a new point
  Model model;
  std::vector<Direction> basis;
  while (true) {
    if (fresh) {
      objective.derivatives(out.factor, at);
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
    std::vector<Spectral> trial_point = decompose(moved(point, basis, step.step));
    RelativeFactor trial = compose(trial_point);
    if (is_last) {
      out.status = Status::converged;
      trial = without_negligible(trial_point);
      const double value = evaluate(trial, step.decrement, radius);
      if (value <= out.value + noise) {
        out.factor = std::move(trial);
        out.value = value;
      }
      break;
    }
    const double value = evaluate(trial, step.decrement, radius);
    const double actual = out.value - value;
    const bool in_noise = step.decrease < 50 * noise;
    const double ratio = in_noise && actual > -100 * noise ? 1.0 : actual / step.decrease;
    const double length = step.step.norm();
    if (!(ratio > 1e-4)) {
      radius = 0.25 * std::min(radius, length);
      if (radius < 1e-14 * (1 + size_of(point))) {
        out.status = Status::no_progress;
        break;
      }
      continue;
    }
    if (ratio < 0.25) radius = 0.5 * length;
    else if (ratio > 0.7 && length > 0.8 * radius) radius = 3 * length;
    point = std::move(trial_point);
    out.factor = std::move(trial);
    out.value = value;
    fresh = true;
  }
  certify(point, at, out);
  return out;
}

}  // namespace henderson
