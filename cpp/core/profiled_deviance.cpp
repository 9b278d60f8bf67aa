#include "core/profiled_deviance.hpp"

#include <Eigen/LU>
#include <cmath>
#include <limits>
#include <numbers>

namespace henderson {

namespace {

// Place of each term's parameters among all.
std::vector<Index> parameter_starts(const CrossProducts& a) {
  std::vector<Index> start{0};
  for (const AffineMap& term : a.random) start.push_back(start.back() + triangle_size(term.size()));
  return start;
}

struct Parameter {
  Index index = 0;     // among all
  Index i = 0, j = 0;  // stacked effects, i >= j
};

// The parameters whose effects belong to a group.
std::vector<Parameter> group_parameters(const CrossProducts& a, const Group& group) {
  const std::vector<Index> start = parameter_starts(a);
  std::vector<Parameter> out;
  for (std::size_t k = 0; k < group.terms.size(); ++k) {
    const auto term = static_cast<std::size_t>(group.terms[k]);
    Index index = start[term];
    for (Index j = 0; j < a.random[term].size(); ++j)
      for (Index i = j; i < a.random[term].size(); ++i) out.push_back({index++, group.first[k] + i, group.first[k] + j});
  }
  return out;
}

// h_k for one level: w of that level to h (s)
void fill_direction(const Parameter& k, const double* w, Index stride, Eigen::Ref<Vector> h) {
  h.setZero();
  h[k.i] = w[k.j * stride];
  h[k.j] = w[k.i * stride];
}

std::span<const Code> rows_of(const EliminationPlan& plan, const Pattern& pattern) {
  return {plan.pattern_rows.data() + pattern.rows_begin, static_cast<std::size_t>(pattern.rows_count)};
}

}  // namespace

double ProfiledDeviance::value(const RelativeFactor& factor) {
  if (!cholesky_.update(factor)) return std::numeric_limits<double>::infinity();
  const double df = degrees_of_freedom();
  double f = cholesky_.log_det() + df * (1 + std::log(2 * std::numbers::pi * cholesky_.pwrss() / df)) - a_.log_weights;
  if (reml_) f += cholesky_.log_det_root() + 2 * a_.log_det_r;
  return std::isfinite(f) ? f : std::numeric_limits<double>::infinity();
}

// For every leading level: a times the trailing solution, and G = a T a'.
void ProfiledDeviance::gather_trailing() {
  const EliminationPlan& plan = a_.plan;
  const LeadingShape& shape = cholesky_.shape();
  const Index s = shape.effects;
  const Index lanes = lane_batches(shape.levels) * lane_width;
  work_.explained.assign(static_cast<std::size_t>(lanes * s * shape.columns), 0.0);
  work_.gathered.assign(static_cast<std::size_t>(lanes * triangle_size(s)), 0.0);
  Vector packed(triangle_size(s));
  Vector explained(s * shape.columns);
  Matrix g(s, s);
  for (const Pattern& pattern : plan.patterns) {
    const Index rows = pattern.rows_count;
    if (rows == 0) continue;
    const std::span<const Code> where = rows_of(plan, pattern);
    work_.block.resize(rows, rows);
    gather_at(plan.trailing, where, work_.inverse.data(), work_.block);
    const Eigen::Map<const Matrix> panel(a_.coupling.data() + pattern.values_begin, rows, pattern.count * s);
    work_.product.noalias() = work_.block * panel;
    work_.panel.resize(rows, shape.columns);
    for (Index c = 0; c < shape.columns; ++c)
      for (Index i = 0; i < rows; ++i) work_.panel(i, c) = work_.solution(where[static_cast<std::size_t>(i)], c);
    for (Index member = 0; member < pattern.count; ++member) {
      const auto level = panel.middleCols(member * s, s);
      g.noalias() = level.transpose() * work_.product.middleCols(member * s, s);
      for (Index j = 0; j < s; ++j)
        for (Index i = j; i < s; ++i) packed[triangle_index(i, j, s)] = g(i, j);
      store_level(packed, pattern.first + member, work_.gathered.data());
      Eigen::Map<Matrix>(explained.data(), shape.columns, s).noalias() = work_.panel.transpose() * level;
      store_level(explained, pattern.first + member, work_.explained.data());
    }
  }
}

// Trailing groups: c_lambda becomes sum C lam (P in REML), outer the sum of w w'.
void ProfiledDeviance::trailing_sums(std::vector<Matrix>& c_lambda, std::vector<Matrix>& outer) {
  const Index p = a_.p;
  const Vector w = work_.residual.col(p) - work_.residual.leftCols(p) * cholesky_.beta();
  Matrix y = work_.residual.leftCols(p);
  if (reml_ && p > 0) cholesky_.root().triangularView<Eigen::Upper>().solveInPlace<Eigen::OnTheRight>(y);
  Index row = 0;
  for (std::size_t g = 0; g < a_.plan.groups.size(); ++g) outer[g].setZero(a_.plan.groups[g].effects, a_.plan.groups[g].effects);
  std::vector<Matrix> fixed = outer;
  for (const Code group : a_.plan.group_of_rank) {
    const auto g = static_cast<std::size_t>(group);
    const Index s = a_.plan.groups[g].effects;
    outer[g].noalias() += w.segment(row, s) * w.segment(row, s).transpose();
    if (reml_) fixed[g].noalias() += y.middleRows(row, s) * y.middleRows(row, s).transpose();
    row += s;
  }
  if (!reml_) return;
  for (std::size_t g = 1; g < fixed.size(); ++g) c_lambda[g] -= fixed[g] * cholesky_.lambda(g);
}

void ProfiledDeviance::derivatives(const RelativeFactor& factor, bool with_information, Derivatives& out) {
  const Index p = a_.p;
  const bool has_trailing = a_.plan.has_trailing();
  Vector contrast(a_.columns());
  contrast << -cholesky_.beta(), 1.0;
  LeadingInputs in;
  in.gram = a_.gram.data();
  in.xy = a_.xy.data();
  in.contrast = &contrast;
  in.root = reml_ && p > 0 ? &cholesky_.root() : nullptr;
  in.information = with_information && !has_trailing;
  std::vector<Matrix> c_lambda(a_.plan.groups.size()), outer(a_.plan.groups.size());
  double* w_out = nullptr;
  double* f_out = nullptr;
  if (has_trailing) {
    const Index lanes = lane_batches(a_.leading().levels) * lane_width * a_.leading().effects;
    cholesky_.trailing_solution(work_.solution, work_.residual);
    cholesky_.trailing_inverse(work_.inverse, work_.c_lambda);
    gather_trailing();
    in.explained = work_.explained.data();
    in.trailing = work_.gathered.data();
    work_.w.resize(static_cast<std::size_t>(lanes));
    w_out = work_.w.data();
    if (in.root != nullptr) {
      work_.f.resize(static_cast<std::size_t>(lanes * a_.columns()));
      f_out = work_.f.data();
    }
    c_lambda = work_.c_lambda;
    trailing_sums(c_lambda, outer);
  }
  differentiate_leading(cholesky_.shape(), in, cholesky_.leading(), cholesky_.lambda(0), w_out, f_out, sums_, pool_);
  c_lambda[0] = sums_.c_lambda;
  outer[0] = sums_.outer;

  const double variance = sigma2();
  out.g.resize(factor.lambda.size());
  out.gradient.resize(factor.lambda.size());
  for (std::size_t g = 0; g < a_.plan.groups.size(); ++g) {
    const Group& group = a_.plan.groups[g];
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      const auto t = static_cast<std::size_t>(group.terms[k]);
      const Matrix& lambda = factor.lambda[t];
      const Index s = lambda.rows();
      const Index at = group.first[k];
      const Matrix score = outer[g].block(at, at, s, s) / variance;
      const auto curved = c_lambda[g].block(at, at, s, s);
      out.gradient[t] = 2.0 * (curved - score * lambda);
      if (g == 0) out.g[t] = sums_.c.block(at, at, s, s) - score;
      else if (s == 1) out.g[t] = curved / lambda(0, 0) - score;
      else out.g[t] = lambda.transpose().partialPivLu().solve(curved.transpose()).transpose() - score;
      out.g[t] = 0.5 * (out.g[t] + out.g[t].transpose()).eval();
    }
  }
  if (!with_information) return;
  if (has_trailing) general_information(out.information);
  else single_factor_information(sums_, out.information);
  Vector slope(out.information.rows());  // h_k'w / sigma^2
  for (std::size_t g = 0; g < a_.plan.groups.size(); ++g)
    for (const Parameter& k : group_parameters(a_, a_.plan.groups[g]))
      slope[k.index] = (k.i == k.j ? 1.0 : 2.0) * outer[g](k.i, k.j) / variance;
  out.information = out.information / variance - slope * slope.transpose() / degrees_of_freedom();
}

