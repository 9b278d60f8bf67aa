#include "core/problem.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/conditional_modes.hpp"
#include "core/explained_effects.hpp"
#include "core/leverages.hpp"
#include "core/moment_start.hpp"
#include "core/random_solve.hpp"
#include "core/traces.hpp"

namespace henderson {

namespace {

// Rows of a group's stacked (levels, s) matrix that belong to one term, in that term's own coordinates: rows times
// T^-T.
Matrix user_modes(const Matrix& stacked, Index first, const AffineMap& map) {
  Matrix out = stacked.middleCols(first, map.size());
  map.r.transpose().triangularView<Eigen::Lower>().solveInPlace<Eigen::OnTheRight>(out);
  return out;
}

std::shared_ptr<const TermRoots> term_roots(const CrossProducts& a) {
  TermRoots roots;
  for (const AffineMap& map : a.random) roots.push_back(map.r);
  return std::make_shared<const TermRoots>(std::move(roots));
}

// Leaves effects that the criterion does not depend on where they are: no slope, no curvature.
void pin(const std::vector<std::vector<char>>& effects, Derivatives& at) {
  Index base = 0;
  for (std::size_t t = 0; t < effects.size(); ++t) {
    const Index s = at.g[t].rows();
    for (Index e = 0; e < s; ++e) {
      if (effects[t][static_cast<std::size_t>(e)] == 0) continue;
      at.g[t].row(e).setZero();
      at.g[t].col(e).setZero();
      at.gradient[t].row(e).setZero();
      for (Index f = 0; f < s; ++f) {
        const Index k = base + triangle_index(std::max(e, f), std::min(e, f), s);
        at.information.row(k).setZero();
        at.information.col(k).setZero();
      }
    }
    base += triangle_size(s);
  }
}

RelativeFactor without(const std::vector<std::vector<char>>& effects, RelativeFactor factor) {
  for (std::size_t t = 0; t < effects.size(); ++t)
    for (std::size_t e = 0; e < effects[t].size(); ++e)
      if (effects[t][e] != 0) factor.lambda[t].row(static_cast<Index>(e)).setZero();
  return factor;
}

}  // namespace

Problem::Problem(const ModelData& data, int threads)
    : pool_(threads), rows_(data), a_(build_cross_products(data, pool_)), roots_(term_roots(a_)), deviance_(a_, pool_) {
  deviance_.cholesky().set_rows(&*rows_);
}

Problem::Problem(const Problem& other)
    : pool_(1), rows_(other.rows_), a_(other.a_), roots_(other.roots_), deviance_(a_, pool_) {
  if (rows_) deviance_.cholesky().set_rows(&*rows_);
}

Problem::Problem(CrossProducts a, int threads)
    : pool_(threads), a_(std::move(a)), roots_(term_roots(a_)), deviance_(a_, pool_) {}

Index Problem::random_size() const {
  Index q = 0;
  for (const Group& group : a_.plan.groups) q += group.levels * group.effects;
  return q;
}

double Problem::criterion(const Vector& theta, bool reml) {
  deviance_.set_reml(reml);
  return deviance_.value(whitened_factor(theta, *roots_));
}

double Problem::gradient(const Vector& theta, bool reml, Vector& out) {
  const RelativeFactor factor = whitened_factor(theta, *roots_);
  deviance_.set_reml(reml);
  const double value = deviance_.value(factor);
  out.setConstant(theta_size(), std::numeric_limits<double>::quiet_NaN());
  if (!std::isfinite(value)) return value;
  Derivatives at;
  deviance_.derivatives(factor, false, at);
  Index k = 0;
  for (std::size_t t = 0; t < a_.random.size(); ++t) {  // lam~ = T lam
    const Matrix slope = a_.random[t].r.transpose() * at.gradient[t];
    for (Index j = 0; j < slope.cols(); ++j)
      for (Index i = j; i < slope.rows(); ++i) out[k++] = slope(i, j);
  }
  return value;
}

std::optional<Solution> Problem::solve(const Vector& theta, bool reml) {
  Solution out;
  out.criterion = criterion(theta, reml);
  if (!std::isfinite(out.criterion)) return std::nullopt;
  BlockedCholesky& cholesky = deviance_.cholesky();
  out.pwrss = cholesky.pwrss();
  out.sigma = std::sqrt(deviance_.sigma2());
  out.log_det = cholesky.log_det();
  out.log_det_root = cholesky.log_det_root() + 2 * a_.log_det_r;
  out.beta = a_.fixed.s.transpose() * (a_.ols + cholesky.beta());  // R^-1 (c + beta_Q)
  Matrix half = Matrix::Identity(a_.p, a_.p);
  cholesky.root().triangularView<Eigen::Upper>().solveInPlace(half);
  half = (a_.fixed.s.transpose() * half).eval();
  out.unscaled_vcov = half * half.transpose();

  const std::vector<StackedModes> modes = conditional_modes(a_, cholesky);
  out.b.resize(a_.random.size());
  out.u.resize(a_.random.size());
  for (std::size_t g = 0; g < a_.plan.groups.size(); ++g) {
    const Group& group = a_.plan.groups[g];
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      const auto t = static_cast<std::size_t>(group.terms[k]);
      out.b[t] = user_modes(modes[g].b, group.first[k], a_.random[t]);
      out.u[t] = modes[g].u.middleCols(group.first[k], a_.random[t].size());
    }
  }
  return out;
}

