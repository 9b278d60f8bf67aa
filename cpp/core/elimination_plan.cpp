#include "core/elimination_plan.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <string_view>
#include <unordered_map>

namespace henderson {

namespace {

constexpr Index small_trailing = 48;  // below this a dense trailing block needs no second thought
constexpr Index largest_dense = 30000;
constexpr double dense_gain = 6.0;    // flops of a dense factorisation run this much faster than scattered ones
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

// Dense or sparse: both are predicted unless one is out of the question.
SupernodalLayout choose_layout(const EliminationPlan& plan, const Neighbours& leading,
                               const std::vector<std::vector<Code>>& classes, LeadChoice& choice) {
  std::vector<Index> sizes;
  for (std::size_t u = 1; u < plan.groups.size(); ++u)
    sizes.insert(sizes.end(), static_cast<std::size_t>(plan.groups[u].levels), plan.groups[u].effects);
  choice.trailing_size = std::accumulate(sizes.begin(), sizes.end(), Index{0});
  const auto q = static_cast<double>(choice.trailing_size);
  const auto nodes = static_cast<double>(sizes.size());
  double pairs = 0;
  for (const auto& members : classes) {
    const auto level = static_cast<std::size_t>(members.front());
    const auto met = static_cast<double>(leading.start[level + 1] - leading.start[level]);
    pairs += met * met;
  }
  choice.dense_flops = q * (q + 1) * (2 * q + 1) / 6;  // sum of k^2
  choice.is_small = choice.trailing_size <= small_trailing;
  choice.is_filled = 2 * pairs >= nodes * nodes && choice.trailing_size < largest_dense;
  if (choice.is_small || choice.is_filled) return dense_layout(sizes, by_frequency(plan, leading));
  SupernodalLayout sparse = sparse_layout(trailing_graph(plan, leading, classes), sizes);
  choice.sparse_flops = sparse.flops;
  choice.is_dense = choice.dense_flops < dense_gain * sparse.flops && choice.trailing_size < largest_dense;
  return choice.is_dense ? dense_layout(sizes, by_frequency(plan, leading)) : sparse;
}

// Patterns that start at neighbouring columns of a sparse Schur complement lie together: it is passed over once.
void sort_by_first_rank(const EliminationPlan& plan, const Neighbours& leading,
                        std::vector<std::vector<Code>>& classes) {
  std::vector<std::pair<Code, std::vector<Code>>> keyed;
  keyed.reserve(classes.size());
  for (auto& members : classes) {
    const auto level = static_cast<std::size_t>(members.front());
    Code first = std::numeric_limits<Code>::max();
    for (Index k = leading.start[level]; k < leading.start[level + 1]; ++k)
      first = std::min(first, plan.trailing.rank[static_cast<std::size_t>(leading.node[static_cast<std::size_t>(k)])]);
    keyed.emplace_back(first, std::move(members));
  }
  std::stable_sort(keyed.begin(), keyed.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  for (std::size_t c = 0; c < classes.size(); ++c) classes[c] = std::move(keyed[c].second);
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

void number_nodes(EliminationPlan& plan) {
  plan.node_base.assign(plan.groups.size() + 1, 0);
  for (std::size_t u = 1; u < plan.groups.size(); ++u)
    plan.node_base[u + 1] = plan.node_base[u] + plan.groups[u].levels;
}

// The plan that eliminates groups[0] first, as far as its cost depends on it.
EliminationPlan outline(const ModelData& data, std::vector<Group> groups) {
  EliminationPlan plan;
  plan.groups = std::move(groups);
  number_nodes(plan);
  plan.level_rows.push_back(sort_rows(data.factors[static_cast<std::size_t>(plan.groups[0].factor)], data.n));
  const Neighbours leading = later_nodes(data, plan, 0);
  auto classes = same_neighbours(leading);
  LeadChoice choice;
  choice.factor = plan.groups[0].factor;
  plan.trailing = choose_layout(plan, leading, classes, choice);
  if (!plan.trailing.is_dense()) sort_by_first_rank(plan, leading, classes);
  place_leading(plan, leading, classes);
  choice.update_flops = plan.update_flops;
  plan.considered.push_back(choice);
  return plan;
}

// Each group that might lead has its plan outlined; the cheapest stays.
EliminationPlan cheapest_outline(const ModelData& data, const std::vector<Group>& groups) {
  EliminationPlan best = outline(data, groups);
  std::vector<LeadChoice> others;
  const auto size = [&](std::size_t g) { return static_cast<double>(groups[g].levels * groups[g].effects); };
  for (std::size_t g = 1; g < groups.size() && size(g) >= worth_a_look * size(0); ++g) {
    std::vector<Group> order = groups;
    std::rotate(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(g),
                order.begin() + static_cast<std::ptrdiff_t>(g) + 1);
    EliminationPlan other = outline(data, std::move(order));
    if (other.considered.front().cost() < best.considered.front().cost()) std::swap(best, other);
    others.push_back(other.considered.front());
  }
  best.considered.insert(best.considered.end(), others.begin(), others.end());
  return best;
}

}  // namespace

double LeadChoice::cost() const {
  return dense_gain * update_flops + (is_dense ? dense_flops : dense_gain * sparse_flops);
}

Index EliminationPlan::node_size() const {
  constexpr Index largest_kernel = 4;
  const Index size = has_trailing() ? groups[1].effects : 1;
  const bool is_common =
      std::all_of(groups.begin() + 1, groups.end(), [&](const Group& g) { return g.effects == size; });
  return is_common && size <= largest_kernel ? size : 1;
}

EliminationPlan plan_elimination(const ModelData& data) {
  EliminationPlan plan;
  plan.groups = stacked_groups(data);
  if (!plan.has_trailing()) return plan;
  plan = cheapest_outline(data, plan.groups);
  for (std::size_t t = 1; t + 1 < plan.groups.size(); ++t)
    plan.level_rows.push_back(sort_rows(data.factors[static_cast<std::size_t>(plan.groups[t].factor)], data.n));
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