void ProfiledDeviance::single_factor_information(const LeadingSums& sums, Matrix& information) const {
  const Group& group = a_.leading();
  const Index s = group.effects;
  const std::vector<Parameter> parameters = group_parameters(a_, group);
  const auto size = static_cast<Index>(parameters.size());
  const auto term = [&](Index i, Index k, Index j, Index l) {  // sum C_ik w_j w_l
    return sums.information(triangle_index(j, l, s), triangle_index(i, k, s));
  };
  information.setZero(size, size);
  Matrix fixed(sums.fixed_outer.rows(), size);
  for (const Parameter& a : parameters) {
    const Index i = a.i, j = a.j;
    if (fixed.rows() > 0) {
      fixed.col(a.index) = sums.fixed_outer.col(i + s * j);
      if (i != j) fixed.col(a.index) += sums.fixed_outer.col(j + s * i);
    }
    for (const Parameter& b : parameters) {
      const Index k = b.i, l = b.j;
      double sum = term(i, k, j, l);
      if (k != l) sum += term(i, l, j, k);
      if (i != j) sum += term(j, k, i, l);
      if (i != j && k != l) sum += term(j, l, i, k);
      information(a.index, b.index) = sum;
    }
  }
  if (fixed.rows() > 0) information.noalias() -= fixed.transpose() * fixed;
}

