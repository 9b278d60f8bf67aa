#include "core/elimination_plan.hpp"

#include <algorithm>
#include <numeric>
#include <string_view>
#include <unordered_map>

namespace henderson {

namespace {

constexpr Index small_trailing = 48;  // below this a dense trailing block needs no second thought
constexpr double dense_gain = 6.0;    // flops of a dense factorisation run this much faster than scattered ones

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

std::string_view bytes_of(const Neighbours& lists, std::size_t level) {
  return {reinterpret_cast<const char*>(lists.node.data() + lists.start[level]),
          static_cast<std::size_t>(lists.start[level + 1] - lists.start[level]) * sizeof(Code)};
}

// Levels with the same neighbours, as lists of levels in order of first appearance.
std::vector<std::vector<Code>> same_neighbours(const Neighbours& lists) {
  std::vector<std::vector<Code>> classes;
  std::unordered_map<std::string_view, std::size_t> known;
  known.reserve(lists.start.size());
  for (std::size_t level = 0; level + 1 < lists.start.size(); ++level) {
    const auto [found, is_new] = known.try_emplace(bytes_of(lists, level), classes.size());
    if (is_new) classes.emplace_back();
    classes[found->second].push_back(static_cast<Code>(level));
  }
  return classes;
}

NodeGraph trailing_graph(const EliminationPlan& plan, const Neighbours& leading,
                         const std::vector<std::vector<Code>>& classes) {
  const auto nodes = static_cast<std::size_t>(plan.node_base.back());
  std::vector<std::vector<Code>> adjacent(nodes);
  const auto join = [&](Code a, Code b) {
    adjacent[static_cast<std::size_t>(a)].push_back(b);
    adjacent[static_cast<std::size_t>(b)].push_back(a);
  };
  for (const auto& members : classes) {
    const auto level = static_cast<std::size_t>(members.front());
    for (Index i = leading.start[level]; i < leading.start[level + 1]; ++i)
      for (Index j = leading.start[level]; j < i; ++j)
        join(leading.node[static_cast<std::size_t>(i)], leading.node[static_cast<std::size_t>(j)]);
  }
  NodeGraph graph;  // trailing factors meet within rows, hence within a leading level: its clique holds their edges too
  graph.start.assign(nodes + 1, 0);
  for (std::size_t j = 0; j < nodes; ++j) {
    auto& own = adjacent[j];
    std::sort(own.begin(), own.end());
    own.erase(std::unique(own.begin(), own.end()), own.end());
    graph.adjacent.insert(graph.adjacent.end(), own.begin(), own.end());
    graph.start[j + 1] = static_cast<Index>(graph.adjacent.size());
    std::vector<Code>().swap(own);
  }
  return graph;
}

// Within each group the nodes that most leading levels meet come first: updates of a dense block stay in its corner.
std::vector<Code> by_frequency(const EliminationPlan& plan, const Neighbours& leading) {
  std::vector<Index> met(static_cast<std::size_t>(plan.node_base.back()), 0);
  for (const Code node : leading.node) ++met[static_cast<std::size_t>(node)];
  std::vector<Code> order(met.size()), rank(met.size());
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t u = 1; u < plan.groups.size(); ++u)
    std::stable_sort(order.begin() + plan.node_base[u], order.begin() + plan.node_base[u + 1], [&](Code a, Code b) {
      return met[static_cast<std::size_t>(a)] > met[static_cast<std::size_t>(b)];
    });
  for (std::size_t k = 0; k < order.size(); ++k) rank[static_cast<std::size_t>(order[k])] = static_cast<Code>(k);
  return rank;
}

SupernodalLayout choose_layout(const EliminationPlan& plan, const Neighbours& leading,
                               const std::vector<std::vector<Code>>& classes) {
  std::vector<Index> sizes;
  for (std::size_t u = 1; u < plan.groups.size(); ++u)
    sizes.insert(sizes.end(), static_cast<std::size_t>(plan.groups[u].levels), plan.groups[u].effects);
  const auto q = static_cast<double>(std::accumulate(sizes.begin(), sizes.end(), Index{0}));
  const auto nodes = static_cast<double>(sizes.size());
  double pairs = 0;
  for (const auto& members : classes) {
    const auto level = static_cast<std::size_t>(members.front());
    const auto met = static_cast<double>(leading.start[level + 1] - leading.start[level]);
    pairs += met * met;
  }
  const bool is_small = q <= static_cast<double>(small_trailing);
  const bool cliques_fill_it = 2 * pairs >= nodes * nodes && q < 3e4;
  if (is_small || cliques_fill_it) return dense_layout(sizes, by_frequency(plan, leading));
  SupernodalLayout sparse = sparse_layout(trailing_graph(plan, leading, classes), sizes);
  const bool dense_is_cheaper = q * q * q / 3 < dense_gain * sparse.flops && q < 3e4;
  return dense_is_cheaper ? dense_layout(sizes, by_frequency(plan, leading)) : sparse;
}

void place_leading(EliminationPlan& plan, const Neighbours& leading, const std::vector<std::vector<Code>>& classes) {
  const Index effects = plan.groups.front().effects;
  plan.position.resize(static_cast<std::size_t>(plan.groups.front().levels));
  std::vector<Code> ranks;
  Index next = 0;
  for (const auto& members : classes) {
    Pattern pattern;
    pattern.first = next;
    pattern.count = static_cast<Index>(members.size());
    pattern.rows_begin = static_cast<Index>(plan.pattern_rows.size());
    pattern.values_begin = plan.coupling_values;
    for (const Code level : members) plan.position[static_cast<std::size_t>(level)] = static_cast<Code>(next++);
    const auto level = static_cast<std::size_t>(members.front());
    ranks.clear();
    for (Index k = leading.start[level]; k < leading.start[level + 1]; ++k)
      ranks.push_back(plan.trailing.rank[static_cast<std::size_t>(leading.node[static_cast<std::size_t>(k)])]);
    std::sort(ranks.begin(), ranks.end());
    for (const Code rank : ranks)
      for (Index row = plan.trailing.node_offset[static_cast<std::size_t>(rank)];
           row < plan.trailing.node_offset[static_cast<std::size_t>(rank) + 1]; ++row)
        plan.pattern_rows.push_back(static_cast<Code>(row));
    pattern.rows_count = static_cast<Index>(plan.pattern_rows.size()) - pattern.rows_begin;
    plan.coupling_values += pattern.rows_count * pattern.count * effects;
    plan.update_flops += static_cast<double>(pattern.rows_count * pattern.rows_count * pattern.count * effects);
    plan.patterns.push_back(pattern);
  }
}

}  // namespace

