#include "tests/assembled.hpp"

#include <algorithm>
#include <numeric>

namespace henderson::testing {

namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// First scalar of a level of a group in the order of the assembled matrix.
Index scalar_of(const CrossProducts& a, std::size_t group, Code level) {
  if (group == 0) return a.plan.place(level) * a.leading().effects;
  const Code rank = a.plan.rank_of(group, level);
  if (is_leaf(rank)) return leaf_scalar(a, group, leaf_of(rank));
  return leading_size(a) + a.plan.trailing.node_offset[at(rank)];
}

void add_leaves(const CrossProducts& a, std::size_t g, Matrix& out) {
  const Index s = a.plan.groups[g].effects, s_1 = a.leading().effects, columns = a.columns();
  const LeafGroup& group = a.plan.leaves[g];
  for (Index k = 0; k < static_cast<Index>(group.leaves.size()); ++k) {
    const Leaf& leaf = group.leaves[at(k)];
    const double* value = a.leaves[g].coupling.data() + leaf.values_begin;
    for (Index e = 0; e < s; ++e) {
      const Index own = leaf_scalar(a, g, k) + e;
      for (Index f = 0; f <= e; ++f)
        out(own, leaf_scalar(a, g, k) + f) =
            a.leaves[g].gram[at(lane_place(k, triangle_index(e, f, s), triangle_size(s)))];
      for (Index c = 0; c < columns; ++c)
        out(out.rows() - columns + c, own) = a.leaves[g].xy[at(lane_place(k, e * columns + c, s * columns))];
      for (Index i = 0; i < s_1; ++i) out(own, a.plan.host_of(leaf).position * s_1 + i) = *value++;
      for (Index i = 0; i < leaf.rows_count; ++i)
        out(own, leading_size(a) + group.rows[at(leaf.rows_begin + i)]) = *value++;
    }
  }
}

}  // namespace

Index leading_size(const CrossProducts& a) { return a.leading().levels * a.leading().effects; }

Index leaf_scalar(const CrossProducts& a, std::size_t group, Index leaf) {
  Index first = leading_size(a) + a.plan.trailing_size();
  for (std::size_t g = 1; g < group; ++g)
    first += static_cast<Index>(a.plan.leaves[g].leaves.size()) * a.plan.groups[g].effects;
  return first + leaf * a.plan.groups[group].effects;
}

Index leaf_size(const CrossProducts& a) {
  if (!a.plan.has_leaves()) return 0;
  return leaf_scalar(a, a.plan.groups.size() - 1, static_cast<Index>(a.plan.leaves.back().leaves.size())) -
         leading_size(a) - a.plan.trailing_size();
}

Matrix assembled(const CrossProducts& a) {
  const Index s = a.leading().effects, columns = a.columns();
  const Index first = leading_size(a), q_2 = a.plan.trailing_size(), corner = first + q_2 + leaf_size(a);
  Matrix out = Matrix::Zero(corner + columns, corner + columns);
  for (Index position = 0; position < a.leading().levels; ++position)
    for (Index i = 0; i < s; ++i) {
      for (Index j = 0; j <= i; ++j)
        out(position * s + i, position * s + j) =
            a.gram[at(lane_place(position, triangle_index(i, j, s), triangle_size(s)))];
      for (Index c = 0; c < columns; ++c)
        out(corner + c, position * s + i) = a.xy[at(lane_place(position, i * columns + c, s * columns))];
    }
  for (const Pattern& pattern : a.plan.patterns)
    for (Index k = 0; k < pattern.count * s; ++k)
      for (Index i = 0; i < pattern.rows_count; ++i)
        out(first + a.plan.pattern_rows[at(pattern.rows_begin + i)], pattern.first * s + k) =
            a.coupling[at(pattern.values_begin + k * pattern.rows_count + i)];
  for (const TrailingEntry& entry : a.entries) out(first + entry.row, first + entry.col) += entry.value;
  if (a.plan.has_trailing()) out.block(corner, first, columns, q_2) = a.trailing_xy.transpose();
  for (std::size_t g = 1; g < a.plan.leaves.size(); ++g) add_leaves(a, g, out);
  out.bottomRightCorner(columns, columns) = a.corner;
  return symmetric_of(out);
}

