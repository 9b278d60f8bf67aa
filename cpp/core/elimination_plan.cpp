#include "core/elimination_plan.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/trailing_choice.hpp"

namespace henderson {

namespace {

constexpr double worth_a_look = 0.5;  // of the largest factor's size: smaller ones leave too much behind to lead

std::vector<Group> stacked_groups(const ModelData& data) {
  std::vector<Group> groups;
  for (Index t = 0; t < static_cast<Index>(data.terms.size()); ++t) {
    const RandomTerm& term = data.terms[static_cast<std::size_t>(t)];
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.factor == term.factor; });
    if (group == groups.end())
      group = groups.insert(groups.end(),
                            Group{term.factor, data.factors[static_cast<std::size_t>(term.factor)].levels, 0, {}, {}});
    group->terms.push_back(t);
    group->first.push_back(group->effects);
    group->effects += static_cast<Index>(term.z.size());
  }
  std::stable_sort(groups.begin(), groups.end(),
                   [](const Group& a, const Group& b) { return a.effects * a.levels > b.effects * b.levels; });
  return groups;
}

LevelRows sort_rows(const Factor& factor, Index n) {
  LevelRows out;
  out.start.assign(static_cast<std::size_t>(factor.levels) + 1, 0);
  out.row.resize(static_cast<std::size_t>(n));
  for (Index i = 0; i < n; ++i) ++out.start[static_cast<std::size_t>(factor.codes[i]) + 1];
  std::partial_sum(out.start.begin(), out.start.end(), out.start.begin());
  std::vector<Index> next(out.start.begin(), out.start.end() - 1);
  for (Index i = 0; i < n; ++i)
    out.row[static_cast<std::size_t>(next[static_cast<std::size_t>(factor.codes[i])]++)] = static_cast<Code>(i);
  return out;
}

// The distinct nodes of later groups that each level of group t meets, in natural numbering.
Neighbours later_nodes(const ModelData& data, const EliminationPlan& plan, std::size_t t) {
  Neighbours out;
  const LevelRows& rows = plan.level_rows[t];
  const auto levels = static_cast<std::size_t>(plan.groups[t].levels);
  out.start.assign(levels + 1, 0);
  std::vector<Code> seen(static_cast<std::size_t>(plan.node_base.back()), -1);
  for (std::size_t level = 0; level < levels; ++level) {
    for (std::size_t u = t + 1; u < plan.groups.size(); ++u) {
      const Code* codes = data.factors[static_cast<std::size_t>(plan.groups[u].factor)].codes;
      for (Index k = rows.start[level]; k < rows.start[level + 1]; ++k) {
        const Index node = plan.node_base[u] + codes[rows.row[static_cast<std::size_t>(k)]];
        if (seen[static_cast<std::size_t>(node)] == static_cast<Code>(level)) continue;
        seen[static_cast<std::size_t>(node)] = static_cast<Code>(level);
        out.node.push_back(static_cast<Code>(node));
      }
    }
    out.start[level + 1] = static_cast<Index>(out.node.size());
    std::sort(out.node.begin() + out.start[level], out.node.end());
  }
  return out;
}

// Patterns that start at neighbouring columns of a sparse Schur complement lie together: it is passed over once.
void sort_by_first_rank(TrailingChoice& chosen) {
  std::vector<std::pair<Code, std::vector<Code>>> keyed;
  keyed.reserve(chosen.classes.size());
  for (auto& members : chosen.classes) {
    const auto level = static_cast<std::size_t>(members.front());
    Code first = std::numeric_limits<Code>::max();
    for (Index k = chosen.leading.start[level]; k < chosen.leading.start[level + 1]; ++k)
      first = std::min(
          first, chosen.trailing.rank[static_cast<std::size_t>(chosen.leading.node[static_cast<std::size_t>(k)])]);
    keyed.emplace_back(first, std::move(members));
  }
  std::stable_sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (std::size_t c = 0; c < keyed.size(); ++c) chosen.classes[c] = std::move(keyed[c].second);
}

void place_leading(EliminationPlan& plan, const TrailingChoice& chosen) {
  const Index effects = plan.groups.front().effects;
  const Neighbours& leading = chosen.leading;
  plan.position.resize(static_cast<std::size_t>(plan.groups.front().levels));
  std::vector<Code> ranks;
  Index next = 0;
  for (const auto& members : chosen.classes) {
    Pattern pattern;
    pattern.first = next;
    pattern.count = static_cast<Index>(members.size());
    pattern.rows_begin = static_cast<Index>(plan.pattern_rows.size());
    pattern.values_begin = plan.coupling_values;
    for (const Code level : members) plan.position[static_cast<std::size_t>(level)] = static_cast<Code>(next++);
    const auto level = static_cast<std::size_t>(members.front());
    ranks.clear();
    for (Index k = leading.start[level]; k < leading.start[level + 1]; ++k)
      ranks.push_back(chosen.trailing.rank[static_cast<std::size_t>(leading.node[static_cast<std::size_t>(k)])]);
    std::sort(ranks.begin(), ranks.end());
    for (const Code rank : ranks)
      for (Index row = chosen.trailing.node_offset[static_cast<std::size_t>(rank)];
           row < chosen.trailing.node_offset[static_cast<std::size_t>(rank) + 1]; ++row)
        plan.pattern_rows.push_back(static_cast<Code>(row));
    pattern.rows_count = static_cast<Index>(plan.pattern_rows.size()) - pattern.rows_begin;
    plan.coupling_values += pattern.rows_count * pattern.count * effects;
    plan.patterns.push_back(pattern);
  }
}

