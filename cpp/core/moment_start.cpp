#include "core/moment_start.hpp"

#include <Eigen/Eigenvalues>
#include <Eigen/QR>
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/blocked_cholesky.hpp"
#include "core/within_levels.hpp"

namespace henderson {

namespace {

constexpr Index most_levels = 20000;    // that correlations are started from
constexpr double most_explained = 0.9;  // of r'r, by the effects of the leading factor one by one
constexpr double far_off = 4;           // a residual variance that moments find so many times too large
constexpr double floor_share = 0.05;    // lam^2 times the mean of A_j where the moments say zero

// The effects of all groups side by side, with what each level contributes.
struct Moment {
  Vector form, noise, spread, size;     // per effect: T_a; sum (A - |F|^2) / A; sum (A - |F|^2); mean A over its levels
  Matrix squares;                       // (S, S): sum_jm A_jm^2 / A_j
  Matrix mixed;                         // (S, S): sum_jm A_jm (F_j . F_m) / A_j
  std::vector<Matrix> weighted, plain;  // per effect (p, p): sum F_j'F_j / A_j and sum F_j'F_j
  Vector levels;
  double share = 0;  // 1 / n: Q'Q = n I
};

// One level of one group: its block of A (s, s), and [F | z'r]' (p + 1, s).
template <class Right>
void add_level(Moment& m, Index at, const Matrix& block, const Right& right) {
  const Index p = right.rows() - 1;
  for (Index e = 0; e < block.cols(); ++e) {
    const double own = block(e, e);
    if (!(own > 0)) continue;
    Matrix& weighted = m.weighted[static_cast<std::size_t>(at + e)];
    Matrix& plain = m.plain[static_cast<std::size_t>(at + e)];
    double removed = 0;
    for (Index c = 0; c < p; ++c) {
      const double f = m.share * right(c, e);
      removed += f * right(c, e);
      for (Index d = 0; d < p; ++d) {
        plain(d, c) += f * right(d, e);
        weighted(d, c) += f * right(d, e) / own;
      }
    }
    m.form[at + e] += right(p, e) * right(p, e) / own;
    m.noise[at + e] += 1 - removed / own;
    m.spread[at + e] += own - removed;
    m.size[at + e] += own;
    m.levels[at + e] += 1;
    for (Index b = 0; b < block.cols(); ++b) {
      double product = 0;
      for (Index c = 0; c < p; ++c) product += right(c, e) * right(c, b);
      m.squares(at + e, at + b) += block(e, b) * block(e, b) / own;
      m.mixed(at + e, at + b) += m.share * block(e, b) * product / own;
    }
  }
}

// One entry of A between levels of two groups, both ways.
void add_pair(Moment& m, Index a, Index b, double own_a, double own_b, double value, double product) {
  if (own_a > 0) {
    m.squares(a, b) += value * value / own_a;
    m.mixed(a, b) += m.share * value * product / own_a;
  }
  if (own_b > 0) {
    m.squares(b, a) += value * value / own_b;
    m.mixed(b, a) += m.share * value * product / own_b;
  }
}

struct TrailingView {
  std::vector<Index> effect;  // stacked effect number of a trailing scalar, counted over all groups
  std::vector<Index> node;    // first scalar of its node
  std::vector<Matrix> block;  // A_jj of each node, by rank
  Vector diagonal;
};

TrailingView view_trailing(const CrossProducts& a, const std::vector<Index>& start) {
  TrailingView view;
  view.diagonal.setZero(a.plan.trailing.size);
  for (const Code group : a.plan.group_of_rank) {
    const auto first = static_cast<Index>(view.effect.size());
    for (Index e = 0; e < a.plan.groups[static_cast<std::size_t>(group)].effects; ++e) {
      view.effect.push_back(start[static_cast<std::size_t>(group)] + e);
      view.node.push_back(first);
    }
  }
  std::vector<Index> rank;  // of the node of a scalar
  for (std::size_t k = 0; k < a.plan.group_of_rank.size(); ++k) {
    const Index s = a.plan.groups[static_cast<std::size_t>(a.plan.group_of_rank[k])].effects;
    view.block.emplace_back(Matrix::Zero(s, s));
    rank.insert(rank.end(), static_cast<std::size_t>(s), static_cast<Index>(k));
  }
  for (const TrailingEntry& entry : a.entries) {
    const Index first = view.node[static_cast<std::size_t>(entry.row)];
    if (first != view.node[static_cast<std::size_t>(entry.col)]) continue;
    Matrix& block = view.block[static_cast<std::size_t>(rank[static_cast<std::size_t>(entry.row)])];
    block(entry.row - first, entry.col - first) = block(entry.col - first, entry.row - first) = entry.value;
    if (entry.row == entry.col) view.diagonal[entry.row] = entry.value;
  }
  return view;
}

// Calls visit(A_jj, [F | z'r]') for the first levels stored in lanes.
template <class Visit>
void for_each_in_lanes(const CrossProducts& a, Index s, Index count, const AlignedVector<double>& gram,
                       const AlignedVector<double>& xy, Visit&& visit) {
  Vector packed(triangle_size(s)), right(s * a.columns());
  Matrix block(s, s);
  for (Index place = 0; place < count; ++place) {
    load_level(gram.data(), place, packed);
    load_level(xy.data(), place, right);
    for (Index j = 0; j < s; ++j)
      for (Index i = j; i < s; ++i) block(i, j) = block(j, i) = packed[triangle_index(i, j, s)];
    visit(block, Eigen::Map<const Matrix>(right.data(), a.columns(), s));
  }
}

// Calls visit(A_jj, [F | z'r]') for levels of a group, up to a number that is plenty for a start.
template <class Visit>
void for_each_level(const CrossProducts& a, const TrailingView& view, std::size_t g, Index most, Visit&& visit) {
  const Index s = a.plan.groups[g].effects;
  if (g == 0) return for_each_in_lanes(a, s, std::min(most, a.leading().levels), a.gram, a.xy, visit);
  Index row = 0;
  Index seen = 0;
  for (std::size_t k = 0; k < view.block.size(); ++k) {
    const Matrix& block = view.block[k];
    if (static_cast<std::size_t>(a.plan.group_of_rank[k]) == g && seen++ < most)
      visit(block, a.trailing_xy.middleRows(row, block.rows()).transpose());
    row += block.rows();
  }
  if (!a.plan.has_leaves()) return;
  for_each_in_lanes(a, s, static_cast<Index>(a.plan.leaves[g].leaves.size()), a.leaves[g].gram, a.leaves[g].xy,
                    [&](const Matrix& block, const auto& right) {
                      if (seen++ < most) visit(block, right);
                    });
}

void add_pairs(const CrossProducts& a, const TrailingView& view, Moment& m) {
  const Index s = a.leading().effects;
  const Index p = a.p;
  for (const TrailingEntry& entry : a.entries) {
    const Index i = entry.row, j = entry.col;
    if (view.node[static_cast<std::size_t>(i)] == view.node[static_cast<std::size_t>(j)]) continue;
    add_pair(m, view.effect[static_cast<std::size_t>(i)], view.effect[static_cast<std::size_t>(j)], view.diagonal[i],
             view.diagonal[j], entry.value, a.trailing_xy.row(i).head(p).dot(a.trailing_xy.row(j).head(p)));
  }
  Vector packed(triangle_size(s)), right(s * a.columns());
  const Eigen::Map<const Matrix> f(right.data(), a.columns(), s);
  for (const Pattern& pattern : a.plan.patterns)
    for (Index position = pattern.first; position < pattern.first + pattern.count; ++position) {
      load_level(a.gram.data(), position, packed);
      load_level(a.xy.data(), position, right);
      const double* value =
          a.coupling.data() + pattern.values_begin + (position - pattern.first) * s * pattern.rows_count;
      for (Index e = 0; e < s; ++e)
        for (Index i = 0; i < pattern.rows_count; ++i, ++value) {
          const Index row = a.plan.pattern_rows[static_cast<std::size_t>(pattern.rows_begin + i)];
          add_pair(m, e, view.effect[static_cast<std::size_t>(row)], packed[triangle_index(e, e, s)],
                   view.diagonal[row], *value, f.col(e).head(p).dot(a.trailing_xy.row(row).head(p)));
        }
    }
}

// The pairs of stripped leaves with their hosts and with the other levels that they meet.
void add_leaf_pairs(const CrossProducts& a, const TrailingView& view, const std::vector<Index>& start, Moment& m) {
  const Index s_1 = a.leading().effects, p = a.p;
  Vector host_packed(triangle_size(s_1)), host_right(s_1 * a.columns());
  const Eigen::Map<const Matrix> host_f(host_right.data(), a.columns(), s_1);
  for (std::size_t g = 1; g < a.plan.leaves.size(); ++g) {
    const LeafGroup& group = a.plan.leaves[g];
    const Index s = a.plan.groups[g].effects;
    Vector packed(triangle_size(s)), right(s * a.columns());
    const Eigen::Map<const Matrix> f(right.data(), a.columns(), s);
    for (std::size_t k = 0; k < group.leaves.size(); ++k) {
      const Leaf& leaf = group.leaves[k];
      const Index host = a.plan.host_of(leaf).position;
      load_level(a.leaves[g].gram.data(), static_cast<Index>(k), packed);
      load_level(a.leaves[g].xy.data(), static_cast<Index>(k), right);
      load_level(a.gram.data(), host, host_packed);
      load_level(a.xy.data(), host, host_right);
      const double* value = a.leaves[g].coupling.data() + leaf.values_begin;
      for (Index e = 0; e < s; ++e) {
        const double own = packed[triangle_index(e, e, s)];
        for (Index i = 0; i < s_1; ++i)
          add_pair(m, start[g] + e, i, own, host_packed[triangle_index(i, i, s_1)], *value++,
                   f.col(e).head(p).dot(host_f.col(i).head(p)));
        for (Index i = 0; i < leaf.rows_count; ++i) {
          const Index row = group.rows[static_cast<std::size_t>(leaf.rows_begin + i)];
          add_pair(m, start[g] + e, view.effect[static_cast<std::size_t>(row)], own, view.diagonal[row], *value++,
                   f.col(e).head(p).dot(a.trailing_xy.row(row).head(p)));
        }
      }
    }
  }
}

// Solves for (psi, sigma^2), leaving out effects whose solution is negative.
Vector solve_moments(const CrossProducts& a, const Moment& m) {
  const Index size = m.form.size();
  Matrix system(size + 1, size + 1);
  Vector right(size + 1);
  for (Index i = 0; i < size; ++i) {
    for (Index j = 0; j < size; ++j)
      system(i, j) = m.squares(i, j) - 2 * m.mixed(i, j) +
                     m.weighted[static_cast<std::size_t>(i)].cwiseProduct(m.plain[static_cast<std::size_t>(j)]).sum();
    system(i, size) = m.noise[i];
    system(size, i) = m.spread[i];
    right[i] = m.form[i];
  }
  system(size, size) = a.observations - static_cast<double>(a.p);
  right[size] = a.corner(a.p, a.p);
  Vector out = Vector::Zero(size + 1);
  std::vector<Index> active(static_cast<std::size_t>(size + 1));
  for (Index i = 0; i <= size; ++i) active[static_cast<std::size_t>(i)] = i;
  while (true) {
    const Matrix reduced = system(active, active);
    const Vector solution = reduced.colPivHouseholderQr().solve(Vector(right(active)));
    std::vector<Index> positive;
    for (std::size_t i = 0; i < active.size(); ++i)
      if (solution[static_cast<Index>(i)] > 0 || active[i] == size) positive.push_back(active[i]);
    if (positive.size() == active.size() || positive.size() == 1) {
      out.setZero();
      for (std::size_t i = 0; i < active.size(); ++i) out[active[i]] = std::max(solution[static_cast<Index>(i)], 0.0);
      return out;
    }
    active = positive;
  }
}

// What the moments say, unless the leading factor explains nearly everything: a small difference of large sums then.
double residual_variance(const CrossProducts& a, const Moment& m, double found) {
  const double total = a.corner(a.p, a.p);
  const double sigma2 = found > 0 ? found : total / a.observations;
  if (m.form.head(a.leading().effects).sum() < most_explained * total) return sigma2;
  const double within = within_level_variance(a);
  return within > 0 && far_off * within < sigma2 ? within : sigma2;
}

// Covariances of the effects of one group, given their variances: the same moments of products of two effects, other
// groups aside. Correlations are kept below 0.9.
Matrix correlated(const CrossProducts& a, const TrailingView& view, std::size_t g, const Vector& psi, double sigma2) {
  const Index s = psi.size();
  const Index p = a.p;
  const double share = 1 / static_cast<double>(a.n);
  Matrix form = Matrix::Zero(s, s), weight = Matrix::Zero(s, s);
  for_each_level(a, view, g, most_levels, [&](const Matrix& block, const auto& right) {
    for (Index j = 0; j < s; ++j)
      for (Index i = j + 1; i < s; ++i) {
        const double scale = std::sqrt(block(i, i) * block(j, j));
        if (!(scale > 0)) continue;
        double expected = block(i, j);
        for (Index c = 0; c < p; ++c) expected -= share * right(c, i) * right(c, j);
        for (Index c = 0; c < s; ++c) expected += psi[c] * block(i, c) * block(c, j);
        form(i, j) += (right(p, i) * right(p, j) / sigma2 - expected) / scale;
        weight(i, j) += (block(i, i) * block(j, j) + block(i, j) * block(i, j)) / scale;
      }
  });
  Matrix out = psi.asDiagonal();
  for (Index j = 0; j < s; ++j)
    for (Index i = j + 1; i < s; ++i) {
      const double bound = 0.9 * std::sqrt(psi[i] * psi[j]);
      const double value = weight(i, j) > 0 ? form(i, j) / weight(i, j) : 0.0;
      out(i, j) = out(j, i) = std::isfinite(value) ? std::clamp(value, -bound, bound) : 0.0;
    }
  return out;
}

// A square root of a symmetric matrix, negative eigenvalues at a tenth of the smallest variance.
Matrix root_of(const Matrix& psi) {
  if (psi.rows() == 1) return psi.cwiseSqrt();
  const Eigen::SelfAdjointEigenSolver<Matrix> eigen(psi);
  const double least = 0.1 * psi.diagonal().minCoeff();
  return eigen.eigenvectors() * eigen.eigenvalues().cwiseMax(least).cwiseSqrt().asDiagonal();
}

}  // namespace

RelativeFactor moment_start(const CrossProducts& a) {
  std::vector<Index> start{0};
  for (const Group& group : a.plan.groups) start.push_back(start.back() + group.effects);
  const Index size = start.back();
  const std::vector<Matrix> none(static_cast<std::size_t>(size), Matrix::Zero(a.p, a.p));
  Moment m{Vector::Zero(size),
           Vector::Zero(size),
           Vector::Zero(size),
           Vector::Zero(size),
           Matrix::Zero(size, size),
           Matrix::Zero(size, size),
           none,
           none,
           Vector::Zero(size),
           1 / static_cast<double>(a.n)};
  TrailingView view;
  if (a.plan.has_trailing()) view = view_trailing(a, start);
  for (std::size_t g = 0; g < a.plan.groups.size(); ++g)
    for_each_level(a, view, g, std::numeric_limits<Index>::max(),
                   [&](const Matrix& block, const auto& right) { add_level(m, start[g], block, right); });
  if (a.plan.has_trailing()) add_pairs(a, view, m);
  add_leaf_pairs(a, view, start, m);
  const Vector solution = solve_moments(a, m);
  const double sigma2 = residual_variance(a, m, solution[size]);
  Vector ratio = solution.head(size) / sigma2;
  for (Index e = 0; e < size; ++e) {
    if (m.levels[e] == 0)
      ratio[e] = 0;  // a column without effect: no variance
    else
      ratio[e] = std::max(std::isfinite(ratio[e]) ? ratio[e] : 1.0, floor_share * m.levels[e] / m.size[e]);
  }
  RelativeFactor out;
  for (const AffineMap& term : a.random) out.lambda.emplace_back(Matrix::Zero(term.size(), term.size()));
  for (std::size_t g = 0; g < a.plan.groups.size(); ++g) {
    const Group& group = a.plan.groups[g];
    const Vector own = ratio.segment(start[g], group.effects);
    const bool has_pairs = group.effects > static_cast<Index>(group.terms.size());
    const Matrix psi = has_pairs ? correlated(a, view, g, own, sigma2) : Matrix(own.asDiagonal());
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      Matrix& lambda = out.lambda[static_cast<std::size_t>(group.terms[k])];
      lambda = root_of(psi.block(group.first[k], group.first[k], lambda.rows(), lambda.rows()));
    }
  }
  return out;
}

}  // namespace henderson
