// The couplings of stripped leaves with their hosts and with the other trailing levels that their rows meet.
#include <algorithm>

#include "core/cross_products.hpp"

namespace henderson {

namespace {

// Calls visit(first row of its block, group) for the host and for each trailing level that a row of the leaf meets.
template <class Visit>
void for_each_neighbour(const CrossProducts& a, const ModelData& data, std::size_t g, const Leaf& leaf, Index row,
                        Visit&& visit) {
  const EliminationPlan& plan = a.plan;
  const auto near = plan.leaves[g].rows.begin() + leaf.rows_begin;
  visit(0, plan.groups[0]);
  for (std::size_t u = 1; u < plan.groups.size(); ++u) {
    if (u == g) continue;
    const Code code = data.factors[static_cast<std::size_t>(plan.groups[u].factor)].codes[row];
    const Index scalar = plan.trailing.node_offset[static_cast<std::size_t>(plan.rank_of(u, code))];
    const auto found = std::lower_bound(near, near + leaf.rows_count, static_cast<Code>(scalar));
    visit(a.leading().effects + (found - near), plan.groups[u]);
  }
}

}  // namespace

void couple_leaves(CrossProducts& a, const ModelData& data) {
  Vector z, other;
  for (std::size_t g = 1; g < a.leaves.size(); ++g) {
    const LeafGroup& group = a.plan.leaves[g];
    const LevelRows& sorted = a.plan.level_rows[g];
    a.leaves[g].coupling.assign(static_cast<std::size_t>(group.values), 0.0);
    z.resize(a.plan.groups[g].effects);
    for (const Leaf& leaf : group.leaves) {
      const Index height = a.leading().effects + leaf.rows_count;
      double* block = a.leaves[g].coupling.data() + leaf.values_begin;
      for (Index k = sorted.start[static_cast<std::size_t>(leaf.level)];
           k < sorted.start[static_cast<std::size_t>(leaf.level) + 1]; ++k) {
        const Index row = sorted.row[static_cast<std::size_t>(k)];
        stacked_row(a, a.plan.groups[g], row, z.data());
        if (data.weights != nullptr) z *= data.weights[row];
        for_each_neighbour(a, data, g, leaf, row, [&](Index first, const Group& met) {
          other.resize(met.effects);
          stacked_row(a, met, row, other.data());
          for (Index e = 0; e < z.size(); ++e)
            for (Index f = 0; f < other.size(); ++f) block[e * height + first + f] += z[e] * other[f];
        });
      }
    }
  }
}

}  // namespace henderson
