#include "core/conditional_modes.hpp"

#include "core/leaf_derivatives.hpp"

namespace henderson {

namespace {

Index trailing_row(const CrossProducts& a, std::size_t group, Index level) {
  return a.plan.trailing.node_offset[static_cast<std::size_t>(a.plan.rank_of(group, static_cast<Code>(level)))];
}

std::span<const Code> rows_of(const CrossProducts& a, const Pattern& pattern) {
  return {a.plan.pattern_rows.data() + pattern.rows_begin, static_cast<std::size_t>(pattern.rows_count)};
}

// The coupling of all levels of a pattern, (rows, count * s)
Eigen::Map<const Matrix> panel_of(const CrossProducts& a, const BlockedCholesky& cholesky, const Pattern& pattern) {
  return {cholesky.blocks().coupling + pattern.values_begin, pattern.rows_count, pattern.count * a.leading().effects};
}

// a_j' b_2 for every leading position, s after s.
Vector explained_by(const CrossProducts& a, const BlockedCholesky& cholesky, const Vector& b_trailing) {
  const Index s = a.leading().effects;
  Vector out = Vector::Zero(a.leading().levels * s);
  for (const Pattern& pattern : a.plan.patterns) {
    const std::span<const Code> rows = rows_of(a, pattern);
    Vector near(pattern.rows_count);
    for (Index i = 0; i < near.size(); ++i) near[i] = b_trailing[rows[static_cast<std::size_t>(i)]];
    out.segment(pattern.first * s, pattern.count * s).noalias() = panel_of(a, cholesky, pattern).transpose() * near;
  }
  return out;
}

// b = h'h v and u = l'^-1 h v of one level.
void set_modes(const Vector& h, const Vector& inverse, const Vector& v, Index level, StackedModes& out) {
  const Index s = v.size();
  const Eigen::Map<const Matrix> h_level(h.data(), s, s);
  const Vector half = h_level * v;
  out.b.row(level) = h_level.transpose() * half;
  for (Index j = 0; j < s; ++j) {
    out.u(level, j) = 0;
    for (Index i = j; i < s; ++i) out.u(level, j) += inverse[triangle_index(i, j, s)] * half[i];
  }
}

StackedModes leading_modes(const CrossProducts& a, const BlockedCholesky& cholesky, const Vector& contrast,
                           const Vector& explained) {
  const Group& group = a.leading();
  const Index s = group.effects;
  StackedModes out{Matrix(group.levels, s), Matrix(group.levels, s)};
  Vector inverse(triangle_size(s)), h(s * s), xy(s * a.columns()), v(s);
  for (Index level = 0; level < group.levels; ++level) {
    const Index position = a.plan.place(static_cast<Code>(level));
    load_level(cholesky.leading().inverse.data(), position, inverse);
    load_level(cholesky.leading().h.data(), position, h);
    load_level(cholesky.blocks().xy, position, xy);
    v.noalias() = Eigen::Map<const Matrix>(xy.data(), a.columns(), s).transpose() * contrast;
    if (explained.size() > 0) v -= explained.segment(position * s, s);
    set_modes(h, inverse, v, level, out);
  }
  return out;
}

std::vector<Matrix> leading_variances(const CrossProducts& a, const BlockedCholesky& cholesky, const Vector& inverse) {
  const Group& group = a.leading();
  const Index s = group.effects;
  std::vector<Matrix> at_position(static_cast<std::size_t>(group.levels)), out(at_position.size());
  Vector h(s * s);
  const Eigen::Map<const Matrix> h_level(h.data(), s, s);
  for (Index position = 0; position < group.levels; ++position) {
    load_level(cholesky.leading().h.data(), position, h);
    at_position[static_cast<std::size_t>(position)] = h_level.transpose() * h_level;
  }
  Matrix block;
  std::vector<Index> places(static_cast<std::size_t>(a.plan.trailing_size()));
  for (const Pattern& pattern : a.plan.patterns) {
    if (pattern.rows_count == 0) continue;
    block.resize(pattern.rows_count, pattern.rows_count);
    gather_at(a.plan.trailing, rows_of(a, pattern), inverse.data(), block, places);
    for (Index member = 0; member < pattern.count; ++member) {
      Matrix& w = at_position[static_cast<std::size_t>(pattern.first + member)];
      const Matrix aw = panel_of(a, cholesky, pattern).middleCols(member * s, s) * w;
      w += aw.transpose() * block * aw;
    }
  }
  for (Index level = 0; level < group.levels; ++level)
    out[static_cast<std::size_t>(level)] =
        std::move(at_position[static_cast<std::size_t>(a.plan.place(static_cast<Code>(level)))]);
  return out;
}

// The leading level at each host.
std::vector<Index> host_levels(const CrossProducts& a) {
  std::vector<Index> host(static_cast<std::size_t>(a.leading().levels), -1), out(a.plan.hosts.size());
  for (std::size_t k = 0; k < out.size(); ++k)
    host[static_cast<std::size_t>(a.plan.hosts[k].position)] = static_cast<Index>(k);
  for (Index level = 0; level < a.leading().levels; ++level)
    if (const Index k = host[static_cast<std::size_t>(a.plan.place(static_cast<Code>(level)))]; k >= 0)
      out[static_cast<std::size_t>(k)] = level;
  return out;
}

// Leaves: as a level of the leading factor, with v - B b_o for v and the modes b_o of their neighbours.
void leaf_modes(const CrossProducts& a, const BlockedCholesky& cholesky, std::size_t g, const Vector& contrast,
                const Matrix& b_leading, const Vector& b_trailing, StackedModes& modes) {
  const LeafGroup& leaves = a.plan.leaves[g];
  const Index s = a.plan.groups[g].effects, s_1 = a.leading().effects;
  const std::vector<Index> host = host_levels(a);
  Vector inverse(triangle_size(s)), h(s * s), xy(s * a.columns()), v(s), near;
  for (std::size_t k = 0; k < leaves.leaves.size(); ++k) {
    const Leaf& leaf = leaves.leaves[k];
    load_level(cholesky.leaves().factor(g).inverse.data(), static_cast<Index>(k), inverse);
    load_level(cholesky.leaves().factor(g).h.data(), static_cast<Index>(k), h);
    load_level(a.leaves[g].xy.data(), static_cast<Index>(k), xy);
    near.resize(s_1 + leaf.rows_count);
    near.head(s_1) = b_leading.row(host[static_cast<std::size_t>(leaf.host)]);
    for (Index i = 0; i < leaf.rows_count; ++i)
      near[s_1 + i] = b_trailing[leaves.rows[static_cast<std::size_t>(leaf.rows_begin + i)]];
    v.noalias() = Eigen::Map<const Matrix>(xy.data(), a.columns(), s).transpose() * contrast;
    v.noalias() -=
        Eigen::Map<const Matrix>(a.leaves[g].coupling.data() + leaf.values_begin, near.size(), s).transpose() * near;
    set_modes(h, inverse, v, leaf.level, modes);
  }
}

// Leaves: W + W G W, G = B T B' over their neighbours.
void leaf_variances(const CrossProducts& a, const BlockedCholesky& cholesky, std::size_t g, const Vector& inverse,
                    const std::vector<Matrix>& of_leading, std::vector<Matrix>& out) {
  const LeafGroup& leaves = a.plan.leaves[g];
  const Index s = a.plan.groups[g].effects;
  const std::vector<Index> host = host_levels(a);
  NeighbourInverse near(a);
  Vector h(s * s);
  const Eigen::Map<const Matrix> h_leaf(h.data(), s, s);
  for (std::size_t k = 0; k < leaves.leaves.size(); ++k) {
    const Leaf& leaf = leaves.leaves[k];
    near.load_host(cholesky, a.plan.host_of(leaf));
    near.t_uu = of_leading[static_cast<std::size_t>(host[static_cast<std::size_t>(leaf.host)])];
    near.couple(a, cholesky, g, leaf, inverse);
    load_level(cholesky.leaves().factor(g).h.data(), static_cast<Index>(k), h);
    const Matrix w = h_leaf.transpose() * h_leaf;
    out[static_cast<std::size_t>(leaf.level)] = w + w * near.g.topLeftCorner(s, s) * w;
  }
}

}  // namespace

std::vector<StackedModes> conditional_modes(const CrossProducts& a, BlockedCholesky& cholesky) {
  Vector contrast(a.columns());
  contrast << -cholesky.beta(), 1.0;
  Vector b_trailing, u_trailing, explained;
  if (a.plan.has_trailing()) {
    Matrix solution, residual;
    cholesky.trailing_solution(solution, residual);
    b_trailing = solution * contrast;
    u_trailing = cholesky.trailing_spherical() * contrast;
    explained = explained_by(a, cholesky, b_trailing);
  }
  std::vector<StackedModes> out{leading_modes(a, cholesky, contrast, explained)};
  for (std::size_t g = 1; g < a.plan.groups.size(); ++g) {
    const Group& group = a.plan.groups[g];
    StackedModes modes{Matrix(group.levels, group.effects), Matrix(group.levels, group.effects)};
    for (Index level = 0; level < group.levels; ++level) {
      if (is_leaf(a.plan.rank_of(g, static_cast<Code>(level)))) continue;
      modes.b.row(level) = b_trailing.segment(trailing_row(a, g, level), group.effects);
      modes.u.row(level) = u_trailing.segment(trailing_row(a, g, level), group.effects);
    }
    if (a.plan.has_leaves()) leaf_modes(a, cholesky, g, contrast, out[0].b, b_trailing, modes);
    out.push_back(std::move(modes));
  }
  return out;
}

std::vector<std::vector<Matrix>> unscaled_variances(const CrossProducts& a, BlockedCholesky& cholesky) {
  Vector inverse;
  std::vector<Matrix> unused;
  if (a.plan.has_trailing()) cholesky.trailing_inverse(inverse, unused);
  std::vector<std::vector<Matrix>> out{leading_variances(a, cholesky, inverse)};
  for (std::size_t g = 1; g < a.plan.groups.size(); ++g) {
    const Group& group = a.plan.groups[g];
    const Index s = group.effects;
    std::vector<Matrix> blocks(static_cast<std::size_t>(group.levels), Matrix(s, s));
    for (Index level = 0; level < group.levels; ++level) {
      if (is_leaf(a.plan.rank_of(g, static_cast<Code>(level)))) continue;
      const Index row = trailing_row(a, g, level);
      Matrix& own = blocks[static_cast<std::size_t>(level)];
      for (Index j = 0; j < s; ++j)
        for (Index i = j; i < s; ++i) own(i, j) = own(j, i) = inverse[entry_place(a.plan.trailing, row + i, row + j)];
    }
    if (a.plan.has_leaves()) leaf_variances(a, cholesky, g, inverse, out[0], blocks);
    out.push_back(std::move(blocks));
  }
  return out;
}

}  // namespace henderson
