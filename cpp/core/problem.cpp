#include "core/problem.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/moment_start.hpp"

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

}  // namespace

Problem::Problem(const ModelData& data, int threads)
    : pool_(threads), a_(build_cross_products(data, pool_)), roots_(term_roots(a_)), deviance_(a_, pool_) {}

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
  const Index p = a_.p;
  out.beta = a_.fixed.s.transpose() * (a_.ols + cholesky.beta());  // R^-1 (c + beta_Q)
  Matrix half = Matrix::Identity(p, p);
  cholesky.root().triangularView<Eigen::Upper>().solveInPlace(half);
  half = (a_.fixed.s.transpose() * half).eval();
  out.unscaled_vcov = half * half.transpose();

  Vector contrast(a_.columns());
  contrast << -cholesky.beta(), 1.0;
  Matrix solution, residual;
  Vector b_trailing, w_trailing;
  if (a_.plan.has_trailing()) {
    cholesky.trailing_solution(solution, residual);
    b_trailing = solution * contrast;
    w_trailing = residual * contrast;
  }
  const std::vector<Index>& node_offset = a_.plan.trailing.node_offset;
  out.b.resize(a_.random.size());
  out.u.resize(a_.random.size());
  for (std::size_t g = 0; g < a_.plan.groups.size(); ++g) {
    const Group& group = a_.plan.groups[g];
    const Index s = group.effects;
    Matrix b(group.levels, s), w(group.levels, s);
    if (g > 0) {
      for (Index level = 0; level < group.levels; ++level) {
        const Index row = node_offset[static_cast<std::size_t>(a_.plan.rank_of(g, static_cast<Code>(level)))];
        b.row(level) = b_trailing.segment(row, s);
        w.row(level) = w_trailing.segment(row, s);
      }
    } else {
      Vector explained = Vector::Zero(a_.plan.has_trailing() ? group.levels * s : 0);
      for (const Pattern& pattern : a_.plan.patterns) {
        Vector near(pattern.rows_count);
        for (Index i = 0; i < pattern.rows_count; ++i)
          near[i] = b_trailing[a_.plan.pattern_rows[static_cast<std::size_t>(pattern.rows_begin + i)]];
        explained.segment(pattern.first * s, pattern.count * s).noalias() =
            Eigen::Map<const Matrix>(a_.coupling.data() + pattern.values_begin, pattern.rows_count, pattern.count * s)
                .transpose() *
            near;
      }
      Vector packed(triangle_size(s)), h(s * s), xy(s * a_.columns()), v(s);
      for (Index level = 0; level < group.levels; ++level) {
        const Index position = a_.plan.place(static_cast<Code>(level));
        load_level(a_.gram.data(), position, packed);
        load_level(cholesky.leading().h.data(), position, h);
        load_level(a_.xy.data(), position, xy);
        v.noalias() = Eigen::Map<const Matrix>(xy.data(), a_.columns(), s).transpose() * contrast;
        if (explained.size() > 0) v -= explained.segment(position * s, s);
        const Eigen::Map<const Matrix> h_level(h.data(), s, s);
        const Vector modes = h_level.transpose() * (h_level * v);
        b.row(level) = modes;
        for (Index i = 0; i < s; ++i) {
          double sum = v[i];
          for (Index j = 0; j < s; ++j) sum -= packed[triangle_index(i, j, s)] * modes[j];
          w(level, i) = sum;
        }
      }
    }
    const RelativeFactor factor = whitened_factor(theta, *roots_);
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      const auto t = static_cast<std::size_t>(group.terms[k]);
      out.b[t] = user_modes(b, group.first[k], a_.random[t]);
      out.u[t] = w.middleCols(group.first[k], a_.random[t].size()) * factor.lambda[t];
    }
  }
  return out;
}

