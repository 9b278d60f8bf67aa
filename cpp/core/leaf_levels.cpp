#include "core/leaf_levels.hpp"

#include <algorithm>

#include "core/elimination_plan.hpp"

namespace henderson {

namespace {

constexpr Code unseen = -1, no_leaf = -2;
constexpr double flops_of_handling = 100;  // a leaf costs this much beside its arithmetic
constexpr Index leaves_of_task = 512;

const Code* codes_of(const ModelData& data, const EliminationPlan& plan, std::size_t group) {
  return data.factors[static_cast<std::size_t>(plan.groups[group].factor)].codes;
}

// The leading level of each trailing node that meets one only.
std::vector<Code> only_hosts(const ModelData& data, const EliminationPlan& plan) {
  std::vector<Code> host(static_cast<std::size_t>(plan.node_base.back()), unseen);
  const Code* leading = codes_of(data, plan, 0);
  for (std::size_t g = 1; g < plan.groups.size(); ++g) {
    const Code* codes = codes_of(data, plan, g);
    for (Index row = 0; row < data.n; ++row) {
      Code& own = host[static_cast<std::size_t>(plan.node_base[g] + codes[row])];
      own = own == unseen || own == leading[row] ? leading[row] : no_leaf;
    }
  }
  return host;
}

bool has_leaf(const EliminationPlan& plan, const std::vector<Code>& host, std::size_t group) {
  return std::any_of(host.begin() + plan.node_base[group], host.begin() + plan.node_base[group + 1],
                     [](Code own) { return own >= 0; });
}

// Of two leaves that meet in a row, the one of the earlier, larger, factor stays one.
void separate(const ModelData& data, const EliminationPlan& plan, std::vector<Code>& host) {
  for (std::size_t g = 2; g < plan.groups.size(); ++g) {
    if (!has_leaf(plan, host, g)) continue;
    std::vector<char> meets(static_cast<std::size_t>(plan.groups[g].levels), 0);
    const Code* codes = codes_of(data, plan, g);
    for (std::size_t earlier = 1; earlier < g; ++earlier) {
      if (!has_leaf(plan, host, earlier)) continue;
      const Code* others = codes_of(data, plan, earlier);
      for (Index row = 0; row < data.n; ++row)
        if (host[static_cast<std::size_t>(plan.node_base[earlier] + others[row])] >= 0)
          meets[static_cast<std::size_t>(codes[row])] = 1;
    }
    for (std::size_t level = 0; level < meets.size(); ++level)
      if (meets[level] != 0) host[static_cast<std::size_t>(plan.node_base[g]) + level] = no_leaf;
  }
}

// The scalars of other trailing factors that the rows of a level meet, ascending.
void scalars_met(const ModelData& data, const EliminationPlan& plan, std::size_t group, std::size_t level,
                 std::vector<Code>& out) {
  const LevelRows& sorted = plan.level_rows[group];
  std::vector<Code> ranks;
  for (std::size_t g = 1; g < plan.groups.size(); ++g) {
    if (g == group) continue;
    const Code* codes = codes_of(data, plan, g);
    for (Index k = sorted.start[level]; k < sorted.start[level + 1]; ++k)
      ranks.push_back(plan.rank_of(g, codes[sorted.row[static_cast<std::size_t>(k)]]));
  }
  std::sort(ranks.begin(), ranks.end());
  ranks.erase(std::unique(ranks.begin(), ranks.end()), ranks.end());
  out.clear();
  for (const Code rank : ranks)
    for (Index row = plan.trailing.node_offset[static_cast<std::size_t>(rank)];
         row < plan.trailing.node_offset[static_cast<std::size_t>(rank) + 1]; ++row)
      out.push_back(static_cast<Code>(row));
}

// The leading positions that have leaves, ascending, with their patterns.
std::vector<Host> find_hosts(const LeafChoice& choice, const EliminationPlan& plan) {
  std::vector<char> is_host(static_cast<std::size_t>(plan.groups[0].levels), 0);
  for (const Code level : choice.host)
    if (level >= 0) is_host[static_cast<std::size_t>(plan.place(level))] = 1;
  std::vector<Host> hosts;
  for (std::size_t p = 0; p < plan.patterns.size(); ++p)
    for (Index position = plan.patterns[p].first; position < plan.patterns[p].first + plan.patterns[p].count;
         ++position)
      if (is_host[static_cast<std::size_t>(position)] != 0) hosts.push_back({position, static_cast<Index>(p)});
  return hosts;
}

void share_out(LeafGroup& group) {
  group.bounds.push_back(0);
  for (std::size_t k = 1; k < group.leaves.size(); ++k)
    if (group.leaves[k].host != group.leaves[k - 1].host &&
        static_cast<Index>(k) - group.bounds.back() >= leaves_of_task)
      group.bounds.push_back(static_cast<Index>(k));
  if (!group.leaves.empty()) group.bounds.push_back(static_cast<Index>(group.leaves.size()));
}

// R of a leaf, and where its storage begins.
void couple(const ModelData& data, const EliminationPlan& plan, std::size_t group, Leaf& leaf, LeafGroup& out) {
  std::vector<Code> rows;
  scalars_met(data, plan, group, static_cast<std::size_t>(leaf.level), rows);
  leaf.rows_begin = static_cast<Index>(out.rows.size());
  leaf.rows_count = static_cast<Index>(rows.size());
  leaf.values_begin = out.values;
  out.values += (plan.groups[0].effects + leaf.rows_count) * plan.groups[group].effects;
  const Host& host = plan.hosts[static_cast<std::size_t>(leaf.host)];
  const Pattern& pattern = plan.patterns[static_cast<std::size_t>(host.pattern)];
  const auto first = plan.pattern_rows.begin() + pattern.rows_begin;
  for (const Code row : rows) {
    out.rows.push_back(row);
    out.places.push_back(static_cast<Code>(std::lower_bound(first, first + pattern.rows_count, row) - first));
  }
}

}  // namespace

LeafChoice find_leaves(const ModelData& data, const EliminationPlan& plan) {
  LeafChoice out{only_hosts(data, plan), 0, 0};
  separate(data, plan, out.host);
  Index others = 0;
  for (std::size_t g = 1; g < plan.groups.size(); ++g) others += plan.groups[g].effects;
  for (std::size_t g = 1; g < plan.groups.size(); ++g) {
    if (!has_leaf(plan, out.host, g)) continue;
    const Group& group = plan.groups[g];
    std::vector<Index> rows(static_cast<std::size_t>(group.levels), 0);
    const Code* codes = codes_of(data, plan, g);
    for (Index row = 0; row < data.n; ++row) ++rows[static_cast<std::size_t>(codes[row])];
    for (std::size_t level = 0; level < rows.size(); ++level) {
      if (out.host[static_cast<std::size_t>(plan.node_base[g]) + level] < 0) continue;
      const auto met = static_cast<double>(plan.groups[0].effects + rows[level] * (others - group.effects));
      const auto s = static_cast<double>(group.effects);
      const double border = met + s + static_cast<double>(data.x.size()) + 1;
      out.flops += s * border * border + flops_of_handling;
      out.effects += group.effects;
    }
  }
  return out;
}

void place_leaves(const ModelData& data, const LeafChoice& choice, EliminationPlan& plan) {
  plan.hosts = find_hosts(choice, plan);
  std::vector<Index> number(static_cast<std::size_t>(plan.groups[0].levels), 0);  // position -> host
  for (std::size_t k = 0; k < plan.hosts.size(); ++k)
    number[static_cast<std::size_t>(plan.hosts[k].position)] = static_cast<Index>(k);
  plan.leaves.resize(plan.groups.size());
  for (std::size_t g = 1; g < plan.groups.size(); ++g) {
    LeafGroup& own = plan.leaves[g];
    for (Code level = 0; level < static_cast<Code>(plan.groups[g].levels); ++level) {
      const Code host = choice.host[static_cast<std::size_t>(plan.node_base[g] + level)];
      if (host < 0) continue;
      Leaf leaf;
      leaf.level = level;
      leaf.host = number[static_cast<std::size_t>(plan.place(host))];
      own.leaves.push_back(leaf);
    }
    std::stable_sort(own.leaves.begin(), own.leaves.end(),
                     [](const Leaf& a, const Leaf& b) { return a.host < b.host; });
    for (std::size_t k = 0; k < own.leaves.size(); ++k) {
      couple(data, plan, g, own.leaves[k], own);
      plan.trailing.rank[static_cast<std::size_t>(plan.node_base[g] + own.leaves[k].level)] =
          leaf_rank(static_cast<Index>(k));
    }
    share_out(own);
  }
}

}  // namespace henderson
