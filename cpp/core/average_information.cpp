// The average information: products of the directions h_k with Z'PZ.
#include "core/profiled_deviance.hpp"

namespace henderson {

void fill_direction(const Parameter& k, const double* w, double* h, Index s) {
  for (Index e = 0; e < s; ++e) h[e] = 0;
  h[k.i] = w[k.j];
  h[k.j] = w[k.i];
}

// One factor: C is block diagonal, and h_k'C h_l sums products of its entries with those of w w'.
void ProfiledDeviance::single_factor_information(Matrix& information) {
  const Index s = a_.leading().effects;
  const auto term = [&](Index i, Index k, Index j, Index l) {  // sum C_ik w_j w_l
    return sums_.information(triangle_index(j, l, s), triangle_index(i, k, s));
  };
  information.resize(size_, size_);
  const bool has_fixed = a_.p > 0;
  for (const Parameter& a : parameters_[0]) {
    const Index i = a.i, j = a.j;
    if (has_fixed) {
      fixed_directions_.col(a.index) = sums_.fixed_outer.col(i + s * j);
      if (i != j) fixed_directions_.col(a.index) += sums_.fixed_outer.col(j + s * i);
    }
    for (const Parameter& b : parameters_[0]) {
      const Index k = b.i, l = b.j;
      double sum = term(i, k, j, l);
      if (k != l) sum += term(i, l, j, k);
      if (i != j) sum += term(j, k, i, l);
      if (i != j && k != l) sum += term(j, l, i, k);
      information(a.index, b.index) = sum;
    }
  }
  if (has_fixed) information.noalias() -= fixed_directions_.transpose().lazyProduct(fixed_directions_);
}

// Directions of the trailing groups: columns of (q_2, K_2), each zero outside its group.
void ProfiledDeviance::trailing_directions() {
  const EliminationPlan& plan = a_.plan;
  Index column = 0;
  for (std::size_t g = 1; g < plan.groups.size(); ++g)
    for (const Parameter& k : parameters_[g]) {
      Index row = 0;
      for (const Code group : plan.group_of_rank) {
        const Index s = plan.groups[static_cast<std::size_t>(group)].effects;
        if (static_cast<std::size_t>(group) == g)
          fill_direction(k, trailing_w_.data() + row, directions_.data() + column * directions_.rows() + row, s);
        row += s;
      }
      ++column;
    }
}

// Leading directions: products_ receives sum h'N A h, meeting_ a'N'h, fixed_directions_ sum F_X'h.
void ProfiledDeviance::level_information() {
  const EliminationPlan& plan = a_.plan;
  const Index s = a_.leading().effects;
  const auto size = static_cast<Index>(parameters_[0].size());
  auto own = products_.topLeftCorner(size, size);
  own.setZero();
  meeting_.leftCols(size).setZero();
  fixed_directions_.leftCols(size).setZero();
  const Eigen::Map<const Matrix> h(level_h_.data(), s, s);
  const Eigen::Map<const Matrix> f(level_f_.data(), a_.columns(), s);
  for (const Pattern& pattern : plan.patterns) {
    auto down = down_.topRows(pattern.rows_count);
    down.setZero();
    for (Index position = pattern.first; position < pattern.first + pattern.count; ++position) {
      load_level(cholesky_.blocks().gram, position, level_packed_);
      load_level(cholesky_.leading().h.data(), position, level_h_);
      load_level(w_.data(), position, level_w_);
      for (Index j = 0; j < s; ++j)
        for (Index i = j; i < s; ++i) level_a_(i, j) = level_a_(j, i) = level_packed_[triangle_index(i, j, s)];
      for (Index k = 0; k < size; ++k)
        fill_direction(parameters_[0][static_cast<std::size_t>(k)], level_w_.data(), level_direction_.data() + k * s,
                       s);
      level_reduced_.noalias() = level_a_.lazyProduct(level_direction_);
      level_half_.noalias() = h.lazyProduct(level_reduced_);
      own.noalias() += level_direction_.transpose().lazyProduct(level_reduced_);
      own.noalias() -= level_half_.transpose().lazyProduct(level_half_);
      if (a_.p > 0) {
        load_level(f_.data(), position, level_f_);
        fixed_directions_.leftCols(size).noalias() += f.topRows(a_.p).lazyProduct(level_direction_);
      }
      level_reduced_ = level_direction_;  // N'h
      level_reduced_.noalias() -= h.transpose().lazyProduct(level_half_);
      const Index begin = pattern.values_begin + (position - pattern.first) * s * pattern.rows_count;
      for (Index k = 0; k < size; ++k)
        for (Index e = 0; e < s; ++e) {
          const double weight = level_reduced_(e, k);
          if (weight == 0) continue;
          const double* level = cholesky_.blocks().coupling + begin + e * pattern.rows_count;
          for (Index i = 0; i < pattern.rows_count; ++i) down(i, k) += weight * level[i];
        }
    }
    const Code* where = plan.pattern_rows.data() + pattern.rows_begin;
    for (Index k = 0; k < size; ++k)
      for (Index i = 0; i < pattern.rows_count; ++i) meeting_(where[i], k) += down(i, k);
  }
}

// F = h_1'NA h_1 + h_2'(a'N'h_1) + (h_2'a'N'h_1)' + h_2'K h_2 - |L_22^-1 Lam_2'(a'N'h_1 + K h_2)|^2 - |R_X^-T F_X'h|^2
// and the part of the stripped leaves (leaf_derivatives.hpp).
void ProfiledDeviance::general_information(Matrix& information) {
  const auto first = static_cast<Index>(parameters_[0].size());
  const Index rest = size_ - first;
  trailing_directions();
  level_information();
  cholesky_.schur_times(directions_, meeting_.rightCols(rest));
  if (!leaves_.is_empty()) {
    leaves_.add_directions(cholesky_, parameters_, w_.data());
    meeting_.rightCols(rest) += leaves_.meeting();
  }
  products_.bottomRows(rest).noalias() = directions_.transpose() * meeting_;
  if (!leaves_.is_empty()) {
    products_.bottomLeftCorner(rest, first) += leaves_.with_leading().transpose();
    products_.bottomRightCorner(rest, rest).noalias() += leaves_.meeting().transpose() * directions_;
    products_.bottomRightCorner(rest, rest) += leaves_.own();
  }
  products_.topRightCorner(first, rest) = products_.bottomLeftCorner(rest, first).transpose();
  cholesky_.half_solve(meeting_);
  products_.noalias() -= meeting_.transpose() * meeting_;
  if (a_.p > 0) {
    fixed_directions_.rightCols(rest).noalias() = residual_.leftCols(a_.p).transpose() * directions_;
    if (!leaves_.is_empty()) fixed_directions_.rightCols(rest) += leaves_.fixed();
    cholesky_.root().transpose().triangularView<Eigen::Lower>().solveInPlace(fixed_directions_);
    products_.noalias() -= fixed_directions_.transpose().lazyProduct(fixed_directions_);
  }
  information.resize(size_, size_);
  for (Index i = 0; i < size_; ++i)
    for (Index j = 0; j < size_; ++j)
      information(order_[static_cast<std::size_t>(i)], order_[static_cast<std::size_t>(j)]) = products_(i, j);
}

}  // namespace henderson
