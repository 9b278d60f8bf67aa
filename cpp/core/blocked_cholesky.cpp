#include "core/blocked_cholesky.hpp"

#include <Eigen/Cholesky>
#include <Eigen/SVD>
#include <cmath>

#include "core/node_blocks.hpp"

namespace henderson {

namespace {

constexpr double exact_fit = 1e-22;  // of the spread of y: what is left is rounding

}  // namespace

void load_level(const double* lanes, Index position, Eigen::Ref<Vector> out) {
  const double* from = lanes + lane_place(position, 0, out.size());
  for (Index e = 0; e < out.size(); ++e) out[e] = from[e * lane_width];
}

void store_level(const Eigen::Ref<const Vector>& values, Index position, double* lanes) {
  double* to = lanes + lane_place(position, 0, values.size());
  for (Index e = 0; e < values.size(); ++e) to[e * lane_width] = values[e];
}

BlockedCholesky::BlockedCholesky(const CrossProducts& a, ThreadPool& pool)
    : a_(a), pool_(pool), shape_{a.leading().levels, a.leading().effects, a.columns()} {
  reserve(shape_, leading_);
  for (const Group& group : a.plan.groups) lambda_.emplace_back(Matrix::Zero(group.effects, group.effects));
  corner_.resize(a.columns(), a.columns());
  root_.setZero(a.p, a.p);
  beta_.setZero(a.p);
  if (!a.plan.has_trailing()) return;
  k_.resize(a.plan.trailing.values);
  l_.resize(a.plan.trailing.values);
  reduced_.resize(a.plan.trailing.size, a.columns());
  solved_.resize(a.plan.trailing.size, a.columns());
}

void BlockedCholesky::set_lambda(const RelativeFactor& factor) {
  for (std::size_t g = 0; g < lambda_.size(); ++g) {
    const Group& group = a_.plan.groups[g];
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      const Matrix& lambda = factor.lambda[static_cast<std::size_t>(group.terms[k])];
      lambda_[g].block(group.first[k], group.first[k], lambda.rows(), lambda.cols()) = lambda;
    }
  }
}

bool BlockedCholesky::update(const RelativeFactor& factor) {
  set_lambda(factor);
  corner_ = a_.corner;
  log_det_ = eliminate_leading(shape_, a_.gram.data(), a_.xy.data(), lambda_[0], leading_, corner_, pool_);
  if (!std::isfinite(log_det_)) return false;
  if (a_.plan.has_trailing()) {
    const SupernodalLayout& layout = a_.plan.trailing;
    k_.setZero();
    for (const TrailingEntry& entry : a_.entries) k_[entry.place] = entry.value;
    reduced_ = a_.trailing_xy;
    eliminate_patterns();                                           // K = A_22 - sum_j a_j W_j a_j'
    mirror_nodes(a_.plan, k_.data());
    transform_nodes(a_.plan, lambda_, Side::transposed, k_.data(), l_.data());
    add_identity(layout, l_.data());                                // S = Lam_2'K Lam_2 + I
    if (!factor_in_place(layout, l_.data(), work_, pool_)) return false;
    log_det_ += log_det_of_factor(layout, l_.data());
    solved_ = reduced_;
    half_solve(solved_);
    corner_.noalias() -= solved_.transpose() * solved_;
  }
  const Index p = a_.p;
  if (p > 0) {
    const Eigen::LLT<Matrix> llt(corner_.topLeftCorner(p, p));
    if (llt.info() != Eigen::Success) return false;
    root_ = llt.matrixU();
    const Vector c = root_.transpose().triangularView<Eigen::Lower>().solve(corner_.col(p).head(p));
    beta_ = root_.triangularView<Eigen::Upper>().solve(c);
    pwrss_ = corner_(p, p) - c.squaredNorm();
  } else {
    pwrss_ = corner_(0, 0);
  }
  return std::isfinite(log_det_) && std::isfinite(pwrss_) && pwrss_ > exact_fit * a_.y_spread;
}

