// Random sparse positive definite matrices in supernodal storage, beside the same matrices dense.
#pragma once

#include "core/supernodal.hpp"
#include "tests/dense_algebra.hpp"

namespace henderson::testing {

struct SparseCase {
  SupernodalLayout layout;
  Matrix dense;   // in elimination order
  Vector values;  // its lower triangle, supernodal
};

// A random graph with about `degree` edges a node; nodes of the given sizes.
[[nodiscard]] NodeGraph draw_graph(Index nodes, double degree, Draws& draws);
[[nodiscard]] NodeGraph graph_of_edges(Index nodes, const std::vector<std::pair<Code, Code>>& edges);
// Entries on the graph's pattern, diagonally dominant; dense storage of the same pattern where not sparse.
[[nodiscard]] SparseCase draw_case(const NodeGraph& graph, const std::vector<Index>& sizes, bool sparse, Draws& draws);

// The stored lower triangle as a dense matrix, zeros elsewhere.
[[nodiscard]] Matrix dense_of(const SupernodalLayout& layout, const Vector& values);
// True at the entries (lower triangle) that the layout stores.
[[nodiscard]] Eigen::Matrix<bool, Eigen::Dynamic, Eigen::Dynamic> stored_entries(const SupernodalLayout& layout);

}  // namespace henderson::testing
