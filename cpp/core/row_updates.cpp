#include "core/row_updates.hpp"

#include <Eigen/Cholesky>
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "core/row_places.hpp"

namespace henderson {

namespace {

constexpr double lost = 1e-8;      // of the usual size of a pivot: less has too few digits left
constexpr double rounding = 1e-9;  // of what was taken out

using Key = std::uint64_t;

Key key_of(Index row, Index col) { return (static_cast<Key>(row) << 32) | static_cast<Key>(col); }

// Adds rows one by one; entries of the trailing block are collected and added in one pass.
class RowAdder {
 public:
  RowAdder(CrossProducts& a, const ModelData& rows, double sign);
  [[nodiscard]] RowUpdate add(Index row);
  [[nodiscard]] RowUpdate finish();

 private:
  [[nodiscard]] Code rank(std::size_t g) const { return a_.plan.rank_of(g, codes_[g]); }
  [[nodiscard]] Index offset(Code rank) const { return a_.plan.trailing.node_offset[static_cast<std::size_t>(rank)]; }
  void map_row(Index row);
  void add_constants(Index row, double weight);
  [[nodiscard]] bool add_lanes(const Vector& z, Index place, AlignedVector<double>& gram, AlignedVector<double>& xy);
  void add_node(std::size_t g);
  [[nodiscard]] bool couple_leading(std::size_t u);
  void couple_trailing(std::size_t t, std::size_t u);
  [[nodiscard]] bool couple_leaf(std::size_t g);