std::vector<Matrix> Problem::conditional_variances(const Vector& theta, bool reml) {
  std::vector<Matrix> out(a_.random.size());
  if (!std::isfinite(criterion(theta, reml))) return out;
  BlockedCholesky& cholesky = deviance_.cholesky();
  const double variance = deviance_.sigma2();
  Vector inverse;
  std::vector<Matrix> unused;
  if (a_.plan.has_trailing()) cholesky.trailing_inverse(inverse, unused);
  for (std::size_t g = 0; g < a_.plan.groups.size(); ++g) {
    const Group& group = a_.plan.groups[g];
    const Index s = group.effects;
    std::vector<Matrix> block(static_cast<std::size_t>(group.levels));
    if (g > 0) {
      for (Index level = 0; level < group.levels; ++level) {
        const Index row =
            a_.plan.trailing.node_offset[static_cast<std::size_t>(a_.plan.rank_of(g, static_cast<Code>(level)))];
        Matrix& own = block[static_cast<std::size_t>(level)];
        own.resize(s, s);
        for (Index j = 0; j < s; ++j)
          for (Index i = j; i < s; ++i)
            own(i, j) = own(j, i) = inverse[entry_place(a_.plan.trailing, row + i, row + j)];
      }
    } else {
      Vector h(s * s);
      std::vector<Matrix> at_position(block.size());
      for (Index position = 0; position < group.levels; ++position) {
        load_level(cholesky.leading().h.data(), position, h);
        const Eigen::Map<const Matrix> h_level(h.data(), s, s);
        at_position[static_cast<std::size_t>(position)] = h_level.transpose() * h_level;
      }
      Matrix t_block;
      std::vector<Index> places(static_cast<std::size_t>(a_.plan.trailing_size()));
      for (const Pattern& pattern : a_.plan.patterns) {
        if (pattern.rows_count == 0) continue;
        const std::span<const Code> where(a_.plan.pattern_rows.data() + pattern.rows_begin,
                                          static_cast<std::size_t>(pattern.rows_count));
        t_block.resize(pattern.rows_count, pattern.rows_count);
        gather_at(a_.plan.trailing, where, inverse.data(), t_block, places);
        for (Index member = 0; member < pattern.count; ++member) {
          Matrix& w = at_position[static_cast<std::size_t>(pattern.first + member)];
          const Matrix aw =
              Eigen::Map<const Matrix>(a_.coupling.data() + pattern.values_begin + member * s * pattern.rows_count,
                                       pattern.rows_count, s) *
              w;
          w += aw.transpose() * t_block * aw;
        }
      }
      for (Index level = 0; level < group.levels; ++level)
        block[static_cast<std::size_t>(level)] =
            at_position[static_cast<std::size_t>(a_.plan.place(static_cast<Code>(level)))];
    }
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      const auto t = static_cast<std::size_t>(group.terms[k]);
      const AffineMap& map = a_.random[t];
      const Index size = map.size();
      out[t].resize(size * size, group.levels);
      for (Index level = 0; level < group.levels; ++level) {
        Matrix own =
            variance * block[static_cast<std::size_t>(level)].block(group.first[k], group.first[k], size, size);
        map.r.triangularView<Eigen::Upper>().solveInPlace(own);
        map.r.transpose().triangularView<Eigen::Lower>().solveInPlace<Eigen::OnTheRight>(own);
        out[t].col(level) = own.reshaped();
      }
    }
  }
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
  double value = 0;
  objective.value = [&](const RelativeFactor& factor) { return value = deviance_.value(factor); };
  objective.noise = [&] { return deviance_.noise(value); };
  objective.derivatives = [&](const RelativeFactor& factor, Derivatives& out) {
    deviance_.derivatives(factor, true, out);
  };
  objective.stop = watch;
  return minimise(objective, start ? whitened_factor(*start, *roots_) : moment_start(a_), options);
}

void Problem::set_response(const ModelData& data) { replace_response(a_, data, pool_); }

}  // namespace henderson
