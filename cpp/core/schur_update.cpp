#include "core/schur_update.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "core/blocked_cholesky.hpp"
#include "core/dense_kernels.hpp"

namespace henderson {

namespace {

constexpr Index pattern_chunk = 256;  // patterns of one task
constexpr Index wide_columns = 8;     // from here on multiplying out pays
constexpr Index wide_rows = 16;
constexpr Index scatter_tasks = 48;
constexpr Index zero_slices = 16;
constexpr Index slice_rows = 32;  // of a pattern that is multiplied out

Index pattern_chunks(const EliminationPlan& plan) {
  return (static_cast<Index>(plan.patterns.size()) + pattern_chunk - 1) / pattern_chunk;
}

std::span<const Code> rows_of(const EliminationPlan& plan, const Pattern& pattern) {
  return {plan.pattern_rows.data() + pattern.rows_begin, static_cast<std::size_t>(pattern.rows_count)};
}

// K[r_i .., r_j .. r_j + S) -= b_i b_j' for the nodes i >= j of a panel b of M columns; one look-up per S x S block.
template <int S, int M>
void scatter_node(const Code* rows, const double* b, Index count, Index j, double* columns, Index q) {
  using Few = Eigen::Array<double, S, 1>;
  std::array<std::array<double, S>, M> own;
  for (int e = 0; e < M; ++e)
    for (int c = 0; c < S; ++c) own[e][c] = b[e * count + j + c];
  for (int c = 0; c < S; ++c)
    for (int r = c; r < S; ++r) {
      double sum = 0;
      for (int e = 0; e < M; ++e) sum += b[e * count + j + r] * own[e][c];
      columns[c * q + rows[j] + r] -= sum;
    }
  for (Index i = j + S; i < count; i += S) {
    double* at = columns + rows[i];
    for (int c = 0; c < S; ++c) {
      Few sum = Few::Map(b + i) * own[0][c];
      for (int e = 1; e < M; ++e) sum += Few::Map(b + e * count + i) * own[e][c];
      Few::Map(at + c * q) -= sum;
    }
  }
}

template <int S>
void scatter_panel(const Code* rows, const double* b, Index count, Index m, Index first, Index last, double* k,
                   Index q) {
  for (Index j = first; j < last; j += S) {
    double* columns = k + rows[j] * q;
    Index e = 0;
    for (; e + 1 < m; e += 2) scatter_node<S, 2>(rows, b + e * count, count, j, columns, q);
    if (e < m) scatter_node<S, 1>(rows, b + e * count, count, j, columns, q);
  }
}

}  // namespace

SchurUpdate::SchurUpdate(const CrossProducts& a)
    : effects_(a.leading().effects),
      columns_(a.columns()),
      node_size_(a.plan.node_size()),
      b_(a.coupling.size()),
      t_(static_cast<std::size_t>(a.leading().levels * effects_ * columns_)) {
  const EliminationPlan& plan = a.plan;
  chunk_work_.resize(static_cast<std::size_t>(pattern_chunks(plan)),
                     {Vector(effects_ * effects_), Vector(effects_ * columns_)});
  Index tallest = 0;
  for (const Pattern& pattern : plan.patterns) {
    const bool wide = pattern.count * effects_ >= wide_columns && pattern.rows_count >= wide_rows;
    is_wide_.push_back(wide ? 1 : 0);
    if (wide) tallest = std::max(tallest, pattern.rows_count);
  }
  update_.resize(tallest, tallest);
  wide_reduced_.resize(tallest, columns_);
  places_.resize(static_cast<std::size_t>(tallest));
  share_columns(plan);
  list_segments(plan);
}

// Tasks of equal work, each a range of whole nodes of K.
void SchurUpdate::share_columns(const EliminationPlan& plan) {
  std::vector<double> work(static_cast<std::size_t>(plan.trailing.size) + 1, 0.0);
  for (std::size_t p = 0; p < plan.patterns.size(); ++p) {
    if (is_wide_[p] != 0) continue;
    const auto width = static_cast<double>(plan.patterns[p].count * effects_);
    const std::span<const Code> rows = rows_of(plan, plan.patterns[p]);
    for (std::size_t j = 0; j < rows.size(); ++j)
      work[static_cast<std::size_t>(rows[j])] += width * static_cast<double>(rows.size() - j);
  }
  const double total = std::accumulate(work.begin(), work.end(), 0.0);
  const double share = total < 1e5 ? total : total / static_cast<double>(scatter_tasks);
  column_bounds_.push_back(0);
  double sum = 0;
  Index column = 0;
  for (std::size_t node = 0; node + 1 < plan.trailing.node_offset.size(); ++node) {
    for (; column < plan.trailing.node_offset[node + 1]; ++column) sum += work[static_cast<std::size_t>(column)];
    if (sum == 0 || sum < share) continue;
    column_bounds_.push_back(column);
    sum = 0;
  }
  if (column_bounds_.back() < plan.trailing.size) column_bounds_.push_back(plan.trailing.size);
}

// Which columns of which patterns are whose.
void SchurUpdate::list_segments(const EliminationPlan& plan) {
  const auto tasks = column_bounds_.size() - 1;
  std::vector<std::vector<Segment>> of_task(tasks);
  for (std::size_t p = 0; p < plan.patterns.size(); ++p) {
    if (is_wide_[p] != 0) continue;
    const std::span<const Code> rows = rows_of(plan, plan.patterns[p]);
    for (std::size_t begin = 0; begin < rows.size();) {
      const auto bound = std::upper_bound(column_bounds_.begin(), column_bounds_.end(), Index{rows[begin]});
      const auto end = std::lower_bound(rows.begin(), rows.end(), static_cast<Code>(*bound)) - rows.begin();
      of_task[static_cast<std::size_t>(bound - column_bounds_.begin()) - 1].push_back(
          {static_cast<Code>(p), static_cast<Code>(begin), static_cast<Code>(end)});
      begin = static_cast<std::size_t>(end);
    }
  }
  segment_start_.push_back(0);
  for (std::vector<Segment>& own : of_task) {
    segments_.insert(segments_.end(), own.begin(), own.end());
    segment_start_.push_back(segments_.size());
    std::vector<Segment>().swap(own);
  }
}

void SchurUpdate::multiply_panels(const CrossProducts& a, const ReducedBlocks& blocks, const LeadingFactor& factor,
                                  ThreadPool& pool) {
  const EliminationPlan& plan = a.plan;
  const Index s = effects_;
  pool.run(pattern_chunks(plan), [&](Index chunk) {
    auto& [h, v] = chunk_work_[static_cast<std::size_t>(chunk)];
    const Index end = std::min(static_cast<Index>(plan.patterns.size()), (chunk + 1) * pattern_chunk);
    for (Index k = chunk * pattern_chunk; k < end; ++k) {
      const Pattern& pattern = plan.patterns[static_cast<std::size_t>(k)];
      const Index rows = pattern.rows_count;
      for (Index member = 0; member < pattern.count; ++member) {
        const Index position = pattern.first + member;
        load_level(factor.h.data(), position, h);
        load_level(blocks.xy, position, v);
        const double* level = blocks.coupling + pattern.values_begin + member * s * rows;
        double* b = b_.data() + pattern.values_begin + member * s * rows;
        double* t = t_.data() + position * s * columns_;
        for (Index e = 0; e < s; ++e) {
          for (Index i = 0; i < rows; ++i) b[e * rows + i] = h[e] * level[i];
          for (Index c = 0; c < columns_; ++c) t[e * columns_ + c] = h[e] * v[c];
          for (Index f = 1; f < s; ++f) {
            const double weight = h[f * s + e];
            for (Index i = 0; i < rows; ++i) b[e * rows + i] += weight * level[f * rows + i];
            for (Index c = 0; c < columns_; ++c) t[e * columns_ + c] += weight * v[f * columns_ + c];
          }
        }
      }
    }
  });
}

void SchurUpdate::scatter_segment(const EliminationPlan& plan, const Segment& segment, double* k,
                                  Matrix& reduced) const {
  const auto p = static_cast<std::size_t>(segment.pattern);
  const Pattern& pattern = plan.patterns[p];
  const Code* rows = plan.pattern_rows.data() + pattern.rows_begin;
  const Index count = pattern.rows_count;
  const Index m = pattern.count * effects_;
  const double* b = b_.data() + pattern.values_begin;
  const double* t = t_.data() + pattern.first * effects_ * columns_;
  for (Index j = segment.first; j < segment.last; ++j)
    for (Index e = 0; e < m; ++e)
      for (Index c = 0; c < columns_; ++c) reduced(rows[j], c) -= b[e * count + j] * t[e * columns_ + c];
  if (!plan.trailing.is_dense())
    subtract_products(plan.trailing, {rows, static_cast<std::size_t>(count)}, b, m, segment.first, segment.last, k);
  else if (node_size_ == 1)
    scatter_panel<1>(rows, b, count, m, segment.first, segment.last, k, plan.trailing.size);
  else if (node_size_ == 2)
    scatter_panel<2>(rows, b, count, m, segment.first, segment.last, k, plan.trailing.size);
  else if (node_size_ == 3)
    scatter_panel<3>(rows, b, count, m, segment.first, segment.last, k, plan.trailing.size);
  else
    scatter_panel<4>(rows, b, count, m, segment.first, segment.last, k, plan.trailing.size);
}

void SchurUpdate::subtract_wide(const CrossProducts& a, const Pattern& pattern, double* k, Matrix& reduced,
                                ThreadPool& pool) {
  const std::span<const Code> rows = rows_of(a.plan, pattern);
  const Index count = pattern.rows_count;
  const Index m = pattern.count * effects_;
  const Eigen::Map<const Matrix> b(b_.data() + pattern.values_begin, count, m);
  const Eigen::Map<const Matrix> t(t_.data() + pattern.first * effects_ * columns_, columns_, m);
  pool.run((count + slice_rows - 1) / slice_rows, [&](Index slice) {
    const Index first = slice * slice_rows;
    auto sum = wide_reduced_.middleRows(first, std::min(slice_rows, count - first));
    sum.setZero();
    for (Index e = 0; e < m; ++e)
      sum.noalias() += b.col(e).segment(first, sum.rows()).lazyProduct(t.col(e).transpose());
    for (Index i = 0; i < sum.rows(); ++i) reduced.row(rows[static_cast<std::size_t>(first + i)]) -= sum.row(i);
  });
  auto update = update_.topLeftCorner(count, count);
  update.triangularView<Eigen::Lower>().setZero();
  add_outer(b, update, pool);
  subtract_at(a.plan.trailing, rows, update, k, places_);
}

void SchurUpdate::run(const CrossProducts& a, const ReducedBlocks& blocks, const LeadingFactor& factor, double* k,
                      Matrix& reduced, ThreadPool& pool) {
  multiply_panels(a, blocks, factor, pool);
  const Index size = a.plan.trailing.values;
  pool.run(zero_slices, [&](Index t) { std::fill(k + size * t / zero_slices, k + size * (t + 1) / zero_slices, 0.0); });
  for (const TrailingEntry& entry : a.entries) k[entry.place] = entry.value;
  reduced = *blocks.trailing_xy;
  pool.run(static_cast<Index>(segment_start_.size()) - 1, [&](Index task) {
    const auto t = static_cast<std::size_t>(task);
    for (std::size_t each = segment_start_[t]; each < segment_start_[t + 1]; ++each)
      scatter_segment(a.plan, segments_[each], k, reduced);
  });
  for (std::size_t p = 0; p < is_wide_.size(); ++p)
    if (is_wide_[p] != 0) subtract_wide(a, a.plan.patterns[p], k, reduced, pool);
}

}  // namespace henderson
