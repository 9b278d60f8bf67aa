#include "tests/supernodal_helpers.hpp"

#include <algorithm>

namespace henderson::testing {

namespace {

Index offset_of(const SupernodalLayout& layout, Index node) {
  return layout.node_offset[static_cast<std::size_t>(layout.rank[static_cast<std::size_t>(node)])];
}

// Calls visit(row, col, place) for every stored entry on or below the diagonal.
template <class Visit>
void for_each_stored(const SupernodalLayout& layout, Visit&& visit) {
  for (const Supernode& node : layout.supernodes)
    for (Index c = 0; c < node.cols; ++c)
      for (Index r = c; r < node.stride(); ++r) {
        const Index row =
            r < node.cols ? node.first + r : layout.rows[static_cast<std::size_t>(node.rows_begin + r - node.cols)];
        visit(row, node.first + c, node.values_begin + c * node.stride() + r);
      }
}

}  // namespace

NodeGraph graph_of_edges(Index nodes, const std::vector<std::pair<Code, Code>>& edges) {
  std::vector<std::vector<Code>> adjacent(static_cast<std::size_t>(nodes));
  for (const auto& [a, b] : edges) {
    if (a == b) continue;
    adjacent[static_cast<std::size_t>(a)].push_back(b);
    adjacent[static_cast<std::size_t>(b)].push_back(a);
  }
  NodeGraph graph;
  graph.start.push_back(0);
  for (auto& own : adjacent) {
    std::sort(own.begin(), own.end());
    own.erase(std::unique(own.begin(), own.end()), own.end());
    graph.adjacent.insert(graph.adjacent.end(), own.begin(), own.end());
    graph.start.push_back(static_cast<Index>(graph.adjacent.size()));
  }
  return graph;
}

NodeGraph draw_graph(Index nodes, double degree, Draws& draws) {
  std::vector<std::pair<Code, Code>> edges;
  for (Index e = 0; e < static_cast<Index>(degree * static_cast<double>(nodes)); ++e)
    edges.emplace_back(static_cast<Code>(draws.below(nodes)), static_cast<Code>(draws.below(nodes)));
  return graph_of_edges(nodes, edges);
}

SparseCase draw_case(const NodeGraph& graph, const std::vector<Index>& sizes, bool sparse, Draws& draws) {
  SparseCase out;
  out.layout = sparse ? sparse_layout(graph, sizes) : dense_layout(sizes);
  out.dense = Matrix::Zero(out.layout.size, out.layout.size);
  for (std::size_t j = 0; j < sizes.size(); ++j) {
    const Index own = offset_of(out.layout, static_cast<Index>(j));
    const Matrix noise = 0.3 * draws.matrix(sizes[j], sizes[j]);
    out.dense.block(own, own, sizes[j], sizes[j]) = noise + noise.transpose();
    for (Index k = graph.start[j]; k < graph.start[j + 1]; ++k) {
      const auto other = static_cast<std::size_t>(graph.adjacent[static_cast<std::size_t>(k)]);
      if (other < j) continue;
      const Index far = offset_of(out.layout, static_cast<Index>(other));
      out.dense.block(far, own, sizes[other], sizes[j]) = draws.matrix(sizes[other], sizes[j]);
      out.dense.block(own, far, sizes[j], sizes[other]) = out.dense.block(far, own, sizes[other], sizes[j]).transpose();
    }
  }
  const Vector dominant = out.dense.cwiseAbs().rowwise().sum();
  out.dense.diagonal() += dominant + Vector::Ones(dominant.size());
  out.values = Vector::Zero(out.layout.values);
  for_each_stored(out.layout, [&](Index row, Index col, Index place) { out.values[place] = out.dense(row, col); });
  return out;
}

Matrix dense_of(const SupernodalLayout& layout, const Vector& values) {
  Matrix out = Matrix::Zero(layout.size, layout.size);
  for_each_stored(layout, [&](Index row, Index col, Index place) { out(row, col) = values[place]; });
  return out;
}

Eigen::Matrix<bool, Eigen::Dynamic, Eigen::Dynamic> stored_entries(const SupernodalLayout& layout) {
  Eigen::Matrix<bool, Eigen::Dynamic, Eigen::Dynamic> out(layout.size, layout.size);
  out.setConstant(false);
  for_each_stored(layout, [&](Index row, Index col, Index) { out(row, col) = true; });
  return out;
}

}  // namespace henderson::testing