EliminationPlan plan_elimination(const ModelData& data) {
  EliminationPlan plan;
  plan.groups = stacked_groups(data);
  if (!plan.has_trailing()) return plan;
  plan.node_base.assign(plan.groups.size() + 1, 0);
  for (std::size_t u = 1; u < plan.groups.size(); ++u)
    plan.node_base[u + 1] = plan.node_base[u] + plan.groups[u].levels;
  for (std::size_t t = 0; t + 1 < plan.groups.size(); ++t)
    plan.level_rows.push_back(sort_rows(data.factors[static_cast<std::size_t>(plan.groups[t].factor)], data.n));

  const Neighbours leading = later_nodes(data, plan, 0);
  const auto classes = same_neighbours(leading);
  plan.trailing = choose_layout(plan, leading, classes);
  place_leading(plan, leading, classes);

  plan.group_of_rank.resize(plan.trailing.rank.size());
  for (std::size_t u = 1; u < plan.groups.size(); ++u)
    for (Code level = 0; level < static_cast<Code>(plan.groups[u].levels); ++level)
      plan.group_of_rank[static_cast<std::size_t>(plan.rank_of(u, level))] = static_cast<Code>(u);
  plan.later.resize(1);
  for (std::size_t t = 1; t + 1 < plan.groups.size(); ++t) {
    plan.later.push_back(later_nodes(data, plan, t));
    for (Code& node : plan.later.back().node) node = plan.trailing.rank[static_cast<std::size_t>(node)];
  }
  return plan;
}

}  // namespace henderson
