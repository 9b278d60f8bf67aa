#include "core/elimination_plan.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string_view>
#include <unordered_map>

namespace henderson {

namespace {

constexpr Index small_trailing = 48;   // below this a dense trailing block needs no second thought
constexpr double dense_gain = 6.0;     // flops of a dense factorisation run this much faster than scattered ones
constexpr double least_leaves = 0.03;  // of the trailing scalars: with fewer leaves stripping cannot gain a tenth
constexpr double least_gain = 0.9;     // stripping leaves at most this much of the time
constexpr double most_dense = 3e4;     // a dense trailing block is not larger

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

NodeGraph trailing_graph(std::size_t nodes, const Neighbours& leading, const std::vector<std::vector<Code>>& classes) {
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

// The trailing nodes of an elimination, with or without the leaves.
struct TrailingNodes {
  std::vector<Code> number;  // of each trailing level; negative for a leaf
  std::vector<Index> base;   // per group: its first node
  std::vector<Index> sizes;  // scalars of each node
};

TrailingNodes number_nodes(const EliminationPlan& plan, const LeafChoice* leaves) {
  TrailingNodes out;
  out.base.assign(2, 0);
  for (std::size_t g = 1; g < plan.groups.size(); ++g) {
    for (Index node = plan.node_base[g]; node < plan.node_base[g + 1]; ++node) {
      const bool stays = leaves == nullptr || leaves->host[static_cast<std::size_t>(node)] < 0;
      out.number.push_back(stays ? static_cast<Code>(out.sizes.size()) : -1);
      if (stays) out.sizes.push_back(plan.groups[g].effects);
    }
    out.base.push_back(static_cast<Index>(out.sizes.size()));
  }
  return out;
}

// Lists in the numbering of the nodes, the leaves left out.
Neighbours renumbered(const Neighbours& lists, const std::vector<Code>& number) {
  Neighbours out;
  out.start.push_back(0);
  for (std::size_t level = 0; level + 1 < lists.start.size(); ++level) {
    for (Index k = lists.start[level]; k < lists.start[level + 1]; ++k) {
      const Code node = number[static_cast<std::size_t>(lists.node[static_cast<std::size_t>(k)])];
      if (node >= 0) out.node.push_back(node);
    }
    out.start.push_back(static_cast<Index>(out.node.size()));
  }
  return out;
}

// Within each group the nodes that most leading levels meet come first: updates of a dense block stay in its corner.
std::vector<Code> by_frequency(const TrailingNodes& nodes, const Neighbours& leading) {
  std::vector<Index> met(nodes.sizes.size(), 0);
  for (const Code node : leading.node) ++met[static_cast<std::size_t>(node)];
  std::vector<Code> order(met.size()), rank(met.size());
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t u = 1; u + 1 < nodes.base.size(); ++u)
    std::stable_sort(order.begin() + nodes.base[u], order.begin() + nodes.base[u + 1], [&](Code a, Code b) {
      return met[static_cast<std::size_t>(a)] > met[static_cast<std::size_t>(b)];
    });
  for (std::size_t k = 0; k < order.size(); ++k) rank[static_cast<std::size_t>(order[k])] = static_cast<Code>(k);
  return rank;
}

// One way to go about it: which nodes trail, and what an evaluation then costs.
struct Candidate {
  TrailingNodes nodes;
  Neighbours leading;                      // per leading level: the nodes it meets
  std::vector<std::vector<Code>> classes;  // leading levels that meet the same ones
  double update_flops = 0;
  bool is_filled = false;  // by the leading levels: dense without a second thought
  SupernodalLayout trailing;

