#include "core/leaf_derivatives.hpp"

#include <algorithm>

namespace henderson {

namespace {

void unpack(const Vector& packed, Matrix& out) {
  for (Index j = 0; j < out.cols(); ++j)
    for (Index i = j; i < out.rows(); ++i) out(i, j) = out(j, i) = packed[triangle_index(i, j, out.rows())];
}

Eigen::Map<const Matrix> coupling_of(const CrossProducts& a, std::size_t group, const Leaf& leaf) {
  return {a.leaves[group].coupling.data() + leaf.values_begin, a.leading().effects + leaf.rows_count,
          a.plan.groups[group].effects};
}

Index most_neighbours(const CrossProducts& a) {
  Index most = 0;
  for (const LeafGroup& group : a.plan.leaves)
    for (const Leaf& leaf : group.leaves) most = std::max(most, leaf.rows_count);
  return a.leading().effects + most;
}

Index most_effects(const CrossProducts& a) {
  Index most = 0;
  for (const Group& group : a.plan.groups) most = std::max(most, group.effects);
  return most;
}

}  // namespace

NeighbourInverse::NeighbourInverse(const CrossProducts& a) {
  const Index s = a.leading().effects, tall = most_neighbours(a), wide = most_effects(a);
  w_u.resize(s, s);
  t_uu.resize(s, s);
  h_.resize(s * s);
  g.resize(wide, wide);
  t_.resize(tall, tall);
  product_.resize(tall, wide);
  places_.resize(static_cast<std::size_t>(tall));
}

void NeighbourInverse::load_host(const BlockedCholesky& cholesky, const Host& host) {
  load_level(cholesky.leading().h.data(), host.position, h_);
  const Eigen::Map<const Matrix> h(h_.data(), w_u.rows(), w_u.rows());
  w_u = h.transpose().lazyProduct(h);
}

// T_RR and T_Ru = -(T_22 a_u)_R W_u
void NeighbourInverse::fill_below(const CrossProducts& a, const BlockedCholesky& cholesky, std::size_t group,
                                  const Leaf& leaf, const Vector& inverse) {
  const SupernodalLayout& layout = a.plan.trailing;
  const Host& host = a.plan.host_of(leaf);
  const Pattern& pattern = a.plan.pattern_of(host);
  const Index s = w_u.rows(), count = leaf.rows_count;
  const Code* rows = a.plan.leaves[group].rows.data() + leaf.rows_begin;
  const Code* met = a.plan.pattern_rows.data() + pattern.rows_begin;
  const double* panel = cholesky.blocks().coupling + a.plan.panel_of(host);
  gather_at(layout, {rows, static_cast<std::size_t>(count)}, inverse.data(), t_.block(s, s, count, count), places_);
  auto product = product_.topLeftCorner(count, s);
  product.setZero();
  for (Index i = 0; i < count; ++i)
    for (Index k = 0; k < pattern.rows_count; ++k) {
      const Index row = std::max(rows[i], met[k]), col = std::min(rows[i], met[k]);
      const double value = inverse[layout.is_dense() ? col * layout.size + row : entry_place(layout, row, col)];
      for (Index e = 0; e < s; ++e) product(i, e) += value * panel[e * pattern.rows_count + k];
    }
  t_.block(s, 0, count, s) = -product.lazyProduct(w_u);
  t_.block(0, s, s, count) = t_.block(s, 0, count, s).transpose();
}

void NeighbourInverse::couple(const CrossProducts& a, const BlockedCholesky& cholesky, std::size_t group,
                              const Leaf& leaf, const Vector& inverse) {
  t_.topLeftCorner(w_u.rows(), w_u.rows()) = t_uu;
  if (leaf.rows_count > 0) fill_below(a, cholesky, group, leaf, inverse);
  const auto b = coupling_of(a, group, leaf);
  auto product = product_.topLeftCorner(b.rows(), b.cols());
  product = t_.topLeftCorner(b.rows(), b.rows()).lazyProduct(b);
  g.topLeftCorner(b.cols(), b.cols()) = b.transpose().lazyProduct(product);
}

LeafDerivatives::LeafDerivatives(const CrossProducts& a) : a_(a) {
  if (!a.plan.has_leaves()) return;
  parts_.resize(a.plan.groups.size());
  const Index s_1 = a.leading().effects, columns = a.columns();
  const Task task{NeighbourInverse(a),   Vector(triangle_size(most_effects(a))), Vector(s_1 * columns),
                  Vector(s_1 * columns), Vector(most_effects(a) * columns),      Matrix(s_1, columns)};
  for (std::size_t g = 1; g < parts_.size(); ++g) {
    const LeafGroup& group = a.plan.leaves[g];
    Part& part = parts_[g];
    const Index s = a.plan.groups[g].effects;
    const Index lanes = lane_batches(static_cast<Index>(group.leaves.size())) * lane_width;
    part.explained.assign(static_cast<std::size_t>(lanes * s * columns), 0.0);
    part.gathered.assign(static_cast<std::size_t>(lanes * triangle_size(s)), 0.0);
    part.w.assign(static_cast<std::size_t>(lanes * s), 0.0);
    part.f.assign(static_cast<std::size_t>(lanes * s * columns), 0.0);
    part.tasks.resize(std::max<std::size_t>(group.bounds.size(), 1) - 1, task);
    part.packed.resize(triangle_size(s));
    part.h.resize(s * s);
    part.w_leaf.resize(s);
    part.f_leaf.resize(s * columns);
    part.gram.resize(s, s);
  }
  h_.resize(s_1 * s_1);
  packed_.resize(triangle_size(s_1));
  w_.resize(s_1);
  gram_.resize(s_1, s_1);
}

// W_u, T_uu and the solution of a host.
void LeafDerivatives::prepare_host(const BlockedCholesky& cholesky, const Host& host, const double* explained,
                                   const double* trailing, Task& task) const {
  const Index s = a_.leading().effects, columns = a_.columns();
  task.t.load_host(cholesky, host);
  auto packed = task.packed.head(triangle_size(s));
  load_level(trailing, host.position, packed);
  load_level(cholesky.blocks().xy, host.position, task.right);
  load_level(explained, host.position, task.host_explained);
  task.right -= task.host_explained;
  task.host_solution = task.t.w_u.lazyProduct(Eigen::Map<const Matrix>(task.right.data(), columns, s).transpose());
  const Matrix& w_u = task.t.w_u;
  for (Index j = 0; j < s; ++j)
    for (Index i = 0; i < s; ++i) {
      double sum = w_u(i, j);
      for (Index k = 0; k < s; ++k)
        for (Index l = 0; l < s; ++l) sum += w_u(i, k) * packed[triangle_index(k, l, s)] * w_u(l, j);
      task.t.t_uu(i, j) = sum;
    }
}

// Stores the explained part and G of one leaf.
void LeafDerivatives::gather_leaf(std::size_t group, Index k, const Matrix& solution, Task& task) {
  const LeafGroup& leaves = a_.plan.leaves[group];
  const Leaf& leaf = leaves.leaves[static_cast<std::size_t>(k)];
  const Index s = a_.plan.groups[group].effects, s_1 = a_.leading().effects, columns = a_.columns();
  const Code* rows = leaves.rows.data() + leaf.rows_begin;
  const auto b = coupling_of(a_, group, leaf);
  auto explained = task.explained.head(s * columns);
  for (Index e = 0; e < s; ++e)
    for (Index c = 0; c < columns; ++c) {
      double sum = 0;
      for (Index i = 0; i < s_1; ++i) sum += b(i, e) * task.host_solution(i, c);
      for (Index i = 0; i < leaf.rows_count; ++i) sum += b(s_1 + i, e) * solution(rows[i], c);
      explained[e * columns + c] = sum;
    }
  store_level(explained, k, parts_[group].explained.data());
  auto packed = task.packed.head(triangle_size(s));
  for (Index j = 0; j < s; ++j)
    for (Index i = j; i < s; ++i) packed[triangle_index(i, j, s)] = task.t.g(i, j);
  store_level(packed, k, parts_[group].gathered.data());
}

void LeafDerivatives::gather(const BlockedCholesky& cholesky, const Matrix& solution, const Vector& inverse,
                             const double* explained, const double* trailing, ThreadPool& pool) {
  for (std::size_t g = 1; g < parts_.size(); ++g) {
    const LeafGroup& group = a_.plan.leaves[g];
    pool.run(static_cast<Index>(parts_[g].tasks.size()), [&](Index t) {
      Task& task = parts_[g].tasks[static_cast<std::size_t>(t)];
      Index host = -1;
      for (Index k = group.bounds[static_cast<std::size_t>(t)]; k < group.bounds[static_cast<std::size_t>(t) + 1];
           ++k) {
        const Leaf& leaf = group.leaves[static_cast<std::size_t>(k)];
        if (leaf.host != host) prepare_host(cholesky, a_.plan.host_of(leaf), explained, trailing, task);
        host = leaf.host;
        task.t.couple(a_, cholesky, g, leaf, inverse);
        gather_leaf(g, k, solution, task);
      }
    });
  }
}

void LeafDerivatives::differentiate(BlockedCholesky& cholesky, LeadingInputs in, ThreadPool& pool) {
  in.information = false;
  for (std::size_t g = 1; g < parts_.size(); ++g) {
    Part& part = parts_[g];
    in.gram = a_.leaves[g].gram.data();
    in.xy = a_.leaves[g].xy.data();
    in.explained = part.explained.data();
    in.trailing = part.gathered.data();
    differentiate_leading(cholesky.leaves().shape(g), in, cholesky.leaves().factor(g), cholesky.lambda(g),
                          part.w.data(), in.root == nullptr ? nullptr : part.f.data(), part.sums, pool);
  }
}

void LeafDerivatives::add_directions(const BlockedCholesky& cholesky,
                                     const std::vector<std::vector<Parameter>>& parameters, const double* leading_w) {
  Index rest = 0;
  for (std::size_t g = 1; g < parts_.size(); ++g) rest += static_cast<Index>(parameters[g].size());
  own_.setZero(rest, rest);
  with_leading_.setZero(static_cast<Index>(parameters[0].size()), rest);
  meeting_.setZero(a_.plan.trailing.size, rest);
  fixed_.setZero(a_.p, rest);
  q_.setZero(static_cast<Index>(a_.plan.hosts.size()) * a_.leading().effects, rest);
  Index column = 0;
  for (std::size_t g = 1; g < parts_.size(); ++g) {
    add_leaves(cholesky, g, parameters[g], column);
    column += static_cast<Index>(parameters[g].size());
  }
  add_hosts(cholesky, parameters[0], leading_w);
}

// The directions on the leaves of a group: h'NDh, F'h, and q on their neighbours.
void LeafDerivatives::add_leaves(const BlockedCholesky& cholesky, std::size_t group,
                                 const std::vector<Parameter>& parameters, Index column) {
  Part& part = parts_[group];
  const LeafGroup& leaves = a_.plan.leaves[group];
  const auto size = static_cast<Index>(parameters.size());
  const Index s = a_.plan.groups[group].effects, s_1 = a_.leading().effects;
  const Eigen::Map<const Matrix> h(part.h.data(), s, s), f(part.f_leaf.data(), a_.columns(), s);
  auto own = own_.block(column, column, size, size);
  part.direction.resize(s, size);
  for (Index k = 0; k < static_cast<Index>(leaves.leaves.size()); ++k) {
    const Leaf& leaf = leaves.leaves[static_cast<std::size_t>(k)];
    load_level(a_.leaves[group].gram.data(), k, part.packed);
    load_level(cholesky.leaves().factor(group).h.data(), k, part.h);
    load_level(part.w.data(), k, part.w_leaf);
    unpack(part.packed, part.gram);
    for (Index c = 0; c < size; ++c)
      fill_direction(parameters[static_cast<std::size_t>(c)], part.w_leaf.data(), part.direction.data() + c * s, s);
    part.reduced = part.gram.lazyProduct(part.direction);
    part.half = h.lazyProduct(part.reduced);
    own += part.direction.transpose().lazyProduct(part.reduced);
    own -= part.half.transpose().lazyProduct(part.half);
    if (a_.p > 0) {
      load_level(part.f.data(), k, part.f_leaf);
      fixed_.middleCols(column, size) += f.topRows(a_.p).lazyProduct(part.direction);
    }
    part.reduced = part.direction;  // N'h
    part.reduced -= h.transpose().lazyProduct(part.half);
    const auto b = coupling_of(a_, group, leaf);
    q_.block(leaf.host * s_1, column, s_1, size) += b.topRows(s_1).lazyProduct(part.reduced);
    for (Index i = 0; i < leaf.rows_count; ++i)
      meeting_.row(leaves.rows[static_cast<std::size_t>(leaf.rows_begin + i)]).segment(column, size) +=
          b.row(s_1 + i).lazyProduct(part.reduced);
  }
}

// q_u of every host meets its own direction, the trailing rows of its panel, and itself.
void LeafDerivatives::add_hosts(const BlockedCholesky& cholesky, const std::vector<Parameter>& leading,
                                const double* leading_w) {
  const Index s = a_.leading().effects;
  const ReducedBlocks blocks = cholesky.blocks();
  const Eigen::Map<const Matrix> h(h_.data(), s, s);
  direction_.resize(s, static_cast<Index>(leading.size()));
  for (std::size_t k = 0; k < a_.plan.hosts.size(); ++k) {
    const Host& host = a_.plan.hosts[k];
    const Pattern& pattern = a_.plan.pattern_of(host);
    const auto q = q_.middleRows(static_cast<Index>(k) * s, s);
    load_level(cholesky.leading().h.data(), host.position, h_);
    load_level(blocks.gram, host.position, packed_);
    load_level(leading_w, host.position, w_);
    unpack(packed_, gram_);
    half_ = h.lazyProduct(q);
    own_ -= half_.transpose().lazyProduct(half_);
    solved_ = h.transpose().lazyProduct(half_);  // W q
    for (Index c = 0; c < direction_.cols(); ++c)
      fill_direction(leading[static_cast<std::size_t>(c)], w_.data(), direction_.data() + c * s, s);
    half_ = q - gram_.lazyProduct(solved_);  // N q
    with_leading_ += direction_.transpose().lazyProduct(half_);
    const Eigen::Map<const Matrix> panel(blocks.coupling + a_.plan.panel_of(host), pattern.rows_count, s);
    const Code* rows = a_.plan.pattern_rows.data() + pattern.rows_begin;
    for (Index c = 0; c < solved_.cols(); ++c)
      for (Index e = 0; e < s; ++e)
        for (Index i = 0; i < pattern.rows_count; ++i) meeting_(rows[i], c) -= panel(i, e) * solved_(e, c);
  }
}

}  // namespace henderson
