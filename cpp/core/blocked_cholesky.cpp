#include "core/blocked_cholesky.hpp"

#include <algorithm>
#include <cmath>

namespace henderson {

namespace {

constexpr double exact_fit = 1e-22;  // of the spread of y: what is left is rounding

// inverse := a^-1 by Gauss-Jordan elimination with row exchanges; false where a is singular. `a` is destroyed.
bool invert_small(Matrix& a, Matrix& inverse) {
  const Index s = a.rows();
  inverse.setIdentity(s, s);
  for (Index j = 0; j < s; ++j) {
    Index pivot = j;
    for (Index i = j + 1; i < s; ++i)
      if (std::abs(a(i, j)) > std::abs(a(pivot, j))) pivot = i;
    if (a(pivot, j) == 0) return false;
    a.row(j).swap(a.row(pivot));
    inverse.row(j).swap(inverse.row(pivot));
    const double scale = 1 / a(j, j);
    a.row(j) *= scale;
    inverse.row(j) *= scale;
    for (Index i = 0; i < s; ++i) {
      const double factor = a(i, j);
      if (i == j || factor == 0) continue;
      a.row(i) -= factor * a.row(j);
      inverse.row(i) -= factor * inverse.row(j);
    }
  }
  return true;
}

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
    : a_(a), pool_(pool), leaves_(a), shape_{a.leading().levels, a.leading().effects, a.columns()} {
  reserve(shape_, leading_);
  for (const Group& group : a.plan.groups) lambda_.emplace_back(Matrix::Zero(group.effects, group.effects));
  corner_.resize(a.columns(), a.columns());
  root_.setZero(a.p, a.p);
  beta_.setZero(a.p);
  half_.setZero(a.p);
  if (!a.plan.has_trailing()) return;
  k_.resize(a.plan.trailing.values);
  l_.resize(a.plan.trailing.values);
  reduced_.resize(a.plan.trailing.size, a.columns());
  solved_.resize(a.plan.trailing.size, a.columns());
  difference_.resize(a.plan.trailing.size, a.columns());
  schur_ = std::make_unique<SchurUpdate>(a);
  work_ = make_work(a.plan.trailing);
  nodes_ = make_node_work(a.plan, a.columns());
  inverse_lambda_ = lambda_;
  transposed_lambda_ = lambda_;
  is_large_.resize(lambda_.size());
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

bool BlockedCholesky::is_at(const RelativeFactor& factor) const {
  if (!is_factored_) return false;
  for (std::size_t g = 0; g < lambda_.size(); ++g) {
    const Group& group = a_.plan.groups[g];
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      const Matrix& lambda = factor.lambda[static_cast<std::size_t>(group.terms[k])];
      if (lambda_[g].block(group.first[k], group.first[k], lambda.rows(), lambda.cols()) != lambda) return false;
    }
  }
  return true;
}

bool BlockedCholesky::update(const RelativeFactor& factor) {
  is_factored_ = false;
  set_lambda(factor);
  corner_ = a_.corner;
  log_det_ = leaves_.eliminate(lambda_, corner_, pool_);
  log_det_ += eliminate_leading(shape_, blocks().gram, blocks().xy, lambda_[0], leading_, corner_, pool_);
  if (!std::isfinite(log_det_)) return false;
  if (a_.plan.has_trailing()) {
    const SupernodalLayout& layout = a_.plan.trailing;
    schur_->run(a_, blocks(), leading_, k_.data(), reduced_, pool_);  // K = A_22 - sum_j b_j b_j'
    leaves_.subtract_from(k_.data());
    mirror_nodes(a_.plan, nodes_, k_.data());
    transform_nodes(a_.plan, lambda_, Side::transposed, k_.data(), l_.data(), nodes_, pool_);
    add_identity(layout, l_.data());                                      // S = Lam_2'K Lam_2 + I
    if (!factor_in_place(layout, l_.data(), work_, pool_)) return false;  // S = L_22 L_22'
    log_det_ += log_det_of_factor(layout, l_.data());
    solved_ = reduced_;
    half_solve(solved_);  // L_22^-1 Lam_2' reduced
    corner_.noalias() -= solved_.transpose().lazyProduct(solved_);
  }
  is_factored_ = true;
  const bool has_corner = factor_corner();
  is_exact_ = rows_ != nullptr && !a_.plan.has_leaves() && (!has_corner || is_short_of_digits());
  return is_exact_ ? factor_exactly(has_corner) : has_corner;
}

// R_X'R_X = Q'V^-1Q, beta, and r2 = r'V^-1r - |R_X^-T Q'V^-1r|^2.
bool BlockedCholesky::factor_corner() {
  const Index p = a_.p;
  for (Index j = 0; j < p; ++j) {
    for (Index i = 0; i <= j; ++i) {
      double sum = corner_(j, i);
      for (Index k = 0; k < i; ++k) sum -= root_(k, i) * root_(k, j);
      if (i < j)
        root_(i, j) = sum / root_(i, i);
      else if (sum > 0)
        root_(j, j) = std::sqrt(sum);
      else
        return false;
    }
    double sum = corner_(p, j);
    for (Index k = 0; k < j; ++k) sum -= root_(k, j) * half_[k];
    half_[j] = sum / root_(j, j);
  }
  beta_ = half_;
  root_.triangularView<Eigen::Upper>().solveInPlace(beta_);
  pwrss_ = corner_(p, p) - half_.squaredNorm();
  return std::isfinite(log_det_) && std::isfinite(pwrss_) && pwrss_ > exact_fit * a_.y_spread;
}

double BlockedCholesky::log_det_root() const { return 2 * root_.diagonal().array().log().sum(); }

void BlockedCholesky::half_solve(Eigen::Ref<Matrix> x) {
  multiply_nodes(a_.plan, lambda_, Side::transposed, x, nodes_);
  solve_lower(a_.plan.trailing, l_.data(), x);
}

void BlockedCholesky::schur_times(const Eigen::Ref<const Matrix>& x, Eigen::Ref<Matrix> out) const {
  symmetric_times(a_.plan.trailing, k_.data(), x, out);
}

Matrix BlockedCholesky::trailing_spherical() const {
  Matrix out = solved_;
  solve_upper(a_.plan.trailing, l_.data(), out);
  return out;
}

void BlockedCholesky::trailing_solution(Matrix& solution, Matrix& residual) {
  solution = solved_;
  solve_upper(a_.plan.trailing, l_.data(), solution);
  residual.resize(solution.rows(), solution.cols());
  for (std::size_t g = 1; g < lambda_.size();
       ++g) {  // F = reduced - K solution cancels where Lam is large: then Lam^-T (Lam'F)
    const double scale = static_cast<double>(a_.n) / static_cast<double>(a_.plan.groups[g].levels);
    transposed_lambda_[g] = lambda_[g].transpose();
    const bool is_regular = invert_small(transposed_lambda_[g], inverse_lambda_[g]);
    is_large_[g] = is_regular && scale > inverse_lambda_[g].squaredNorm() ? 1 : 0;
  }
  Index row = 0;
  const Matrix& spherical = solution;
  for (const Code group : a_.plan.group_of_rank) {
    const auto g = static_cast<std::size_t>(group);
    const Index s = lambda_[g].rows();
    if (is_large_[g] != 0) residual.middleRows(row, s) = inverse_lambda_[g].lazyProduct(spherical.middleRows(row, s));
    row += s;
  }
  multiply_nodes(a_.plan, lambda_, Side::plain, solution, nodes_);
  if (std::find(is_large_.begin() + 1, is_large_.end(), 0) == is_large_.end()) return;
  schur_times(solution, difference_);
  row = 0;
  for (const Code group : a_.plan.group_of_rank) {
    const auto g = static_cast<std::size_t>(group);
    const Index s = lambda_[g].rows();
    if (is_large_[g] == 0) residual.middleRows(row, s) = reduced_.middleRows(row, s) - difference_.middleRows(row, s);
    row += s;
  }
}

void BlockedCholesky::trailing_inverse(Vector& values, std::vector<Matrix>& c_lambda) {
  values.resize(l_.size());
  constexpr Index slices = 16;
  const Index size = l_.size();
  pool_.run(slices, [&](Index t) {
    const Index begin = size * t / slices;
    const Index length = size * (t + 1) / slices - begin;
    values.segment(begin, length) = l_.segment(begin, length);
  });
  invert_in_place(a_.plan.trailing, values.data(), work_, pool_);
  mirror_nodes(a_.plan, nodes_, values.data());
  sum_diagonal_products(a_.plan, lambda_, k_.data(), values.data(), c_lambda, nodes_, pool_);
  transform_nodes(a_.plan, lambda_, Side::plain, values.data(), values.data(), nodes_, pool_);
}

}  // namespace henderson
