#include "core/trailing_choice.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string_view>
#include <unordered_map>

namespace henderson {

namespace {

constexpr Index small_trailing = 48;  // below this a dense trailing block needs no second thought
constexpr Index largest_dense = 30000;
constexpr double dense_gain = 6.0;     // flops of a dense factorisation run this much faster than scattered ones
constexpr double thick = 16;           // neighbours of a node, roughly, with which a sparse factor fills in
constexpr double least_leaves = 0.03;  // of the trailing scalars: with fewer leaves stripping cannot gain a tenth
constexpr double least_gain = 0.9;     // stripping leaves at most this much of the time

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

// A choice without its layout.
TrailingChoice make_candidate(const EliminationPlan& plan, TrailingNodes nodes, const Neighbours& met, bool is_rival) {
  TrailingChoice out;
  out.nodes = std::move(nodes);
  out.leading = renumbered(met, out.nodes.number);
  out.classes = same_neighbours(out.leading);
  LeadChoice& choice = out.choice;
  double pairs = 0;
  for (const auto& members : out.classes) {
    const auto level = static_cast<std::size_t>(members.front());
    const auto count = static_cast<double>(out.leading.start[level + 1] - out.leading.start[level]);
    double rows = 0;
    for (Index k = out.leading.start[level]; k < out.leading.start[level + 1]; ++k)
      rows +=
          static_cast<double>(out.nodes.sizes[static_cast<std::size_t>(out.leading.node[static_cast<std::size_t>(k)])]);
    pairs += count * count;
    choice.update_flops +=
        rows * rows * static_cast<double>(static_cast<Index>(members.size()) * plan.groups[0].effects);
  }
  choice.factor = plan.groups[0].factor;
  choice.trailing_size = std::accumulate(out.nodes.sizes.begin(), out.nodes.sizes.end(), Index{0});
  const auto q = static_cast<double>(choice.trailing_size);
  const auto count = static_cast<double>(out.nodes.sizes.size());
  choice.dense_flops = q * (q + 1) * (2 * q + 1) / 6;  // sum of k^2
  choice.is_small = choice.trailing_size <= small_trailing;
  choice.is_filled =
      is_rival ? pairs >= thick * count : 2 * pairs >= count * count && choice.trailing_size < largest_dense;
  return out;
}

// Dense or sparse: both are predicted unless one is out of the question.
void choose_layout(TrailingChoice& c) {
  if (!c.choice.is_small && !c.choice.is_filled) {
    c.trailing = sparse_layout(trailing_graph(c.nodes.sizes.size(), c.leading, c.classes), c.nodes.sizes);
    c.choice.sparse_flops = c.trailing.flops;
    c.choice.is_dense = c.choice.dense_flops < dense_gain * c.trailing.flops && c.choice.trailing_size < largest_dense;
    if (!c.choice.is_dense) return;
  }
  c.trailing = dense_layout(c.nodes.sizes, by_frequency(c.nodes, c.leading));
}

// What the leaves cost among the trailing nodes: in the sparse factor they come first, each with the rows of its host.
double cost_of_leaves(const EliminationPlan& plan, const TrailingChoice& plain, const LeafChoice& leaves) {
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

// Of a dense trailing block, whether or not it is chosen.
double dense_cost(const LeadChoice& choice) { return choice.update_flops + choice.dense_flops / dense_gain; }

}  // namespace

double LeadChoice::flops() const { return leaf_flops + update_flops + (is_dense ? dense_flops : sparse_flops); }

double LeadChoice::cost() const {
  if (is_dense && trailing_size >= largest_dense) return std::numeric_limits<double>::infinity();
  return leaf_flops + update_flops + (is_dense ? dense_flops / dense_gain : sparse_flops);
}

// Leaves make no fill, stripped or not, so that stripping saves their own cost and what they add to a dense block.
// Where the other nodes fill theirs, any layout of all of them costs more, and no sparse one is looked for: finding it
// takes longer than an evaluation.
TrailingChoice choose_trailing(const ModelData& data, const EliminationPlan& plan, const LeafChoice& leaves,
                               const Neighbours& met, bool is_rival) {
  TrailingChoice plain = make_candidate(plan, number_nodes(plan, nullptr), met, is_rival);
  const double share = static_cast<double>(leaves.effects) / static_cast<double>(plain.choice.trailing_size);
  const bool is_forced = data.stripping == Stripping::always && share > 0 && share < 1;
  const auto keep = [&] {
    plain.choice.unstripped_flops = plain.choice.flops();
    plain.choice.is_unstripped_dense = plain.choice.is_dense;
    return std::move(plain);
  };
  if (!is_forced && (data.stripping != Stripping::where_it_pays || share < least_leaves || share == 1)) {
    choose_layout(plain);
    return keep();
  }
  TrailingChoice stripped = make_candidate(plan, number_nodes(plan, &leaves), met, is_rival);
  stripped.choice.leaf_flops = leaves.flops;
  stripped.choice.strips = true;
  stripped.choice.is_unstripped_dense = true;
  stripped.choice.unstripped_flops = plain.choice.update_flops + plain.choice.dense_flops;
  const bool is_clear =
      stripped.choice.is_filled && leaves.flops + dense_cost(stripped.choice) < least_gain * dense_cost(plain.choice);
  if (is_forced || is_clear) {
    choose_layout(stripped);
    return stripped;
  }
  choose_layout(plain);
  const double cost = plain.choice.cost();
  const double of_leaves = plain.choice.is_dense ? cost
                                                 : plain.choice.update_flops - stripped.choice.update_flops +
                                                       cost_of_leaves(plan, plain, leaves);
  if (of_leaves - leaves.flops < (1 - least_gain) * cost) return keep();
  choose_layout(stripped);
  if (stripped.choice.cost() >= least_gain * cost) return keep();
  stripped.choice.unstripped_flops = plain.choice.flops();
  stripped.choice.is_unstripped_dense = plain.choice.is_dense;
  return stripped;
}

}  // namespace henderson