// Leading directions: sum h'N A h; `meeting` receives a'N'h (q_2, K), `fixed` sums F_X'h (p, K).
Matrix ProfiledDeviance::level_information(Matrix& meeting, Matrix& fixed) {
  const EliminationPlan& plan = a_.plan;
  const Index s = a_.leading().effects;
  const std::vector<Parameter> parameters = group_parameters(a_, a_.leading());
  const auto size = static_cast<Index>(parameters.size());
  Matrix own = Matrix::Zero(size, size);
  Matrix direction(s, size), reduced(s, size), a(s, s), f(a_.columns(), s);
  Vector packed(triangle_size(s)), h(s * s), w(s), f_packed(s * a_.columns());
  Matrix down;
  const Eigen::Map<const Matrix> h_level(h.data(), s, s);
  for (const Pattern& pattern : plan.patterns) {
    const std::span<const Code> where = rows_of(plan, pattern);
    down.setZero(pattern.rows_count, size);
    for (Index position = pattern.first; position < pattern.first + pattern.count; ++position) {
      load_level(a_.gram.data(), position, packed);
      for (Index j = 0; j < s; ++j)
        for (Index i = j; i < s; ++i) a(i, j) = a(j, i) = packed[triangle_index(i, j, s)];
      load_level(cholesky_.leading().h.data(), position, h);
      load_level(work_.w.data(), position, w);
      for (Index k = 0; k < size; ++k) fill_direction(parameters[static_cast<std::size_t>(k)], w.data(), 1, direction.col(k));
      reduced.noalias() = a * direction;
      own.noalias() += direction.transpose() * reduced;
      const Matrix half = h_level * reduced;
      own.noalias() -= half.transpose() * half;
      if (fixed.rows() > 0) {
        load_level(work_.f.data(), position, f_packed);
        fixed.noalias() += Eigen::Map<const Matrix>(f_packed.data(), a_.columns(), s).topRows(a_.p) * direction;
      }
      if (pattern.rows_count == 0) continue;
      reduced.noalias() = direction - h_level.transpose() * half;  // N'h
      down.noalias() += Eigen::Map<const Matrix>(a_.coupling.data() + pattern.values_begin + (position - pattern.first) * s * pattern.rows_count,
                                                 pattern.rows_count, s) * reduced;
    }
    for (Index k = 0; k < size; ++k)
      for (Index i = 0; i < pattern.rows_count; ++i) meeting(where[static_cast<std::size_t>(i)], k) += down(i, k);
  }
  return own;
}