  CrossProducts& a_;
  const ModelData& rows_;
  double sign_, weight_ = 0;
  double pilot_, constant_;  // r = y - pilot + constant - slope (x - its pilot)
  Vector slope_, qr_;
  std::vector<Vector> z_;                      // per group
  std::vector<Code> codes_;                    // per group
  std::unordered_map<Key, double> collected_;  // entries of the trailing block
};

RowAdder::RowAdder(CrossProducts& a, const ModelData& rows, double sign)
    : a_(a),
      rows_(rows),
      sign_(sign),
      pilot_(rows.y[0]),
      constant_(pilot_ - a.fixed.k.dot(a.ols)),
      slope_(a.fixed.s.transpose() * a.ols),
      qr_(a.columns()),
      codes_(a.plan.groups.size()) {
  for (const Group& group : a.plan.groups) z_.emplace_back(group.effects);
}

void RowAdder::map_row(Index row) {
  for (std::size_t g = 0; g < z_.size(); ++g) {
    const Group& group = a_.plan.groups[g];
    codes_[g] = rows_.factors[static_cast<std::size_t>(group.factor)].codes[row];
    stacked_row(a_, group, row, z_[g].data());
  }
  if (a_.p > 0) a_.fixed.apply_row(row, qr_.data());
  double r = rows_.y[row] - pilot_ + constant_;
  for (Index j = 0; j < a_.p; ++j)
    if (const double* x = a_.fixed.columns[static_cast<std::size_t>(j)].data; x != nullptr)
      r -= slope_[j] * (x[row] - a_.fixed.pilot[j]);
  qr_[a_.p] = r;
}

void RowAdder::add_constants(Index row, double weight) {
  a_.observations += sign_;
  a_.log_weights += sign_ * std::log(weight);
  a_.weight += weight_;
  const double difference = rows_.y[row] - a_.y_mean;
  a_.y_mean += difference * weight_ / a_.weight;
  a_.y_spread += weight_ * difference * (rows_.y[row] - a_.y_mean);
  a_.corner.noalias() += weight_ * qr_ * qr_.transpose();
}

// False where a sum of squares becomes negative.
bool RowAdder::add_lanes(const Vector& z, Index place, AlignedVector<double>& gram, AlignedVector<double>& xy) {
  const Index s = z.size();
  bool is_there = true;
  Index at = 0;
  for (Index e = 0; e < s; ++e)
    for (Index f = e; f < s; ++f) {
      double& entry = gram[static_cast<std::size_t>(lane_place(place, at++, triangle_size(s)))];
      const double change = weight_ * z[e] * z[f];
      entry += change;
      if (e == f && entry < -rounding * std::abs(change)) is_there = false;
    }
  for (Index e = 0; e < s; ++e)
    for (Index c = 0; c < a_.columns(); ++c)
      xy[static_cast<std::size_t>(lane_place(place, e * a_.columns() + c, s * a_.columns()))] +=
          weight_ * z[e] * qr_[c];
  return is_there;
}

void RowAdder::add_node(std::size_t g) {
  const Vector& z = z_[g];
  const Index own = offset(rank(g));
  for (Index e = 0; e < z.size(); ++e)
    for (Index f = e; f < z.size(); ++f) collected_[key_of(own + f, own + e)] += weight_ * z[e] * z[f];
  a_.trailing_xy.middleRows(own, z.size()).noalias() += weight_ * z * qr_.transpose();
}

bool RowAdder::couple_leading(std::size_t u) {
  const EliminationPlan& plan = a_.plan;
  const Index position = plan.place(codes_[0]);
  const Pattern& pattern = plan.pattern_at(position);
  const auto begin = plan.pattern_rows.begin() + pattern.rows_begin;
  const auto end = begin + pattern.rows_count;
  const auto node = static_cast<Code>(offset(rank(u)));
  const auto found = std::lower_bound(begin, end, node);
  if (found == end || *found != node) return false;
  double* panel = a_.coupling.data() + pattern.values_begin +
                  (position - pattern.first) * a_.leading().effects * pattern.rows_count + (found - begin);
  for (Index e = 0; e < z_[0].size(); ++e)
    for (Index f = 0; f < z_[u].size(); ++f) panel[e * pattern.rows_count + f] += weight_ * z_[0][e] * z_[u][f];
  return true;
}

void RowAdder::couple_trailing(std::size_t t, std::size_t u) {
  const Index own = offset(rank(t));
  const Index far = offset(rank(u));
  for (Index e = 0; e < z_[t].size(); ++e)
    for (Index f = 0; f < z_[u].size(); ++f)
      collected_[key_of(std::max(far + f, own + e), std::min(far + f, own + e))] += weight_ * z_[t][e] * z_[u][f];
}

bool RowAdder::couple_leaf(std::size_t g) {
  const EliminationPlan& plan = a_.plan;
  const Leaf& leaf = plan.leaves[g].leaves[static_cast<std::size_t>(leaf_of(rank(g)))];
  if (plan.host_of(leaf).position != plan.place(codes_[0])) return false;
  const Index height = a_.leading().effects + leaf.rows_count;
  double* block = a_.leaves[g].coupling.data() + leaf.values_begin;
  const auto begin = plan.leaves[g].rows.begin() + leaf.rows_begin;
  const auto end = begin + leaf.rows_count;
  for (std::size_t u = 0; u < plan.groups.size(); ++u) {
    if (u == g) continue;
    Index first = 0;
    if (u > 0) {
      if (is_leaf(rank(u))) return false;
      const auto node = static_cast<Code>(offset(rank(u)));
      const auto found = std::lower_bound(begin, end, node);
      if (found == end || *found != node) return false;
      first = a_.leading().effects + (found - begin);
    }
    for (Index e = 0; e < z_[g].size(); ++e)
      for (Index f = 0; f < z_[u].size(); ++f) block[e * height + first + f] += weight_ * z_[g][e] * z_[u][f];
  }
  return true;
}

RowUpdate RowAdder::add(Index row) {
  const double weight = rows_.weights == nullptr ? 1.0 : rows_.weights[row];
  weight_ = sign_ * weight;
  map_row(row);
  add_constants(row, weight);
  if (!add_lanes(z_[0], a_.plan.place(codes_[0]), a_.gram, a_.xy)) return RowUpdate::not_there;
  for (std::size_t u = 1; u < z_.size(); ++u) {
    if (is_leaf(rank(u))) {
      if (!couple_leaf(u)) return RowUpdate::no_place;
      if (!add_lanes(z_[u], leaf_of(rank(u)), a_.leaves[u].gram, a_.leaves[u].xy)) return RowUpdate::not_there;
      continue;
    }
    if (!couple_leading(u)) return RowUpdate::no_place;
    add_node(u);
    for (std::size_t t = 1; t < u; ++t)
      if (!is_leaf(rank(t))) couple_trailing(t, u);
  }
  return RowUpdate::done;
}

RowUpdate RowAdder::finish() {
  for (TrailingEntry& entry : a_.entries) {
    if (collected_.empty()) break;
    const auto found = collected_.find(key_of(entry.row, entry.col));
    if (found == collected_.end()) continue;
    entry.value += found->second;
    if (entry.row == entry.col && entry.value < -rounding * std::abs(found->second)) return RowUpdate::not_there;
    collected_.erase(found);
  }
  if (collected_.empty()) return RowUpdate::done;
  if (!a_.plan.trailing.is_dense()) return RowUpdate::no_place;
  for (const auto& [key, value] : collected_) {
    const auto row = static_cast<Code>(key >> 32);
    const auto col = static_cast<Code>(key & 0xffffffffU);
    a_.entries.push_back({row, col, entry_place(a_.plan.trailing, row, col), value});
  }
  return RowUpdate::done;
}

// The map reads the columns of the rows; a column of ones that had values of its own has them again.
void bind(const std::vector<Column>& columns, const Vector& ones, AffineMap& map) {
  for (std::size_t j = 0; j < columns.size(); ++j) {
    const bool had_values = map.columns[j].data != nullptr;
    map.columns[j] = had_values && columns[j].data == nullptr ? Column{ones.data()} : columns[j];
  }
}

// False where a column that the maps leave out may not be what it was.
bool bind_all(CrossProducts& a, const ModelData& rows, const Vector& ones) {
  if (a.kept.size() != rows.x.size()) return false;
  bind(rows.x, ones, a.fixed);
  for (std::size_t t = 0; t < a.random.size(); ++t) {
    bind(rows.terms[t].z, ones, a.random[t]);
    for (Index j = 0; j < a.random[t].size(); ++j)
      if (a.random[t].s.row(j).isZero(0)) return false;
  }
  return true;
}

// Lanes of effects x columns: columns := columns * change.
void transform(const Matrix& change, AlignedVector<double>& lanes) {
  const Index columns = change.rows();
  Matrix moved(lane_width, columns);
  for (std::size_t at = 0; at < lanes.size(); at += static_cast<std::size_t>(lane_width * columns)) {
    Eigen::Map<Matrix> block(lanes.data() + at, lane_width, columns);
    moved.noalias() = block.lazyProduct(change);
    block = moved;
  }
}

// Q'WQ = n I and Q'W r = 0 again; false where a column of X has lost its digits.
bool orthonormalise(CrossProducts& a) {
  const auto n = static_cast<double>(a.n);
  const Index p = a.p;
  Matrix change = Matrix::Identity(p + 1, p + 1);  // of [Q r]
  if (p > 0) {
    const Eigen::LLT<Matrix> cholesky(a.corner.topLeftCorner(p, p));
    const Matrix lower = cholesky.matrixL();
    if (cholesky.info() != Eigen::Success || !(lower.diagonal().cwiseAbs2().minCoeff() > lost * n)) return false;
    const Vector step = cholesky.solve(a.corner.col(p).head(p));
    change.topLeftCorner(p, p) *= std::sqrt(n);
    cholesky.matrixU().solveInPlace(change.topLeftCorner(p, p));
    change.col(p).head(p) = -step;
    const Matrix inverse = lower.transpose() / std::sqrt(n);
    a.fixed.s = (change.topLeftCorner(p, p).transpose() * a.fixed.s).eval();
    a.fixed.k = (change.topLeftCorner(p, p).transpose() * a.fixed.k).eval();
    a.fixed.r = (inverse * a.fixed.r).eval();
    a.ols = (inverse * (a.ols + step)).eval();
    a.log_det_r = a.fixed.r.diagonal().array().abs().log().sum();
    a.corner = (change.transpose() * a.corner * change).eval();
    a.trailing_xy = (a.trailing_xy * change).eval();
    transform(change, a.xy);
    for (LeafProducts& leaves : a.leaves) transform(change, leaves.xy);
  }
  return a.corner(p, p) > 0;
}

}  // namespace

void temper(CrossProducts& a, double power) {
  const auto scale = [power](auto& values) {
    for (double& value : values) value *= power;
  };
  scale(a.gram);
  scale(a.xy);
  scale(a.coupling);
  for (TrailingEntry& entry : a.entries) entry.value *= power;
  for (LeafProducts& leaves : a.leaves) {
    scale(leaves.gram);
    scale(leaves.xy);
    scale(leaves.coupling);
  }
  a.trailing_xy *= power;
  a.corner *= power;
  for (double* value : {&a.observations, &a.log_weights, &a.weight, &a.y_spread}) *value *= power;
}

RowUpdate update_rows(CrossProducts& a, const ModelData& rows, double sign) {
  const Vector ones = Vector::Ones(rows.n);
  if (!bind_all(a, rows, ones) || !make_room(a, rows)) return RowUpdate::no_place;
  RowAdder adder(a, rows, sign);
  for (Index row = 0; row < rows.n; ++row)
    if (const RowUpdate found = adder.add(row); found != RowUpdate::done) return found;
  if (const RowUpdate found = adder.finish(); found != RowUpdate::done) return found;
  if (!(a.observations >= 1) || !(a.weight > 0)) return RowUpdate::not_there;
  a.n = static_cast<Index>(std::llround(a.observations));
  return orthonormalise(a) ? RowUpdate::done : RowUpdate::no_place;
}

}  // namespace henderson
