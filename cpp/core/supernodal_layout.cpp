// Symbolic part: ordering, elimination tree, row structures, supernodes.
#include <Eigen/OrderingMethods>
#include <Eigen/SparseCore>
#include <algorithm>
#include <numeric>

#include "core/supernodal.hpp"

namespace henderson {

namespace {

using Lists = std::vector<std::vector<Code>>;

std::vector<Code> fill_reducing_order(const NodeGraph& graph) {
  const auto nodes = static_cast<Code>(graph.start.size() - 1);
  Eigen::SparseMatrix<double, Eigen::ColMajor, Code> pattern(nodes, nodes);
  std::vector<Eigen::Triplet<double, Code>> entries;
  entries.reserve(graph.adjacent.size() + static_cast<std::size_t>(nodes));
  for (Code j = 0; j < nodes; ++j) {
    entries.emplace_back(j, j, 1.0);
    for (Index k = graph.start[static_cast<std::size_t>(j)]; k < graph.start[static_cast<std::size_t>(j) + 1]; ++k)
      entries.emplace_back(graph.adjacent[static_cast<std::size_t>(k)], j, 1.0);
  }
  pattern.setFromTriplets(entries.begin(), entries.end());
  Eigen::PermutationMatrix<Eigen::Dynamic, Eigen::Dynamic, Code> order;
  Eigen::AMDOrdering<Code>()(pattern, order);
  return {order.indices().data(), order.indices().data() + nodes};
}

// Neighbours with a smaller rank, per rank.
Lists earlier_neighbours(const NodeGraph& graph, const std::vector<Code>& rank) {
  Lists earlier(rank.size());
  for (std::size_t j = 0; j < rank.size(); ++j)
    for (Index k = graph.start[j]; k < graph.start[j + 1]; ++k) {
      const Code other = rank[static_cast<std::size_t>(graph.adjacent[static_cast<std::size_t>(k)])];
      if (other < rank[j]) earlier[static_cast<std::size_t>(rank[j])].push_back(other);
    }
  return earlier;
}

// Parent of each rank in the elimination tree (Liu 1990), -1 at a root.
std::vector<Code> elimination_tree(const Lists& earlier) {
  std::vector<Code> parent(earlier.size(), -1), ancestor(earlier.size(), -1);
  for (std::size_t j = 0; j < earlier.size(); ++j)
    for (Code i : earlier[j])
      while (i != -1 && i < static_cast<Code>(j)) {
        const Code next = ancestor[static_cast<std::size_t>(i)];
        ancestor[static_cast<std::size_t>(i)] = static_cast<Code>(j);
        if (next == -1) parent[static_cast<std::size_t>(i)] = static_cast<Code>(j);
        i = next;
      }
  return parent;
}

// Ranks renumbered so that every subtree is contiguous.
std::vector<Code> postorder(const std::vector<Code>& parent) {
  const auto count = parent.size();
  std::vector<Code> first_child(count, -1), sibling(count, -1), place(count), stack;
  for (std::size_t j = count; j-- > 0;)
    if (parent[j] != -1) {
      sibling[j] = first_child[static_cast<std::size_t>(parent[j])];
      first_child[static_cast<std::size_t>(parent[j])] = static_cast<Code>(j);
    }
  Code next = 0;
  for (std::size_t root = 0; root < count; ++root) {
    if (parent[root] != -1) continue;
    stack.push_back(static_cast<Code>(root));
    while (!stack.empty()) {
      const auto top = static_cast<std::size_t>(stack.back());
      if (first_child[top] != -1) {
        stack.push_back(first_child[top]);
        first_child[top] = sibling[static_cast<std::size_t>(first_child[top])];
      } else {
        place[top] = next++;
        stack.pop_back();
      }
    }
  }
  return place;
}

// Ranks below the diagonal in each column of the factor: own entries and those of the children.
Lists factor_structure(const Lists& earlier, const std::vector<Code>& parent) {
  Lists below(parent.size());
  for (std::size_t j = 0; j < earlier.size(); ++j)
    for (const Code i : earlier[j]) below[static_cast<std::size_t>(i)].push_back(static_cast<Code>(j));
  std::vector<Code> merged;
  for (std::size_t j = 0; j < below.size(); ++j) {
    auto& own = below[j];
    std::sort(own.begin(), own.end());
    own.erase(std::unique(own.begin(), own.end()), own.end());
    if (parent[j] == -1) continue;
    auto& up = below[static_cast<std::size_t>(parent[j])];
    up.insert(up.end(), own.begin() + 1, own.end());
  }
  return below;
}

struct Sizes {
  std::vector<Index> offset;  // by rank
  [[nodiscard]] Index of(Code rank) const {
    return offset[static_cast<std::size_t>(rank) + 1] - offset[static_cast<std::size_t>(rank)];
  }
  [[nodiscard]] Index total(const std::vector<Code>& ranks) const {
    return std::accumulate(ranks.begin(), ranks.end(), Index{0}, [&](Index sum, Code r) { return sum + of(r); });
  }
};

void append_supernode(SupernodalLayout& layout, Code begin, Code end, const std::vector<Code>& below) {
  const auto at = [&](Code rank) { return layout.node_offset[static_cast<std::size_t>(rank)]; };
  Supernode node;
  node.first = at(begin);
  node.cols = at(end) - at(begin);
  node.rows_begin = static_cast<Index>(layout.rows.size());
  node.values_begin = layout.values;
  node.nodes_begin = static_cast<Index>(layout.panel_nodes.size());
  node.nodes_cols = end - begin;
  node.nodes_count = node.nodes_cols + static_cast<Index>(below.size());
  for (Code rank = begin; rank < end; ++rank) layout.panel_nodes.push_back(rank);
  for (const Code rank : below) {
    layout.panel_nodes.push_back(rank);
    for (Index row = at(rank); row < at(rank + 1); ++row) layout.rows.push_back(static_cast<Code>(row));
  }
  node.rows_count = static_cast<Index>(layout.rows.size()) - node.rows_begin;
  layout.values += node.stride() * node.cols;
  layout.supernode_of.insert(layout.supernode_of.end(), static_cast<std::size_t>(node.cols),
                             static_cast<Code>(layout.supernodes.size()));
  for (Index c = 0; c < node.cols; ++c) layout.flops += static_cast<double>((node.stride() - c) * (node.stride() - c));
  layout.supernodes.push_back(node);
}

void set_offsets(SupernodalLayout& layout, const std::vector<Index>& node_sizes) {
  layout.node_offset.assign(node_sizes.size() + 1, 0);
  for (std::size_t j = 0; j < node_sizes.size(); ++j)
    layout.node_offset[static_cast<std::size_t>(layout.rank[j]) + 1] = node_sizes[j];
  std::partial_sum(layout.node_offset.begin(), layout.node_offset.end(), layout.node_offset.begin());
  layout.size = layout.node_offset.back();
}

}  // namespace

SupernodalLayout dense_layout(const std::vector<Index>& node_sizes) {
  std::vector<Code> rank(node_sizes.size());
  std::iota(rank.begin(), rank.end(), 0);
  return dense_layout(node_sizes, std::move(rank));
}

SupernodalLayout dense_layout(const std::vector<Index>& node_sizes, std::vector<Code> rank) {
  SupernodalLayout layout;
  layout.rank = std::move(rank);
  set_offsets(layout, node_sizes);
  append_supernode(layout, 0, static_cast<Code>(node_sizes.size()), {});
  return layout;
}

SupernodalLayout sparse_layout(const NodeGraph& graph, const std::vector<Index>& node_sizes) {
  SupernodalLayout layout;
  const std::vector<Code> order = fill_reducing_order(graph);
  layout.rank.resize(order.size());
  for (std::size_t k = 0; k < order.size(); ++k) layout.rank[static_cast<std::size_t>(order[k])] = static_cast<Code>(k);
  const std::vector<Code> place = postorder(elimination_tree(earlier_neighbours(graph, layout.rank)));
  for (Code& rank : layout.rank) rank = place[static_cast<std::size_t>(rank)];
  set_offsets(layout, node_sizes);

  const Lists earlier = earlier_neighbours(graph, layout.rank);
  const std::vector<Code> parent = elimination_tree(earlier);
  const Lists below = factor_structure(earlier, parent);
  const Sizes sizes{layout.node_offset};
  const auto count = static_cast<Code>(below.size());
  for (Code begin = 0; begin < count;) {  // a chain of only children joins while it adds few explicit zeros
    Code end = begin + 1;
    Index zeros = 0;
    while (end < count && parent[static_cast<std::size_t>(end) - 1] == end) {
      const Index width =
          layout.node_offset[static_cast<std::size_t>(end)] - layout.node_offset[static_cast<std::size_t>(begin)];
      const Index longer = sizes.total(below[static_cast<std::size_t>(end)]) + sizes.of(end);
      const Index added = (longer - sizes.total(below[static_cast<std::size_t>(end) - 1])) * width;
      if (zeros + added > width * (longer + width) / 8) break;
      zeros += added;
      ++end;
    }
    append_supernode(layout, begin, end, below[static_cast<std::size_t>(end) - 1]);
    begin = end;
  }
  return layout;
}

}  // namespace henderson
