#include "core/explained_effects.hpp"

#include <algorithm>

namespace henderson {

namespace {

constexpr double rounding = 1e-10;  // of the size of a column: less than this outside X is nothing

// Sums over the levels of a group, per stacked effect.
struct Sizes {
  Vector whole;      // sum_j |z_ja|^2
  Vector explained;  // sum_j |Q'z_ja|^2 / n
};

void add_lanes(const CrossProducts& a, Index count, const AlignedVector<double>& gram, const AlignedVector<double>& xy,
               Sizes& sizes) {
  const Index s = sizes.whole.size();
  for (Index place = 0; place < count; ++place)
    for (Index e = 0; e < s; ++e) {
      const Index own = triangle_index(e, e, s);
      sizes.whole[e] += gram[static_cast<std::size_t>(lane_place(place, own, triangle_size(s)))];
      for (Index c = 0; c < a.p; ++c) {
        const double f = xy[static_cast<std::size_t>(lane_place(place, e * a.columns() + c, s * a.columns()))];
        sizes.explained[e] += f * f / static_cast<double>(a.n);
      }
    }
}

void add_trailing(const CrossProducts& a, std::vector<Sizes>& sizes) {
  std::vector<std::pair<std::size_t, Index>> effect;  // group and stacked effect of each trailing scalar
  for (const Code group : a.plan.group_of_rank)
    for (Index e = 0; e < a.plan.groups[static_cast<std::size_t>(group)].effects; ++e)
      effect.emplace_back(static_cast<std::size_t>(group), e);
  for (const TrailingEntry& entry : a.entries)
    if (const auto [g, e] = effect[static_cast<std::size_t>(entry.row)]; entry.row == entry.col)
      sizes[g].whole[e] += entry.value;
  for (std::size_t row = 0; row < effect.size(); ++row) {
    const auto [g, e] = effect[row];
    sizes[g].explained[e] +=
        a.trailing_xy.row(static_cast<Index>(row)).head(a.p).squaredNorm() / static_cast<double>(a.n);
  }
}

}  // namespace

std::vector<std::vector<char>> explained_effects(const CrossProducts& a) {
  const auto& groups = a.plan.groups;
  if (std::all_of(groups.begin(), groups.end(), [&](const Group& group) { return group.levels > a.p; })) return {};
  std::vector<Sizes> sizes;
  for (const Group& group : groups) sizes.push_back({Vector::Zero(group.effects), Vector::Zero(group.effects)});
  add_lanes(a, groups.front().levels, a.gram, a.xy, sizes.front());
  for (std::size_t g = 1; g < a.leaves.size(); ++g)
    add_lanes(a, static_cast<Index>(a.plan.leaves[g].leaves.size()), a.leaves[g].gram, a.leaves[g].xy, sizes[g]);
  add_trailing(a, sizes);
  std::vector<std::vector<char>> out;
  for (const AffineMap& term : a.random) out.emplace_back(term.size(), 0);
  bool any = false;
  for (std::size_t g = 0; g < groups.size(); ++g)
    for (std::size_t k = 0; k < groups[g].terms.size(); ++k) {
      auto& flags = out[static_cast<std::size_t>(groups[g].terms[k])];
      for (std::size_t e = 0; e < flags.size(); ++e) {
        const Index at = groups[g].first[k] + static_cast<Index>(e);
        const double left = sizes[g].whole[at] - sizes[g].explained[at];
        if (left > rounding * sizes[g].whole[at]) continue;
        flags[e] = 1;
        any = true;
      }
    }
  if (!any) out.clear();
  return out;
}

}  // namespace henderson