  [[nodiscard]] double size() const {
    return static_cast<double>(std::accumulate(nodes.sizes.begin(), nodes.sizes.end(), Index{0}));
  }
  [[nodiscard]] double flops() const { return update_flops + trailing.flops; }
  // Time, in flops of scattered access; of the layout, and of a dense one.
  [[nodiscard]] double cost() const { return trailing.is_dense() ? dense_cost() : flops(); }
  [[nodiscard]] double dense_cost() const { return update_flops + size() * size() * size() / (3 * dense_gain); }
};

// A candidate without its layout.
Candidate make_candidate(const EliminationPlan& plan, TrailingNodes nodes, const Neighbours& met) {
  Candidate out;
  out.nodes = std::move(nodes);
  out.leading = renumbered(met, out.nodes.number);
  out.classes = same_neighbours(out.leading);
  double pairs = 0;
  for (const auto& members : out.classes) {
    const auto level = static_cast<std::size_t>(members.front());
    const auto count = static_cast<double>(out.leading.start[level + 1] - out.leading.start[level]);
    double rows = 0;
    for (Index k = out.leading.start[level]; k < out.leading.start[level + 1]; ++k)
      rows +=
          static_cast<double>(out.nodes.sizes[static_cast<std::size_t>(out.leading.node[static_cast<std::size_t>(k)])]);
    pairs += count * count;
    out.update_flops += rows * rows * static_cast<double>(static_cast<Index>(members.size()) * plan.groups[0].effects);
  }
  const auto nodes_count = static_cast<double>(out.nodes.sizes.size());
  out.is_filled = 2 * pairs >= nodes_count * nodes_count && out.size() < most_dense;
  return out;
}

void choose_layout(Candidate& c) {
  const double q = c.size();
  const bool is_small = q <= static_cast<double>(small_trailing);
  if (!is_small && !c.is_filled) {
    c.trailing = sparse_layout(trailing_graph(c.nodes.sizes.size(), c.leading, c.classes), c.nodes.sizes);
    if (q * q * q / 3 >= dense_gain * c.trailing.flops || q >= most_dense) return;
  }
  c.trailing = dense_layout(c.nodes.sizes, by_frequency(c.nodes, c.leading));
}

// What the leaves cost among the trailing nodes: in the sparse factor they come first, each with the rows of its host.
double cost_of_leaves(const EliminationPlan& plan, const Candidate& plain, const LeafChoice& leaves) {
  std::vector<double> met(plain.leading.start.size() - 1, 0.0);
  for (std::size_t level = 0; level < met.size(); ++level)
    for (Index k = plain.leading.start[level]; k < plain.leading.start[level + 1]; ++k)
      met[level] += static_cast<double>(
          plain.nodes.sizes[static_cast<std::size_t>(plain.leading.node[static_cast<std::size_t>(k)])]);
  double out = 0;
  for (std::size_t g = 1; g < plan.groups.size(); ++g)
    for (Index node = plan.node_base[g]; node < plan.node_base[g + 1]; ++node) {
      const Code host = leaves.host[static_cast<std::size_t>(node)];
      if (host >= 0)
        out += static_cast<double>(plan.groups[g].effects) * std::pow(met[static_cast<std::size_t>(host)], 2);
    }
  return out;
}

// The candidate of choice, and what it would cost without stripping.
struct Choice {
  Candidate candidate;
  bool strips = false;
  double unstripped_flops = 0;
  bool is_unstripped_dense = false;
};

// Leaves make no fill, stripped or not, so that stripping saves their own cost and what they add to a dense block.
// Where the other nodes fill theirs, any layout of all of them costs more, and no sparse one is looked for: finding it
// takes longer than an evaluation.
Choice choose(const ModelData& data, const EliminationPlan& plan, const LeafChoice& leaves, const Neighbours& met) {
  Candidate plain = make_candidate(plan, number_nodes(plan, nullptr), met);
  const double q = plain.size(), share = static_cast<double>(leaves.effects) / q;
  const bool is_forced = data.stripping == Stripping::always && share > 0 && share < 1;
  if (!is_forced && (data.stripping != Stripping::where_it_pays || share < least_leaves || share == 1)) {
    choose_layout(plain);
    const double flops = plain.flops();
    const bool is_dense = plain.trailing.is_dense();
    return {std::move(plain), false, flops, is_dense};
  }
  Candidate stripped = make_candidate(plan, number_nodes(plan, &leaves), met);
  const bool is_clear = stripped.is_filled && leaves.flops + stripped.dense_cost() < least_gain * plain.dense_cost();
  if (is_forced || is_clear) {
    choose_layout(stripped);
    return {std::move(stripped), true, plain.update_flops + q * (q + 1) * (2 * q + 1) / 6, true};
  }
  choose_layout(plain);
  const double flops = plain.flops(), cost = plain.cost();
  const bool is_dense = plain.trailing.is_dense();
  const double of_leaves =
      is_dense ? cost : plain.update_flops - stripped.update_flops + cost_of_leaves(plan, plain, leaves);
  if (of_leaves - leaves.flops < (1 - least_gain) * cost) return {std::move(plain), false, flops, is_dense};
  choose_layout(stripped);
  const bool pays = leaves.flops + stripped.cost() < least_gain * cost;
  return {std::move(pays ? stripped : plain), pays, flops, is_dense};
}

void place_leading(EliminationPlan& plan, const Candidate& chosen) {
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
void place_trailing(EliminationPlan& plan, Candidate& chosen) {
  plan.update_flops = chosen.update_flops;
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

  const Neighbours met = later_nodes(data, plan, 0);
  const LeafChoice leaves = find_leaves(data, plan);
  Choice chosen = choose(data, plan, leaves, met);
  plan.unstripped_flops = chosen.unstripped_flops;
  plan.is_unstripped_dense = chosen.is_unstripped_dense;
  place_leading(plan, chosen.candidate);
  place_trailing(plan, chosen.candidate);
  if (chosen.strips) {
    plan.level_rows.push_back(sort_rows(data.factors[static_cast<std::size_t>(plan.groups.back().factor)], data.n));
    plan.leaf_flops = leaves.flops;
    place_leaves(data, leaves, plan);
  }
  plan.later.resize(1);
  for (std::size_t t = 1; t + 1 < plan.groups.size(); ++t) plan.later.push_back(later_ranks(data, plan, t));
  return plan;
}

}  // namespace henderson