// The layout of the chosen nodes, ranks in the numbering of all trailing levels.
void place_trailing(EliminationPlan& plan, TrailingChoice& chosen) {
  plan.update_flops = chosen.choice.update_flops;
  plan.trailing = std::move(chosen.trailing);
  std::vector<Code> rank(chosen.nodes.number.size(), leaf_rank(0));
  for (std::size_t node = 0; node < rank.size(); ++node)
    if (chosen.nodes.number[node] >= 0)
      rank[node] = plan.trailing.rank[static_cast<std::size_t>(chosen.nodes.number[node])];
  plan.trailing.rank = std::move(rank);
  plan.group_of_rank.resize(chosen.nodes.sizes.size());
  for (std::size_t u = 1; u < plan.groups.size(); ++u)
    for (Code level = 0; level < static_cast<Code>(plan.groups[u].levels); ++level)
      if (const Code at = plan.rank_of(u, level); !is_leaf(at))
        plan.group_of_rank[static_cast<std::size_t>(at)] = static_cast<Code>(u);
}

// The later nodes, by rank, that each level of a trailing group meets; of a leaf, whose couplings are its own, none.
Neighbours later_ranks(const ModelData& data, const EliminationPlan& plan, std::size_t t) {
  Neighbours natural = later_nodes(data, plan, t);
  if (!plan.has_leaves()) {
    for (Code& node : natural.node) node = plan.trailing.rank[static_cast<std::size_t>(node)];
    return natural;
  }
  Neighbours out;
  out.start.push_back(0);
  for (std::size_t level = 0; level + 1 < natural.start.size(); ++level) {
    for (Index k = natural.start[level]; k < natural.start[level + 1]; ++k) {
      const Code rank = plan.trailing.rank[static_cast<std::size_t>(natural.node[static_cast<std::size_t>(k)])];
      if (!is_leaf(rank) && !is_leaf(plan.rank_of(t, static_cast<Code>(level)))) out.node.push_back(rank);
    }
    out.start.push_back(static_cast<Index>(out.node.size()));
  }
  return out;
}

// A plan as far as its cost depends on who leads, and what completes it.
struct Outline {
  EliminationPlan plan;
  LeafChoice leaves;

  [[nodiscard]] const LeadChoice& choice() const { return plan.considered.front(); }
};

Outline outline(const ModelData& data, std::vector<Group> groups, bool is_rival) {
  Outline out;
  EliminationPlan& plan = out.plan;
  plan.groups = std::move(groups);
  plan.node_base.assign(plan.groups.size() + 1, 0);
  for (std::size_t u = 1; u < plan.groups.size(); ++u)
    plan.node_base[u + 1] = plan.node_base[u] + plan.groups[u].levels;
  plan.level_rows.push_back(sort_rows(data.factors[static_cast<std::size_t>(plan.groups[0].factor)], data.n));
  out.leaves = find_leaves(data, plan);
  TrailingChoice chosen = choose_trailing(data, plan, out.leaves, later_nodes(data, plan, 0), is_rival);
  plan.considered.push_back(chosen.choice);
  if (!chosen.trailing.is_dense()) sort_by_first_rank(chosen);
  place_leading(plan, chosen);
  place_trailing(plan, chosen);
  return out;
}

// Each group that might lead has its plan outlined; the cheapest stays.
Outline cheapest_outline(const ModelData& data, const std::vector<Group>& groups) {
  Outline best = outline(data, groups, false);
  std::vector<LeadChoice> others;
  const auto size = [&](std::size_t g) { return static_cast<double>(groups[g].levels * groups[g].effects); };
  for (std::size_t g = 1; g < groups.size() && size(g) >= worth_a_look * size(0); ++g) {
    std::vector<Group> order = groups;
    std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(g),
                order.begin() + static_cast<std::ptrdiff_t>(g) + 1);
    Outline other = outline(data, std::move(order), true);
    if (other.choice().cost() < best.choice().cost()) std::swap(best, other);
    others.push_back(other.choice());
  }
  best.plan.considered.insert(best.plan.considered.end(), others.begin(), others.end());
  return best;
}

}  // namespace

Index EliminationPlan::node_size() const {
  constexpr Index largest_kernel = 4;
  const Index size = has_trailing() ? groups[1].effects : 1;
  const bool is_common =
      std::all_of(groups.begin() + 1, groups.end(), [&](const Group& g) { return g.effects == size; });
  return is_common && size <= largest_kernel ? size : 1;
}

const Pattern& EliminationPlan::pattern_at(Index at) const {
  const auto after = std::upper_bound(patterns.begin(), patterns.end(), at,
                                      [](Index found, const Pattern& pattern) { return found < pattern.first; });
  return *(after - 1);
}

EliminationPlan plan_elimination(const ModelData& data) {
  EliminationPlan plan;
  plan.groups = stacked_groups(data);
  if (!plan.has_trailing()) return plan;
  Outline best = cheapest_outline(data, plan.groups);
  plan = std::move(best.plan);
  const bool strips = plan.considered.front().strips;
  for (std::size_t t = 1; t + (strips ? 0 : 1) < plan.groups.size(); ++t)
    plan.level_rows.push_back(sort_rows(data.factors[static_cast<std::size_t>(plan.groups[t].factor)], data.n));
  if (strips) place_leaves(data, best.leaves, plan);
  plan.later.resize(1);
  for (std::size_t t = 1; t + 1 < plan.groups.size(); ++t) plan.later.push_back(later_ranks(data, plan, t));
  return plan;
}

}  // namespace henderson