Matrix from_rows(const CrossProducts& a, const Design& design) {
  const Index corner = leading_size(a) + a.plan.trailing_size() + leaf_size(a);
  Matrix rows = Matrix::Zero(a.n, corner + a.columns());
  const std::vector<Matrix> effects = whitened_effects(a);
  for (std::size_t g = 0; g < a.plan.groups.size(); ++g) {
    const Group& group = a.plan.groups[g];
    const std::vector<Code>& codes = design.codes[at(group.factor)];
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      const Matrix& z = effects[at(group.terms[k])];
      for (Index i = 0; i < a.n; ++i)
        rows.row(i).segment(scalar_of(a, g, codes[at(i)]) + group.first[k], z.cols()) = z.row(i);
    }
  }
  if (a.p > 0) a.fixed.apply(0, rows.middleCols(corner, a.p));
  rows.col(corner + a.p) = design.y - rows.middleCols(corner, a.p) * a.ols;
  return rows.transpose() * design.weight().asDiagonal() * rows;
}

Matrix assembled_lambda(const CrossProducts& a, const RelativeFactor& factor) {
  const Index size = leading_size(a) + a.plan.trailing_size() + leaf_size(a);
  Matrix out = Matrix::Zero(size, size);
  for (std::size_t g = 0; g < a.plan.groups.size(); ++g) {
    const Group& group = a.plan.groups[g];
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      const Matrix& lambda = factor.lambda[at(group.terms[k])];
      for (Code level = 0; level < static_cast<Code>(group.levels); ++level) {
        const Index first = scalar_of(a, g, level) + group.first[k];
        out.block(first, first, lambda.rows(), lambda.rows()) = lambda;
      }
    }
  }
  return out;
}

CrossProducts with_dense_trailing(const CrossProducts& a) {
  CrossProducts out = a;
  EliminationPlan& plan = out.plan;
  std::vector<Index> sizes, to(at(a.plan.trailing_size()));  // sparse scalar -> dense scalar
  for (std::size_t g = 1; g < plan.groups.size(); ++g)
    sizes.insert(sizes.end(), at(plan.groups[g].levels), plan.groups[g].effects);
  plan.trailing = dense_layout(sizes);
  for (std::size_t node = 0; node < sizes.size(); ++node)
    for (Index e = 0; e < sizes[node]; ++e)
      to[at(a.plan.trailing.node_offset[at(a.plan.trailing.rank[node])] + e)] = plan.trailing.node_offset[node] + e;
  for (std::size_t g = 1; g < plan.groups.size(); ++g)
    std::fill_n(plan.group_of_rank.begin() + plan.node_base[g], plan.groups[g].levels, static_cast<Code>(g));
  for (TrailingEntry& entry : out.entries) {
    const Index i = to[at(entry.row)], j = to[at(entry.col)];
    entry = {static_cast<Code>(std::max(i, j)), static_cast<Code>(std::min(i, j)),
             entry_place(plan.trailing, std::max(i, j), std::min(i, j)), entry.value};
  }
  for (std::size_t i = 0; i < to.size(); ++i) out.trailing_xy.row(to[i]) = a.trailing_xy.row(static_cast<Index>(i));
  for (const Pattern& pattern : plan.patterns) {
    std::vector<Index> order(at(pattern.rows_count));
    std::iota(order.begin(), order.end(), 0);
    const auto moved = [&](Index i) { return to[at(a.plan.pattern_rows[at(pattern.rows_begin + i)])]; };
    std::sort(order.begin(), order.end(), [&](Index i, Index j) { return moved(i) < moved(j); });
    for (Index i = 0; i < pattern.rows_count; ++i) {
      plan.pattern_rows[at(pattern.rows_begin + i)] = static_cast<Code>(moved(order[at(i)]));
      for (Index k = 0; k < pattern.count * a.leading().effects; ++k)
        out.coupling[at(pattern.values_begin + k * pattern.rows_count + i)] =
            a.coupling[at(pattern.values_begin + k * pattern.rows_count + order[at(i)])];
    }
  }
  return out;
}

}  // namespace henderson::testing
