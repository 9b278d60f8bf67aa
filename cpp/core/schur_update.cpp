#include "core/schur_update.hpp"

#include <algorithm>

#include "core/blocked_cholesky.hpp"
#include "core/dense_kernels.hpp"

namespace henderson {

namespace {

constexpr Index pattern_chunk = 256;  // patterns of one task
constexpr Index wide_columns = 8;     // from here on multiplying out pays
constexpr Index wide_rows = 16;
constexpr Index scatter_tasks = 48;
constexpr Index zero_slices = 16;

Index pattern_chunks(const EliminationPlan& plan) {
  return (static_cast<Index>(plan.patterns.size()) + pattern_chunk - 1) / pattern_chunk;
}

std::span<const Code> rows_of(const EliminationPlan& plan, const Pattern& pattern) {
  return {plan.pattern_rows.data() + pattern.rows_begin, static_cast<std::size_t>(pattern.rows_count)};
}

// column(r_i) -= sum_k b(i, k) b(j, k) for i >= j, for a panel b of m columns
void scatter_column(const Code* rows, const double* b, Index count, Index m, Index j, double* column) {
  if (m == 1) {
    const double own = b[j];
    for (Index i = j; i < count; ++i) column[rows[i]] -= b[i] * own;
    return;
  }
  Index k = 0;
  for (; k + 1 < m; k += 2) {
    const double* first = b + k * count;
    const double* second = first + count;
    const double own_first = first[j], own_second = second[j];
    for (Index i = j; i < count; ++i) column[rows[i]] -= first[i] * own_first + second[i] * own_second;
  }
  if (k < m) {
    const double* last = b + k * count;
    const double own = last[j];
    for (Index i = j; i < count; ++i) column[rows[i]] -= last[i] * own;
  }
}

}  // namespace

SchurUpdate::SchurUpdate(const CrossProducts& a)
    : effects_(a.leading().effects),
      columns_(a.columns()),
      b_(a.coupling.size()),
      t_(static_cast<std::size_t>(a.leading().levels * effects_ * columns_)) {
  const EliminationPlan& plan = a.plan;
  chunk_work_.resize(static_cast<std::size_t>(pattern_chunks(plan)),
                     {Vector(effects_ * effects_), Vector(effects_ * columns_)});
  std::vector<double> work(static_cast<std::size_t>(plan.trailing.size) + 1, 0.0);
  Index tallest = 0, longest = 0;
  for (const Pattern& pattern : plan.patterns) {
    const Index width = pattern.count * effects_;
    const bool wide = !plan.trailing.is_dense() || (width >= wide_columns && pattern.rows_count >= wide_rows);
    is_wide_.push_back(wide ? 1 : 0);
    longest = std::max(longest, pattern.rows_count);
    if (wide) {
      wide_.push_back(static_cast<Index>(is_wide_.size()) - 1);
      tallest = std::max(tallest, pattern.rows_count);
    }
    const std::span<const Code> rows = rows_of(plan, pattern);
    for (std::size_t j = 0; j < rows.size(); ++j)
      work[static_cast<std::size_t>(rows[j])] +=
          static_cast<double>(width) * (wide ? 1.0 : static_cast<double>(rows.size() - j));
  }
  update_.resize(tallest, tallest);
  places_.resize(static_cast<std::size_t>(longest));
  double total = 0;
  for (const double each : work) total += each;
  const double share = total < 1e5 ? total : total / static_cast<double>(scatter_tasks);
  column_bounds_.push_back(0);
  double sum = 0;
  for (Index c = 0; c < plan.trailing.size; ++c) {
    sum += work[static_cast<std::size_t>(c)];
    if (sum < share) continue;
    column_bounds_.push_back(c + 1);
    sum = 0;
  }
  if (column_bounds_.back() < plan.trailing.size) column_bounds_.push_back(plan.trailing.size);
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

void SchurUpdate::scatter_columns(const CrossProducts& a, Index begin, Index end, double* k, Matrix& reduced) const {
  const EliminationPlan& plan = a.plan;
  const Index q = plan.trailing.size;
  for (std::size_t p = 0; p < plan.patterns.size(); ++p) {
    const Pattern& pattern = plan.patterns[p];
    const std::span<const Code> rows = rows_of(plan, pattern);
    const auto first = std::lower_bound(rows.begin(), rows.end(), static_cast<Code>(begin));
    const auto last = std::lower_bound(first, rows.end(), static_cast<Code>(end));
    if (first == last) continue;
    const Index m = pattern.count * effects_;
    const double* b = b_.data() + pattern.values_begin;
    const double* t = t_.data() + pattern.first * effects_ * columns_;
    for (Index j = first - rows.begin(); j < last - rows.begin(); ++j) {
      const Index row = rows[static_cast<std::size_t>(j)];
      for (Index e = 0; e < m; ++e)
        for (Index c = 0; c < columns_; ++c) reduced(row, c) -= b[e * pattern.rows_count + j] * t[e * columns_ + c];
      if (is_wide_[p] == 0) scatter_column(rows.data(), b, pattern.rows_count, m, j, k + row * q);
    }
  }
}

void SchurUpdate::subtract_wide(const CrossProducts& a, const Pattern& pattern, double* k, ThreadPool& pool) {
  const Index rows = pattern.rows_count;
  const Index m = pattern.count * effects_;
  const double* b = b_.data() + pattern.values_begin;
  auto update = update_.topLeftCorner(rows, rows);
  if (rows * m <= 64) {
    for (Index j = 0; j < rows; ++j)
      for (Index i = j; i < rows; ++i) {
        double sum = 0;
        for (Index e = 0; e < m; ++e) sum += b[e * rows + i] * b[e * rows + j];
        update(i, j) = sum;
      }
  } else {
    update.triangularView<Eigen::Lower>().setZero();
    add_outer(Eigen::Map<const Matrix>(b, rows, m), update, pool);
  }
  subtract_at(a.plan.trailing, rows_of(a.plan, pattern), update, k, places_);
}

void SchurUpdate::run(const CrossProducts& a, const ReducedBlocks& blocks, const LeadingFactor& factor, double* k,
                      Matrix& reduced, ThreadPool& pool) {
  multiply_panels(a, blocks, factor, pool);
  const Index size = a.plan.trailing.values;
  pool.run(zero_slices, [&](Index t) { std::fill(k + size * t / zero_slices, k + size * (t + 1) / zero_slices, 0.0); });
  for (const TrailingEntry& entry : a.entries) k[entry.place] = entry.value;
  reduced = *blocks.trailing_xy;
  pool.run(static_cast<Index>(column_bounds_.size()) - 1, [&](Index task) {
    scatter_columns(a, column_bounds_[static_cast<std::size_t>(task)],
                    column_bounds_[static_cast<std::size_t>(task) + 1], k, reduced);
  });
  for (const Index wide : wide_) subtract_wide(a, a.plan.patterns[static_cast<std::size_t>(wide)], k, pool);
}

}  // namespace henderson
