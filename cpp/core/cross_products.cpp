#include "core/cross_products.hpp"

#include <algorithm>
#include <cmath>

#include "core/equal_levels.hpp"
#include "core/whitened_rows.hpp"

namespace henderson {

namespace {

// Level by level, effect triangle then effect x column: the order in which rows scatter into them.
struct LevelSums {
  Index triangle = 0, stride = 0;
  AlignedVector<double> values;
};

// c += Q'W (y - Qc) / n, with Q'WQ = n I up to rounding.
void improve_least_squares(CrossProducts& a, const ModelData& data, ThreadPool& pool) {
  constexpr Index slab = row_chunk * 32;
  const Index slabs = (a.n + slab - 1) / slab;
  const Residual map = residual_map(a, data.y[0]);
  Matrix sums = Matrix::Zero(a.p, slabs);
  pool.run(slabs, [&](Index t) {
    const Index end = std::min(a.n, (t + 1) * slab);
    Matrix q(std::min(row_chunk, a.n), a.p);
    Vector r(q.rows());
    for (Index row = t * slab; row < end; row += row_chunk) {
      const Index rows = std::min(row_chunk, end - row);
      a.fixed.apply(row, q.topRows(rows));
      residual_chunk(a, data, map, row, r.head(rows));
      if (data.weights != nullptr) r.head(rows).array() *= Eigen::Map<const Vector>(data.weights + row, rows).array();
      sums.col(t).noalias() += q.topRows(rows).transpose() * r.head(rows);
    }
  });
  for (Index t = 0; t < slabs; ++t) a.ols += sums.col(t) / static_cast<double>(a.n);
}

// Any c near the least squares solution will do, r is formed with the same one; where the mean of y dwarfs its spread,
// the rounding of Q'WQ leaves a c that is not near, and a second step mends it.
void least_squares(CrossProducts& a, const ModelData& data, ThreadPool& pool) {
  constexpr double dwarfed = 1e5;
  const Moments own = column_moments({Column{data.y}}, data.weights, data.n, pool);
  a.weight = own.weight;
  a.y_mean = own.pilot[0] + own.mean[0];
  a.y_spread = own.centred(0, 0);
  a.ols.setZero(a.p);
  improve_least_squares(a, data, pool);
  if (data.y[0] * data.y[0] * static_cast<double>(a.n) > dwarfed * a.y_spread) improve_least_squares(a, data, pool);
}

void scatter_rows(const CrossProducts& a, const ModelData& data, std::size_t g, Index first, Index rows,
                  const RowBuffers& buffers, LevelSums& sums) {
  const Group& group = a.plan.groups[g];
  const Code* codes = data.factors[static_cast<std::size_t>(group.factor)].codes + first;
  const bool moved = g == 0 && !a.plan.position.empty();
  const Matrix& z = buffers.z[g];
  const Index s = group.effects;
  const Index columns = a.columns();
  for (Index i = 0; i < rows; ++i) {
    const Index place = moved ? a.plan.place(codes[i]) : codes[i];
    double* out = sums.values.data() + place * sums.stride;
    for (Index e = 0; e < s; ++e) {
      const double z_e = z(i, e);
      for (Index f = e; f < s; ++f) *out++ += z_e * z(i, f);
    }
    for (Index e = 0; e < s; ++e) {
      const double z_e = z(i, e);
      for (Index c = 0; c < columns; ++c) *out++ += z_e * buffers.qr(i, c);
    }
  }
}

// The sums of `count` levels; level_at(k) is the one at place k.
template <class LevelAt>
void to_lanes(const LevelSums& sums, Index count, LevelAt&& level_at, AlignedVector<double>& gram,
              AlignedVector<double>& xy) {
  const auto copy = [&](Index begin, Index entries, AlignedVector<double>& lanes) {
    lanes.assign(static_cast<std::size_t>(lane_batches(count) * entries * lane_width), 0.0);
    for (Index k = 0; k < count; ++k) {
      const double* from = sums.values.data() + level_at(k) * sums.stride + begin;
      double* to = lanes.data() + lane_place(k, 0, entries);
      for (Index e = 0; e < entries; ++e) to[e * lane_width] = from[e];
    }
  };
  copy(0, sums.triangle, gram);
  copy(sums.triangle, sums.stride - sums.triangle, xy);
}

void add_trailing_group(CrossProducts& a, std::size_t g, const LevelSums& sums) {
  const Group& group = a.plan.groups[g];
  for (Index level = 0; level < group.levels; ++level) {
    const Code rank = a.plan.rank_of(g, static_cast<Code>(level));
    if (is_leaf(rank)) continue;
    const Index offset = a.plan.trailing.node_offset[static_cast<std::size_t>(rank)];
    const double* from = sums.values.data() + level * sums.stride;
    for (Index e = 0; e < group.effects; ++e)
      for (Index f = e; f < group.effects; ++f)
        a.entries.push_back({static_cast<Code>(offset + f), static_cast<Code>(offset + e),
                             entry_place(a.plan.trailing, offset + f, offset + e), *from++});
    for (Index e = 0; e < group.effects; ++e)
      for (Index c = 0; c < a.columns(); ++c) a.trailing_xy(offset + e, c) = *from++;
  }
}

// What one slab of rows adds up.
struct Slab {
  std::vector<LevelSums> sums;  // per group
  Matrix corner;
};

Slab empty_slab(const CrossProducts& a) {
  Slab slab{{}, Matrix::Zero(a.columns(), a.columns())};
  for (const Group& group : a.plan.groups) {
    LevelSums own;
    own.triangle = triangle_size(group.effects);
    own.stride = own.triangle + group.effects * a.columns();
    own.values.assign(static_cast<std::size_t>(group.levels * own.stride), 0.0);
    slab.sums.push_back(std::move(own));
  }
  return slab;
}

// Everything on the diagonal of A, and [Q r]'W Z, in one pass over the rows.
void accumulate(CrossProducts& a, const ModelData& data, ThreadPool& pool) {
  const Residual map = residual_map(a, data.y[0]);
  std::vector<Slab> slabs(static_cast<std::size_t>(slab_count(a)));
  const Index chunks = (data.n + row_chunk - 1) / row_chunk;
  const auto count = static_cast<Index>(slabs.size());
  pool.run(count, [&](Index t) {
    Slab& slab = slabs[static_cast<std::size_t>(t)];
    slab = empty_slab(a);
    RowBuffers buffers = make_buffers(a);
    for (Index chunk = chunks * t / count; chunk < chunks * (t + 1) / count; ++chunk) {
      const Index first = chunk * row_chunk;
      const Index rows = std::min(row_chunk, data.n - first);
      fill_rows(a, data, map, first, rows, buffers);
      add_products(buffers.qr.topRows(rows), slab.corner);
      for (std::size_t g = 0; g < slab.sums.size(); ++g) scatter_rows(a, data, g, first, rows, buffers, slab.sums[g]);
    }
  });
  Slab& total = slabs.front();
  for (std::size_t t = 1; t < slabs.size(); ++t) {
    total.corner += slabs[t].corner;
    for (std::size_t g = 0; g < total.sums.size(); ++g) {
      auto& to = total.sums[g].values;
      Eigen::Map<Vector>(to.data(), static_cast<Index>(to.size())) +=
          Eigen::Map<const Vector>(slabs[t].sums[g].values.data(), static_cast<Index>(to.size()));
    }
  }
  a.corner = total.corner.selfadjointView<Eigen::Lower>();
  to_lanes(total.sums[0], a.leading().levels, [](Index position) { return position; }, a.gram, a.xy);
  a.leaves.resize(a.plan.leaves.size());
  for (std::size_t g = 1; g < a.leaves.size(); ++g) {
    const std::vector<Leaf>& leaves = a.plan.leaves[g].leaves;
    const auto level_at = [&](Index k) { return static_cast<Index>(leaves[static_cast<std::size_t>(k)].level); };
    to_lanes(total.sums[g], static_cast<Index>(leaves.size()), level_at, a.leaves[g].gram, a.leaves[g].xy);
  }
  a.trailing_xy.resize(a.plan.trailing_size(), a.columns());
  for (std::size_t g = 1; g < total.sums.size(); ++g) add_trailing_group(a, g, total.sums[g]);
}

// Calls visit(rank, z, z_u) for each row of a level of group t and each later group u whose level there is no leaf.
template <class Visit>
void for_each_meeting(const CrossProducts& a, const ModelData& data, std::size_t t, Index level, Visit&& visit) {
  const LevelRows& sorted = a.plan.level_rows[t];
  Vector z(a.plan.groups[t].effects);
  Vector other;
  for (Index k = sorted.start[static_cast<std::size_t>(level)]; k < sorted.start[static_cast<std::size_t>(level) + 1];
       ++k) {
    const Index row = sorted.row[static_cast<std::size_t>(k)];
    stacked_row(a, a.plan.groups[t], row, z.data());
    if (data.weights != nullptr) z *= data.weights[row];
    for (std::size_t u = t + 1; u < a.plan.groups.size(); ++u) {
      const Group& group = a.plan.groups[u];
      const Code rank = a.plan.rank_of(u, data.factors[static_cast<std::size_t>(group.factor)].codes[row]);
      if (is_leaf(rank)) continue;
      other.resize(group.effects);
      stacked_row(a, group, row, other.data());
      visit(rank, z, other);
    }
  }
}

void couple_leading(CrossProducts& a, const ModelData& data, ThreadPool& pool) {
  const EliminationPlan& plan = a.plan;
  a.coupling.assign(static_cast<std::size_t>(plan.coupling_values), 0.0);
  std::vector<Code> level_at(plan.position.size());
  for (std::size_t level = 0; level < plan.position.size(); ++level)
    level_at[static_cast<std::size_t>(plan.position[level])] = static_cast<Code>(level);
  constexpr Index tasks = 16;
  const auto patterns = static_cast<Index>(plan.patterns.size());
  pool.run(a.n < 50000 ? 1 : tasks, [&](Index task) {
    std::vector<Index> local(static_cast<std::size_t>(plan.trailing.size));
    const Index count = a.n < 50000 ? 1 : tasks;
    for (Index k = patterns * task / count; k < patterns * (task + 1) / count; ++k) {
      const Pattern& pattern = plan.patterns[static_cast<std::size_t>(k)];
      for (Index i = 0; i < pattern.rows_count; ++i)
        local[static_cast<std::size_t>(plan.pattern_rows[static_cast<std::size_t>(pattern.rows_begin + i)])] = i;
      for (Index member = 0; member < pattern.count; ++member) {
        double* panel = a.coupling.data() + pattern.values_begin + member * a.leading().effects * pattern.rows_count;
        for_each_meeting(
            a, data, 0, level_at[static_cast<std::size_t>(pattern.first + member)],
            [&](Code rank, const Vector& z, const Vector& other) {
              const Index row =
                  local[static_cast<std::size_t>(plan.trailing.node_offset[static_cast<std::size_t>(rank)])];
              for (Index e = 0; e < z.size(); ++e)
                for (Index f = 0; f < other.size(); ++f) panel[e * pattern.rows_count + row + f] += z[e] * other[f];
            });
      }
    }
  });
}

void couple_trailing(CrossProducts& a, const ModelData& data, std::size_t t) {
  const EliminationPlan& plan = a.plan;
  const Neighbours& later = plan.later[t];
  const auto offset = [&](Code rank) { return plan.trailing.node_offset[static_cast<std::size_t>(rank)]; };
  std::vector<Matrix> blocks;
  std::vector<Index> slot(plan.trailing.rank.size());
  for (Index level = 0; level < plan.groups[t].levels; ++level) {
    if (is_leaf(plan.rank_of(t, static_cast<Code>(level)))) continue;
    const auto begin = later.start[static_cast<std::size_t>(level)];
    const auto count = later.start[static_cast<std::size_t>(level) + 1] - begin;
    blocks.resize(static_cast<std::size_t>(count));
    for (Index k = 0; k < count; ++k) {
      const Code rank = later.node[static_cast<std::size_t>(begin + k)];
      slot[static_cast<std::size_t>(rank)] = k;
      blocks[static_cast<std::size_t>(k)].setZero(offset(rank + 1) - offset(rank), plan.groups[t].effects);
    }
    for_each_meeting(a, data, t, level, [&](Code rank, const Vector& z, const Vector& other) {
      blocks[static_cast<std::size_t>(slot[static_cast<std::size_t>(rank)])].noalias() += other * z.transpose();
    });
    const Index own = offset(plan.rank_of(t, static_cast<Code>(level)));
    for (Index k = 0; k < count; ++k) {
      const Index far = offset(later.node[static_cast<std::size_t>(begin + k)]);
      const Matrix& block = blocks[static_cast<std::size_t>(k)];
      for (Index e = 0; e < block.cols(); ++e)
        for (Index f = 0; f < block.rows(); ++f) {
          const Index row = std::max(far + f, own + e);
          const Index col = std::min(far + f, own + e);
          a.entries.push_back(
              {static_cast<Code>(row), static_cast<Code>(col), entry_place(plan.trailing, row, col), block(f, e)});
        }
    }
  }
}

// One moment matrix serves X and every Z: the columns they share are read once.
std::vector<Column> distinct_columns(const ModelData& data) {
  std::vector<Column> distinct;
  const auto add = [&](const Column& column) {
    for (const Column& known : distinct)
      if (known.data == column.data) return;
    distinct.push_back(column);
  };
  for (const Column& column : data.x) add(column);
  for (const RandomTerm& term : data.terms)
    for (const Column& column : term.z) add(column);
  return distinct;
}

// The entry of effect e of a level against the response.
double& response_entry(CrossProducts& a, std::size_t g, Code level, Index e) {
  const Index columns = a.columns();
  const Index entries = a.plan.groups[g].effects * columns;
  if (g == 0) return a.xy[static_cast<std::size_t>(lane_place(a.plan.place(level), e * columns + a.p, entries))];
  const Code rank = a.plan.rank_of(g, level);
  if (is_leaf(rank))
    return a.leaves[g].xy[static_cast<std::size_t>(lane_place(leaf_of(rank), e * columns + a.p, entries))];
  return a.trailing_xy(a.plan.trailing.node_offset[static_cast<std::size_t>(rank)] + e, a.p);
}

}  // namespace

void stacked_row(const CrossProducts& a, const Group& group, Index row, double* out) {
  for (std::size_t k = 0; k < group.terms.size(); ++k)
    a.random[static_cast<std::size_t>(group.terms[k])].apply_row(row, out + group.first[k]);
}

CrossProducts build_cross_products(const ModelData& data, ThreadPool& pool) {
  CrossProducts a;
  a.n = data.n;
  a.observations = static_cast<double>(data.n);
  if (data.weights != nullptr) a.log_weights = Eigen::Map<const Vector>(data.weights, data.n).array().log().sum();
  if (data.represented) {
    a.observations = data.represented->observations;
    a.log_weights += data.represented->log_weights;
  }
  const std::vector<Column> distinct = distinct_columns(data);
  const Moments moments = column_moments(distinct, data.weights, data.n, pool);
  Whitened fixed = whiten_fixed(data.x, data.weights, data.n, select_moments(moments, distinct, data.x), pool);
  a.fixed = std::move(fixed.map);
  a.kept = std::move(fixed.kept);
  a.p = a.fixed.size();
  a.log_det_r = a.fixed.r.diagonal().array().abs().log().sum();
  for (const RandomTerm& term : data.terms)
    a.random.push_back(whiten_random(term.z, data.weights, data.n, select_moments(moments, distinct, term.z), pool));
  a.plan = plan_elimination(data);
  least_squares(a, data, pool);
  accumulate(a, data, pool);
  join_equal_levels(a);
  if (a.plan.has_trailing()) {
    couple_leading(a, data, pool);
    for (std::size_t t = 1; t + 1 < a.plan.groups.size(); ++t) couple_trailing(a, data, t);
    couple_leaves(a, data);
    a.plan.level_rows.clear();
    a.plan.later.clear();
  }
  return a;
}

void replace_response(CrossProducts& a, const ModelData& data, ThreadPool& pool) {
  least_squares(a, data, pool);
  const Residual map = residual_map(a, data.y[0]);
  RowBuffers buffers = make_buffers(a);
  const auto levels = [&](std::size_t g) { return static_cast<Code>(a.plan.groups[g].levels); };
  for (std::size_t g = 0; g < a.plan.groups.size(); ++g)
    for (Code level = 0; level < levels(g); ++level)
      for (Index e = 0; e < a.plan.groups[g].effects; ++e) response_entry(a, g, level, e) = 0;
  a.corner.col(a.p).setZero();
  for (Index first = 0; first < data.n; first += row_chunk) {
    const Index rows = std::min(row_chunk, data.n - first);
    fill_rows(a, data, map, first, rows, buffers);
    const auto r = buffers.qr.col(a.p).head(rows);
    a.corner.col(a.p).noalias() += buffers.qr.topRows(rows).transpose() * r;
    for (std::size_t g = 0; g < a.plan.groups.size(); ++g) {
      const Group& group = a.plan.groups[g];
      const Code* codes = data.factors[static_cast<std::size_t>(group.factor)].codes + first;
      for (Index i = 0; i < rows; ++i)
        for (Index e = 0; e < group.effects; ++e) response_entry(a, g, codes[i], e) += buffers.z[g](i, e) * r[i];
    }
  }
  a.corner.row(a.p) = a.corner.col(a.p).transpose();
}

}  // namespace henderson
