#include "core/leaf_elimination.hpp"

#include <algorithm>

#include "core/blocked_cholesky.hpp"

namespace henderson {

namespace {

std::span<const Code> rows_of(const LeafGroup& group, const Leaf& leaf) {
  return {group.rows.data() + leaf.rows_begin, static_cast<std::size_t>(leaf.rows_count)};
}

}  // namespace

LeafElimination::LeafElimination(const CrossProducts& a) : a_(a) {
  if (!a.plan.has_leaves()) return;
  gram_ = a.gram;
  xy_ = a.xy;
  trailing_xy_ = a.trailing_xy;
  parts_.resize(a.plan.groups.size());
  Index longest = 0;
  for (std::size_t g = 1; g < parts_.size(); ++g) {
    const LeafGroup& group = a.plan.leaves[g];
    Part& part = parts_[g];
    const Index s = a.plan.groups[g].effects;
    part.shape = {static_cast<Index>(group.leaves.size()), s, a.columns()};
    reserve(part.shape, part.factor);
    part.b.resize(a.leaves[g].coupling.size());
    part.t.resize(group.leaves.size() * static_cast<std::size_t>(s * a.columns()));
    part.tasks.resize(std::max<std::size_t>(group.bounds.size(), 1) - 1, {Vector(s * s), Vector(s * a.columns())});
    for (const Leaf& leaf : group.leaves) longest = std::max(longest, leaf.rows_count);
  }
  if (longest > 0) coupling_ = a.coupling;
  update_.resize(longest, longest);
  places_.resize(static_cast<std::size_t>(longest));
}

ReducedBlocks LeafElimination::blocks() const {
  if (parts_.empty()) return {a_.gram.data(), a_.xy.data(), a_.coupling.data(), &a_.trailing_xy};
  const double* coupling = coupling_.empty() ? a_.coupling.data() : coupling_.data();
  return {gram_.data(), xy_.data(), coupling, &trailing_xy_};
}

// The blocks of A, those of the coupling only where leaves have changed them.
void LeafElimination::restore() {
  std::copy(a_.gram.begin(), a_.gram.end(), gram_.begin());
  std::copy(a_.xy.begin(), a_.xy.end(), xy_.begin());
  trailing_xy_ = a_.trailing_xy;
  if (coupling_.empty()) return;
  const Index s = a_.leading().effects;
  for (const LeafGroup& group : a_.plan.leaves)
    for (const Leaf& leaf : group.leaves) {
      const Host& host = a_.plan.host_of(leaf);
      const Index begin = a_.plan.panel_of(host), height = a_.plan.pattern_of(host).rows_count;
      const Code* places = group.places.data() + leaf.rows_begin;
      for (Index e = 0; e < s; ++e)
        for (Index i = 0; i < leaf.rows_count; ++i) {
          const auto at = static_cast<std::size_t>(begin + e * height + places[i]);
          coupling_[at] = a_.coupling[at];
        }
    }
}

double LeafElimination::eliminate(const std::vector<Matrix>& lambda, Matrix& corner, ThreadPool& pool) {
  if (parts_.empty()) return 0;
  restore();
  double log_det = 0;
  for (std::size_t g = 1; g < parts_.size(); ++g) {
    Part& part = parts_[g];
    if (part.tasks.empty()) continue;
    const LeafProducts& own = a_.leaves[g];
    log_det += eliminate_leading(part.shape, own.gram.data(), own.xy.data(), lambda[g], part.factor, corner, pool);
    pool.run(static_cast<Index>(part.tasks.size()), [&](Index task) { take_out(g, task); });
    subtract_rows(g);
  }
  return log_det;
}

// b and t of the leaves of one task, and what they take from their hosts.
void LeafElimination::take_out(std::size_t group, Index task) {
  Part& part = parts_[group];
  const LeafGroup& leaves = a_.plan.leaves[group];
  auto& [h, v] = part.tasks[static_cast<std::size_t>(task)];
  const Index s = part.shape.effects, columns = a_.columns();
  const Eigen::Map<const Matrix> h_leaf(h.data(), s, s), v_leaf(v.data(), columns, s);
  for (Index k = leaves.bounds[static_cast<std::size_t>(task)]; k < leaves.bounds[static_cast<std::size_t>(task) + 1];
       ++k) {
    const Leaf& leaf = leaves.leaves[static_cast<std::size_t>(k)];
    const Index height = a_.leading().effects + leaf.rows_count;
    load_level(part.factor.h.data(), k, h);
    load_level(a_.leaves[group].xy.data(), k, v);
    const Eigen::Map<const Matrix> coupling(a_.leaves[group].coupling.data() + leaf.values_begin, height, s);
    Eigen::Map<Matrix> b(part.b.data() + leaf.values_begin, height, s);
    Eigen::Map<Matrix> t(part.t.data() + k * s * columns, columns, s);
    b = coupling.lazyProduct(h_leaf.transpose());
    t = v_leaf.lazyProduct(h_leaf.transpose());
    for (Index e = 0; e < s; ++e)
      take_from_host(leaf, leaves.places.data() + leaf.rows_begin, b.data() + e * height, t.data() + e * columns);
  }
}

// The outer products of one effect: b (s_1 + |R|) with its upper part, t (columns) with the same.
void LeafElimination::take_from_host(const Leaf& leaf, const Code* places, const double* b, const double* t) {
  const Host& host = a_.plan.host_of(leaf);
  const Index s = a_.leading().effects, columns = a_.columns();
  const Index height = a_.plan.pattern_of(host).rows_count;
  double* gram = gram_.data() + lane_place(host.position, 0, triangle_size(s));
  double* xy = xy_.data() + lane_place(host.position, 0, s * columns);
  for (Index j = 0; j < s; ++j)
    for (Index i = j; i < s; ++i) gram[triangle_index(i, j, s) * lane_width] -= b[i] * b[j];
  for (Index j = 0; j < s; ++j)
    for (Index c = 0; c < columns; ++c) xy[(j * columns + c) * lane_width] -= b[j] * t[c];
  if (leaf.rows_count == 0) return;
  double* panel = coupling_.data() + a_.plan.panel_of(host);
  for (Index j = 0; j < s; ++j)
    for (Index i = 0; i < leaf.rows_count; ++i) panel[j * height + places[i]] -= b[s + i] * b[j];
}

// Z_R'[Q r] -= b_R t'
void LeafElimination::subtract_rows(std::size_t group) {
  const Part& part = parts_[group];
  const LeafGroup& leaves = a_.plan.leaves[group];
  const Index s = part.shape.effects, s_1 = a_.leading().effects, columns = a_.columns();
  for (std::size_t k = 0; k < leaves.leaves.size(); ++k) {
    const Leaf& leaf = leaves.leaves[k];
    const std::span<const Code> rows = rows_of(leaves, leaf);
    const double* t = part.t.data() + static_cast<Index>(k) * s * columns;
    for (Index e = 0; e < s; ++e) {
      const double* b = part.b.data() + leaf.values_begin + e * (s_1 + leaf.rows_count) + s_1;
      for (std::size_t i = 0; i < rows.size(); ++i)
        for (Index c = 0; c < columns; ++c) trailing_xy_(rows[i], c) -= b[i] * t[e * columns + c];
    }
  }
}

void LeafElimination::subtract_from(double* k) {
  const Index s_1 = a_.leading().effects;
  for (std::size_t g = 1; g < parts_.size() && update_.rows() > 0; ++g) {
    const LeafGroup& group = a_.plan.leaves[g];
    for (const Leaf& leaf : group.leaves) {
      const Eigen::Map<const Matrix> b(parts_[g].b.data() + leaf.values_begin, s_1 + leaf.rows_count,
                                       parts_[g].shape.effects);
      auto update = update_.topLeftCorner(leaf.rows_count, leaf.rows_count);
      update = b.bottomRows(leaf.rows_count).lazyProduct(b.bottomRows(leaf.rows_count).transpose());
      subtract_at(a_.plan.trailing, rows_of(group, leaf), update, k, places_);
    }
  }
}

void LeafElimination::forward(const std::vector<Matrix>& leaves, Eigen::Ref<Matrix> leading,
                              Eigen::Ref<Matrix> trailing) const {
  const Index s_1 = a_.leading().effects;
  for (std::size_t g = 1; g < parts_.size(); ++g) {
    const LeafGroup& group = a_.plan.leaves[g];
    const Index s = parts_[g].shape.effects;
    Vector h(s * s);
    for (std::size_t k = 0; k < group.leaves.size(); ++k) {
      const Leaf& leaf = group.leaves[k];
      load_level(parts_[g].factor.h.data(), static_cast<Index>(k), h);
      const Eigen::Map<const Matrix> b(parts_[g].b.data() + leaf.values_begin, s_1 + leaf.rows_count, s);
      const Matrix taken =
          b * (Eigen::Map<const Matrix>(h.data(), s, s) * leaves[g].middleRows(static_cast<Index>(k) * s, s));
      leading.middleRows(a_.plan.host_of(leaf).position * s_1, s_1) -= taken.topRows(s_1);
      const std::span<const Code> rows = rows_of(group, leaf);
      for (std::size_t i = 0; i < rows.size(); ++i) trailing.row(rows[i]) -= taken.row(s_1 + static_cast<Index>(i));
    }
  }
}

void LeafElimination::backward(const Eigen::Ref<const Matrix>& leading, const Eigen::Ref<const Matrix>& trailing,
                               std::vector<Matrix>& leaves) const {
  const Index s_1 = a_.leading().effects;
  for (std::size_t g = 1; g < parts_.size(); ++g) {
    const LeafGroup& group = a_.plan.leaves[g];
    const Index s = parts_[g].shape.effects;
    Vector h(s * s);
    for (std::size_t k = 0; k < group.leaves.size(); ++k) {
      const Leaf& leaf = group.leaves[k];
      load_level(parts_[g].factor.h.data(), static_cast<Index>(k), h);
      const Eigen::Map<const Matrix> h_leaf(h.data(), s, s);
      const Eigen::Map<const Matrix> b(parts_[g].b.data() + leaf.values_begin, s_1 + leaf.rows_count, s);
      const std::span<const Code> rows = rows_of(group, leaf);
      auto own = leaves[g].middleRows(static_cast<Index>(k) * s, s);
      Matrix half = h_leaf * own;
      half -= b.topRows(s_1).transpose() * leading.middleRows(a_.plan.host_of(leaf).position * s_1, s_1);
      for (std::size_t i = 0; i < rows.size(); ++i)
        half -= b.row(s_1 + static_cast<Index>(i)).transpose() * trailing.row(rows[i]);
      own = h_leaf.transpose() * half;
    }
  }
}

}  // namespace henderson