std::vector<Matrix> Problem::conditional_variances(const Vector& theta, bool reml) {
  std::vector<Matrix> out(a_.random.size());
  if (!std::isfinite(criterion(theta, reml))) return out;
  const std::vector<std::vector<Matrix>> blocks = unscaled_variances(a_, deviance_.cholesky());
  for (std::size_t g = 0; g < a_.plan.groups.size(); ++g) {
    const Group& group = a_.plan.groups[g];
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      const auto t = static_cast<std::size_t>(group.terms[k]);
      const AffineMap& map = a_.random[t];
      const Index size = map.size();
      out[t].resize(size * size, group.levels);
      for (Index level = 0; level < group.levels; ++level) {
        Matrix own = deviance_.sigma2() *
                     blocks[g][static_cast<std::size_t>(level)].block(group.first[k], group.first[k], size, size);
        map.r.triangularView<Eigen::Upper>().solveInPlace(own);  // T^-1 own T^-T
        map.r.transpose().triangularView<Eigen::Lower>().solveInPlace<Eigen::OnTheRight>(own);
        out[t].col(level) = own.reshaped();
      }
    }
  }
  return out;
}

// Factors M at theta unless it is factored there already.
bool Problem::factor_at(const Vector& theta) {
  const RelativeFactor factor = whitened_factor(theta, *roots_);
  BlockedCholesky& cholesky = deviance_.cholesky();
  return cholesky.is_at(factor) || cholesky.update(factor) || cholesky.is_at(factor);
}

bool Problem::solve_random(const Vector& theta, const Eigen::Ref<const Matrix>& rhs, Eigen::Ref<Matrix> out) {
  if (!factor_at(theta)) return false;
  henderson::solve_random(a_, deviance_.cholesky(), rhs, out, pool_);
  return true;
}

std::optional<Vector> Problem::random_leverages(const Vector& theta, const ModelData& data) {
  if (!factor_at(theta)) return std::nullopt;
  return henderson::random_leverages(a_, deviance_.cholesky(), data, pool_);
}

std::optional<std::vector<Matrix>> Problem::traces(const Vector& theta) {
  std::vector<Matrix> out = marginal_traces(a_, deviance_.cholesky(), whitened_factor(theta, *roots_), pool_);
  if (out.empty()) return std::nullopt;
  for (std::size_t t = 0; t < out.size(); ++t) out[t] = (a_.random[t].r.transpose() * out[t] * a_.random[t].r).eval();
  return out;
}

Vector Problem::moment_theta() const { return theta_of(moment_start(a_)); }

Optimum Problem::fit(bool reml, const std::optional<Vector>& start, const TrustRegionOptions& options,
                     const Watch& watch) {
  deviance_.set_reml(reml);
  Objective objective;
  objective.small_variance.assign(a_.random.size(), 0.0);
  for (const Group& group : a_.plan.groups)
    for (const Index term : group.terms)
      objective.small_variance[static_cast<std::size_t>(term)] =
          static_cast<double>(group.levels) / static_cast<double>(a_.n);
  const auto explained = reml ? explained_effects(a_) : std::vector<std::vector<char>>{};
  double value = 0;
  objective.value = [&](const RelativeFactor& factor) { return value = deviance_.value(factor); };
  objective.noise = [&] { return deviance_.noise(value); };
  objective.derivatives = [&](const RelativeFactor& factor, Derivatives& out) {
    deviance_.derivatives(factor, true, out);
    pin(explained, out);
  };
  objective.stop = watch;
  return minimise(objective, without(explained, start ? whitened_factor(*start, *roots_) : moment_start(a_)), options);
}

void Problem::set_response(const ModelData& data) {
  rows_ = data;
  replace_response(a_, data, pool_);
}

}  // namespace henderson