double BlockedCholesky::log_det_root() const { return 2 * root_.diagonal().array().log().sum(); }

void BlockedCholesky::eliminate_patterns() {
  const Index s = shape_.effects;
  const Index columns = shape_.columns;
  small_.resize(s, s + columns);
  Vector h(s * s), v(s * columns);
  for (const Pattern& pattern : a_.plan.patterns) {
    const Index rows = pattern.rows_count;
    if (rows == 0) continue;
    const std::span<const Code> where(a_.plan.pattern_rows.data() + pattern.rows_begin, static_cast<std::size_t>(rows));
    panel_.resize(rows, pattern.count * s);
    update_.setZero(rows, columns);
    for (Index member = 0; member < pattern.count; ++member) {
      const Index position = pattern.first + member;
      load_level(leading_.h.data(), position, h);
      load_level(a_.xy.data(), position, v);
      const Eigen::Map<const Matrix> level(a_.coupling.data() + pattern.values_begin + member * s * rows, rows, s);
      const Eigen::Map<const Matrix> h_level(h.data(), s, s);
      const Eigen::Map<const Matrix> v_level(v.data(), columns, s);
      auto b = panel_.middleCols(member * s, s);
      b.noalias() = level * h_level.transpose();
      small_.rightCols(columns).noalias() = h_level * v_level.transpose();
      update_.noalias() += b * small_.rightCols(columns);
    }
    for (Index c = 0; c < columns; ++c)
      for (Index i = 0; i < rows; ++i) reduced_(where[static_cast<std::size_t>(i)], c) -= update_(i, c);
    update_.setZero(rows, rows);
    update_.selfadjointView<Eigen::Lower>().rankUpdate(panel_);
    subtract_at(a_.plan.trailing, where, update_, k_.data());
  }
}

void BlockedCholesky::half_solve(Matrix& x) const {
  multiply_nodes(a_.plan, lambda_, Side::transposed, x);
  solve_lower(a_.plan.trailing, l_.data(), x);
}

Matrix BlockedCholesky::schur_times(const Matrix& x) const { return symmetric_times(a_.plan.trailing, k_.data(), x); }

void BlockedCholesky::trailing_solution(Matrix& solution, Matrix& residual) const {
  solution = solved_;
  solve_upper(a_.plan.trailing, l_.data(), solution);
  const Matrix spherical = solution;  // Lam'F, whatever the size of Lam
  multiply_nodes(a_.plan, lambda_, Side::plain, solution);
  residual = reduced_ - schur_times(solution);
  std::vector<Matrix> inverse(lambda_.size());  // where Lam is large the difference cancels: F = Lam^-T (Lam'F)
  for (std::size_t g = 1; g < lambda_.size(); ++g) {
    const Eigen::JacobiSVD<Matrix> svd(lambda_[g], Eigen::ComputeFullU | Eigen::ComputeFullV);
    const double least = svd.singularValues()[lambda_[g].rows() - 1];
    if (static_cast<double>(a_.n) * least * least > static_cast<double>(a_.plan.groups[g].levels))
      inverse[g] = svd.matrixU() * svd.singularValues().cwiseInverse().asDiagonal() * svd.matrixV().transpose();
  }
  Index row = 0;
  for (const Code group : a_.plan.group_of_rank) {
    const Index s = a_.plan.groups[static_cast<std::size_t>(group)].effects;
    const Matrix& own = inverse[static_cast<std::size_t>(group)];
    if (own.size() > 0) residual.middleRows(row, s).noalias() = own * spherical.middleRows(row, s);
    row += s;
  }
}

void BlockedCholesky::trailing_inverse(Vector& values, std::vector<Matrix>& c_lambda) {
  values = l_;
  invert_in_place(a_.plan.trailing, values.data(), work_, pool_);
  mirror_nodes(a_.plan, values.data());
  sum_diagonal_products(a_.plan, lambda_, k_.data(), values.data(), c_lambda);
  transform_nodes(a_.plan, lambda_, Side::plain, values.data(), values.data());
}

}  // namespace henderson