// F = h_1'NA h_1 + h_2'(a'N'h_1) + (h_2'a'N'h_1)' + h_2'K h_2 - |L_22^-1 Lam_2'(a'N'h_1 + K h_2)|^2 - |R_X^-T F_X'h|^2
void ProfiledDeviance::general_information(Matrix& information) {
  const EliminationPlan& plan = a_.plan;
  const Index size = parameter_starts(a_).back();
  const Index p = reml_ ? a_.p : 0;
  const auto leading = group_parameters(a_, a_.leading());
  const auto first = static_cast<Index>(leading.size());
  std::vector<Index> order;  // columns here -> parameter
  for (const Parameter& k : leading) order.push_back(k.index);

  const Vector w = work_.residual.col(a_.p) - work_.residual.leftCols(a_.p) * cholesky_.beta();
  Matrix direction = Matrix::Zero(plan.trailing.size, size - first);
  Index column = 0;
  for (std::size_t g = 1; g < plan.groups.size(); ++g)
    for (const Parameter& k : group_parameters(a_, plan.groups[g])) {
      order.push_back(k.index);
      Index row = 0;
      for (const Code group : plan.group_of_rank) {
        const Index s = plan.groups[static_cast<std::size_t>(group)].effects;
        if (static_cast<std::size_t>(group) == g) fill_direction(k, w.data() + row, 1, direction.col(column).segment(row, s));
        row += s;
      }
      ++column;
    }
  Matrix meeting = Matrix::Zero(plan.trailing.size, size);
  Matrix fixed = Matrix::Zero(p, size);
  Matrix fixed_leading = Matrix::Zero(p, first);
  Matrix leading_meeting = Matrix::Zero(plan.trailing.size, first);
  Matrix f = Matrix::Zero(size, size);
  f.topLeftCorner(first, first) = level_information(leading_meeting, fixed_leading);
  meeting.leftCols(first) = leading_meeting;
  meeting.rightCols(size - first) = cholesky_.schur_times(direction);
  fixed.leftCols(first) = fixed_leading;
  if (p > 0) fixed.rightCols(size - first).noalias() = work_.residual.leftCols(p).transpose() * direction;
  f.bottomRows(size - first).noalias() += direction.transpose() * meeting;
  f.topRightCorner(first, size - first) = f.bottomLeftCorner(size - first, first).transpose();
  cholesky_.half_solve(meeting);
  f.noalias() -= meeting.transpose() * meeting;
  if (p > 0) {
    cholesky_.root().transpose().triangularView<Eigen::Lower>().solveInPlace(fixed);
    f.noalias() -= fixed.transpose() * fixed;
  }
  information.resize(size, size);
  for (Index i = 0; i < size; ++i)
    for (Index j = 0; j < size; ++j) information(order[static_cast<std::size_t>(i)], order[static_cast<std::size_t>(j)]) = f(i, j);
}

}  // namespace henderson
