#include "core/profiled_deviance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "core/panel_quadratic.hpp"

namespace henderson {

namespace {

constexpr Index pattern_chunk = 128;
constexpr double most_noise = 1e-5;  // beyond it nothing can be fitted

// The parameters whose effects belong to a group; start[t] is the first of term t.
std::vector<Parameter> group_parameters(const CrossProducts& a, const Group& group, const std::vector<Index>& start) {
  std::vector<Parameter> out;
  for (std::size_t k = 0; k < group.terms.size(); ++k) {
    const auto term = static_cast<std::size_t>(group.terms[k]);
    Index index = start[term];
    for (Index j = 0; j < a.random[term].size(); ++j)
      for (Index i = j; i < a.random[term].size(); ++i)
        out.push_back({index++, group.first[k] + i, group.first[k] + j});
  }
  return out;
}

// g := c_lambda lambda^-1, by column operations on a copy of lambda, which is not singular.
void divide_by(const Matrix& lambda, const Eigen::Ref<const Matrix>& c_lambda, Matrix& work, Matrix& g) {
  const Index s = lambda.rows();
  g = c_lambda;
  if (s == 1) {
    g(0, 0) /= lambda(0, 0);
    return;
  }
  work = lambda;
  for (Index j = 0; j < s; ++j) {  // column operations that reduce lambda to the identity
    Index pivot = j;
    for (Index k = j + 1; k < s; ++k)
      if (std::abs(work(j, k)) > std::abs(work(j, pivot))) pivot = k;
    work.col(j).swap(work.col(pivot));
    g.col(j).swap(g.col(pivot));
    const double scale = 1 / work(j, j);
    work.col(j) *= scale;
    g.col(j) *= scale;
    for (Index k = 0; k < s; ++k) {
      const double factor = work(j, k);
      if (k == j || factor == 0) continue;
      work.col(k) -= factor * work.col(j);
      g.col(k) -= factor * g.col(j);
    }
  }
}

}  // namespace

ProfiledDeviance::ProfiledDeviance(const CrossProducts& a, ThreadPool& pool)
    : a_(a), pool_(pool), cholesky_(a, pool), leaves_(a) {
  std::vector<Index> start{0};
  for (const AffineMap& term : a.random) start.push_back(start.back() + triangle_size(term.size()));
  size_ = start.back();
  contrast_.resize(a.columns());
  slope_.resize(size_);
  fixed_directions_.resize(a.p, size_);
  for (const Group& group : a.plan.groups) {
    parameters_.push_back(group_parameters(a, group, start));
    for (const Parameter& k : parameters_.back()) order_.push_back(k.index);
    c_lambda_.emplace_back(group.effects, group.effects);
  }
  outer_ = fixed_ = c_lambda_;
  for (const AffineMap& term : a.random) divisor_.emplace_back(term.size(), term.size());
  if (!a.plan.has_trailing()) return;
  const Index s = a.leading().effects;
  const Index lanes = lane_batches(a.leading().levels) * lane_width;
  const auto first = static_cast<Index>(parameters_[0].size());
  explained_.assign(static_cast<std::size_t>(lanes * s * a.columns()), 0.0);
  gathered_.assign(static_cast<std::size_t>(lanes * triangle_size(s)), 0.0);
  w_.assign(static_cast<std::size_t>(lanes * s), 0.0);
  f_.assign(static_cast<std::size_t>(lanes * s * a.columns()), 0.0);
  trailing_w_.resize(a.plan.trailing.size);
  trailing_y_.resize(a.plan.trailing.size, a.p);
  pattern_work_.resize((a.plan.patterns.size() + pattern_chunk - 1) / pattern_chunk);
  directions_.setZero(a.plan.trailing.size, size_ - first);
  meeting_.resize(a.plan.trailing.size, size_);
  products_.resize(size_, size_);
  level_direction_.resize(s, first);
  level_reduced_.resize(s, first);
  level_half_.resize(s, first);
  level_a_.resize(s, s);
  level_packed_.resize(triangle_size(s));
  level_h_.resize(s * s);
  level_w_.resize(s);
  level_f_.resize(s * a.columns());
  Index longest = 0;
  for (const Pattern& pattern : a.plan.patterns) longest = std::max(longest, pattern.rows_count);
  down_.resize(longest, first);
}

double ProfiledDeviance::value(const RelativeFactor& factor) {
  if (!cholesky_.update(factor)) return std::numeric_limits<double>::infinity();
  const double df = degrees_of_freedom();
  double f = cholesky_.log_det() + df * (1 + std::log(2 * std::numbers::pi * cholesky_.pwrss() / df)) - a_.log_weights;
  if (reml_) f += cholesky_.log_det_root() + 2 * a_.log_det_r;
  return std::isfinite(f) ? f : std::numeric_limits<double>::infinity();
}

double ProfiledDeviance::noise(double value) const {
  const auto lost = [&](double whole, double part) {
    return cholesky_.is_exact() ? std::sqrt(whole / part) : whole / part;
  };
  double terms = degrees_of_freedom() * lost(a_.corner(a_.p, a_.p), cholesky_.pwrss());
  for (Index j = 0; j < a_.p; ++j) terms += lost(a_.corner(j, j), cholesky_.root()(j, j) * cholesky_.root()(j, j));
  return 2e-14 * (1 + std::abs(value)) + std::min(4e-16 * terms, most_noise);
}

// G = a'T a of the only leading level of a pattern, with a dense T.
void ProfiledDeviance::gather_in_place(const Pattern& pattern, Index node_size, PatternWork& work) {
  const Index s = a_.leading().effects;
  work.packed.resize(triangle_size(s));
  panel_quadratic(inverse_.data(), a_.plan.trailing.size, a_.plan.pattern_rows.data() + pattern.rows_begin,
                  cholesky_.blocks().coupling + pattern.values_begin, pattern.rows_count, s, node_size,
                  work.packed.data());
  store_level(work.packed, pattern.first, gathered_.data());
}

// G = a'T a for every leading level of a pattern.
void ProfiledDeviance::gather_products(const Pattern& pattern, PatternWork& work) {
  const Index s = a_.leading().effects;
  const Index rows = pattern.rows_count;
  const Index width = pattern.count * s;
  const auto at_least = [](Matrix& m, Index r, Index c) {
    if (m.rows() < r || m.cols() < c) m.resize(std::max(m.rows(), r), std::max(m.cols(), c));
  };
  at_least(work.block, rows, rows);
  at_least(work.product, rows, width);
  if (static_cast<Index>(work.places.size()) < rows) work.places.resize(static_cast<std::size_t>(rows));
  auto block = work.block.topLeftCorner(rows, rows);
  auto product = work.product.topLeftCorner(rows, width);
  const std::span<const Code> where(a_.plan.pattern_rows.data() + pattern.rows_begin, static_cast<std::size_t>(rows));
  gather_at(a_.plan.trailing, where, inverse_.data(), block, work.places);
  const Eigen::Map<const Matrix> panel(cholesky_.blocks().coupling + pattern.values_begin, rows, width);
  if (rows * width <= 64)
    product = block.lazyProduct(panel);
  else
    product.noalias() = block * panel;
  work.packed.resize(triangle_size(s));
  for (Index member = 0; member < pattern.count; ++member) {
    for (Index j = 0; j < s; ++j)
      for (Index i = j; i < s; ++i)
        work.packed[triangle_index(i, j, s)] = panel.col(member * s + i).dot(product.col(member * s + j));
    store_level(work.packed, pattern.first + member, gathered_.data());
  }
}

// a' times the trailing solution for every leading level of a pattern.
void ProfiledDeviance::gather_explained(const Pattern& pattern, PatternWork& work) {
  const Index s = a_.leading().effects;
  const Index columns = a_.columns();
  const Code* where = a_.plan.pattern_rows.data() + pattern.rows_begin;
  work.explained.resize(s * columns);
  for (Index member = 0; member < pattern.count; ++member) {
    for (Index e = 0; e < s; ++e) {
      const double* level = cholesky_.blocks().coupling + pattern.values_begin + (member * s + e) * pattern.rows_count;
      for (Index c = 0; c < columns; ++c) {
        const double* column = solution_.data() + c * solution_.rows();
        double sum = 0;
        for (Index i = 0; i < pattern.rows_count; ++i) sum += level[i] * column[where[i]];
        work.explained[e * columns + c] = sum;
      }
    }
    store_level(work.explained, pattern.first + member, explained_.data());
  }
}

void ProfiledDeviance::gather_patterns() {
  const auto count = static_cast<Index>(a_.plan.patterns.size());
  const Index s = a_.leading().effects;
  const Index node_size = a_.plan.node_size();
  const bool in_place = a_.plan.trailing.is_dense() && has_panel_quadratic(s, node_size);
  pool_.run(static_cast<Index>(pattern_work_.size()), [&](Index chunk) {
    for (Index k = chunk * pattern_chunk; k < std::min(count, (chunk + 1) * pattern_chunk); ++k) {
      const Pattern& pattern = a_.plan.patterns[static_cast<std::size_t>(k)];
      if (pattern.rows_count == 0) continue;
      PatternWork& work = pattern_work_[static_cast<std::size_t>(chunk)];
      if (in_place && pattern.count == 1)
        gather_in_place(pattern, node_size, work);
      else
        gather_products(pattern, work);
      gather_explained(pattern, work);
    }
  });
}

// Trailing groups: c_lambda becomes sum C lam (P in REML), outer the sum of w w'.
void ProfiledDeviance::trailing_sums() {
  const Index p = a_.p;
  trailing_w_.noalias() = residual_ * contrast_;
  if (reml_ && p > 0) {
    trailing_y_ = residual_.leftCols(p);
    cholesky_.root().triangularView<Eigen::Upper>().solveInPlace<Eigen::OnTheRight>(trailing_y_);
  }
  for (std::size_t g = 1; g < outer_.size(); ++g) {
    outer_[g].setZero();
    fixed_[g].setZero();
  }
  Index row = 0;
  for (const Code group : a_.plan.group_of_rank) {
    const auto g = static_cast<std::size_t>(group);
    const Index s = outer_[g].rows();
    for (Index j = 0; j < s; ++j)
      for (Index i = 0; i < s; ++i) {
        outer_[g](i, j) += trailing_w_[row + i] * trailing_w_[row + j];
        if (reml_ && p > 0) fixed_[g](i, j) += trailing_y_.row(row + i).dot(trailing_y_.row(row + j));
      }
    row += s;
  }
  for (std::size_t g = 1; g < fixed_.size() && reml_; ++g)
    c_lambda_[g].noalias() -= fixed_[g].lazyProduct(cholesky_.lambda(g));
}

void ProfiledDeviance::derivatives(const RelativeFactor& factor, bool with_information, Derivatives& out) {
  const bool has_trailing = a_.plan.has_trailing();
  contrast_.head(a_.p) = -cholesky_.beta();
  contrast_[a_.p] = 1.0;
  LeadingInputs in;
  in.gram = cholesky_.blocks().gram;
  in.xy = cholesky_.blocks().xy;
  in.contrast = &contrast_;
  in.root = a_.p > 0 && (reml_ || with_information) ? &cholesky_.root() : nullptr;
  in.projected = reml_;
  in.information = with_information && !has_trailing;
  if (has_trailing) {
    cholesky_.trailing_solution(solution_, residual_);
    cholesky_.trailing_inverse(inverse_, c_lambda_);
    gather_patterns();
    in.explained = explained_.data();
    in.trailing = gathered_.data();
    trailing_sums();
    leaves_.gather(cholesky_, solution_, inverse_, explained_.data(), gathered_.data(), pool_);
  }
  differentiate_leading(cholesky_.shape(), in, cholesky_.leading(), cholesky_.lambda(0),
                        has_trailing ? w_.data() : nullptr, has_trailing && in.root != nullptr ? f_.data() : nullptr,
                        sums_, pool_);
  c_lambda_[0] = sums_.c_lambda;
  outer_[0] = sums_.outer;
  leaves_.differentiate(cholesky_, in, pool_);
  assemble(factor, out);
  if (!with_information) return;
  if (has_trailing)
    general_information(out.information);
  else
    single_factor_information(out.information);
  const double variance = sigma2();
  for (std::size_t g = 0; g < parameters_.size(); ++g)  // h_k'w / sigma^2
    for (const Parameter& k : parameters_[g])
      slope_[k.index] = (k.i == k.j ? 1.0 : 2.0) * outer_[g](k.i, k.j) / variance;
  out.information /= variance;
  out.information.noalias() -= (1 / degrees_of_freedom()) * slope_.lazyProduct(slope_.transpose());
}

// From sums over the levels of groups to the blocks of terms.
void ProfiledDeviance::assemble(const RelativeFactor& factor, Derivatives& out) {
  const double variance = sigma2();
  out.g.resize(factor.lambda.size());
  out.gradient.resize(factor.lambda.size());
  for (std::size_t g = 0; g < a_.plan.groups.size(); ++g) {
    const Group& group = a_.plan.groups[g];
    const bool has_leaves = g > 0 && !leaves_.is_empty();
    if (has_leaves) outer_[g] += leaves_.sums(g).outer;
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      const auto t = static_cast<std::size_t>(group.terms[k]);
      const Matrix& lambda = factor.lambda[t];
      const Index s = lambda.rows();
      const Index at = group.first[k];
      const auto score = outer_[g].block(at, at, s, s);
      const auto curved = c_lambda_[g].block(at, at, s, s);
      out.gradient[t] = 2.0 * curved;
      out.gradient[t].noalias() -= (2.0 / variance) * score.lazyProduct(lambda);
      if (g == 0)
        out.g[t] = sums_.c.block(at, at, s, s);
      else
        divide_by(lambda, curved, divisor_[t], out.g[t]);
      if (has_leaves) {
        out.gradient[t] += 2.0 * leaves_.sums(g).c_lambda.block(at, at, s, s);
        out.g[t] += leaves_.sums(g).c.block(at, at, s, s);
      }
      out.g[t] -= score / variance;
      for (Index j = 0; j < s; ++j)
        for (Index i = j + 1; i < s; ++i) out.g[t](i, j) = out.g[t](j, i) = 0.5 * (out.g[t](i, j) + out.g[t](j, i));
    }
  }
}

}  // namespace henderson
