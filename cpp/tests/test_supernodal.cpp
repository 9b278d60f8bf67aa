#include <algorithm>

#include "tests/check.hpp"
#include "tests/supernodal_helpers.hpp"

namespace henderson::testing {

namespace {

// Calls body(case) for random graphs of all sparsities and node sizes, in sparse and in dense layout.
template <class Body>
void for_each_case(Body&& body) {
  Draws draws(11);
  for (const Index nodes : {1, 2, 3, 4, 5, 6, 7, 8, 9, 40, 150})
    for (const double degree : {0.0, 0.7, 1.5, 3.0})
      for (const Index largest : {1, 3}) {
        std::vector<Index> sizes;
        for (Index j = 0; j < nodes; ++j) sizes.push_back(1 + draws.below(largest));
        const NodeGraph graph = draw_graph(nodes, degree, draws);
        for (const bool sparse : {true, false}) {
          const Scope scope(std::to_string(nodes) + " nodes, degree " + std::to_string(degree) +
                            (sparse ? ", sparse" : ", dense"));
          body(draw_case(graph, sizes, sparse, draws));
        }
      }
}

Vector factor_of(const SparseCase& c, int threads = 1) {
  ThreadPool pool(threads);
  SupernodalWork work = make_work(c.layout);
  Vector values = c.values;
  CHECK(factor_in_place(c.layout, values.data(), work, pool));
  return values;
}

// Ascending indices that share a clique with `first`: the stored rows of its column.
std::vector<Code> rows_below(const SupernodalLayout& layout, Index first) {
  const auto stored = stored_entries(layout);
  std::vector<Code> rows;
  for (Index i = first; i < layout.size; ++i)
    if (stored(i, first)) rows.push_back(static_cast<Code>(i));
  return rows;
}

}  // namespace

TEST(supernodal_layout_is_consistent) {
  for_each_case([](const SparseCase& c) {
    const SupernodalLayout& layout = c.layout;
    std::vector<Code> rank = layout.rank;
    std::sort(rank.begin(), rank.end());
    for (std::size_t j = 0; j < rank.size(); ++j) CHECK(rank[j] == static_cast<Code>(j));
    CHECK(layout.node_offset.back() == layout.size);
    CHECK(layout.supernode_of.size() == static_cast<std::size_t>(layout.size));
    Index next = 0;
    for (const Supernode& node : layout.supernodes) {
      CHECK(node.first == next);
      next += node.cols;
      const auto begin = layout.rows.begin() + node.rows_begin;
      CHECK(std::is_sorted(begin, begin + node.rows_count));
      CHECK(node.rows_count == 0 || *begin >= next);
    }
    CHECK(next == layout.size);
    CHECK_CLOSE(symmetric_of(dense_of(layout, c.values)), c.dense, 0.0);
  });
}

TEST(supernodal_entry_place_finds_every_stored_entry) {
  for_each_case([](const SparseCase& c) {
    const auto stored = stored_entries(c.layout);
    for (Index col = 0; col < c.layout.size; ++col)
      for (Index row = col; row < c.layout.size; ++row)
        if (stored(row, col)) CHECK(c.values[entry_place(c.layout, row, col)] == c.dense(row, col));
  });
}

TEST(supernodal_factor_log_det_and_solves_equal_eigen) {
  for_each_case([](const SparseCase& c) {
    Draws draws(12);
    const Vector factor = factor_of(c);
    const Matrix l = cholesky_of(c.dense);
    CHECK_CLOSE(lower_of(dense_of(c.layout, factor)), l, 1e-12);
    CHECK_CLOSE(log_det_of_factor(c.layout, factor.data()), log_det_of(c.dense), 1e-12);
    for (const Index columns : {1, 4}) {
      const Matrix x = draws.matrix(c.layout.size, columns);
      Matrix solved = x;
      solve_lower(c.layout, factor.data(), solved);
      CHECK_CLOSE(l * solved, x, 1e-12);
      solve_upper(c.layout, factor.data(), solved);
      CHECK_CLOSE(c.dense * solved, x, 1e-11);
    }
  });
}

TEST(supernodal_inverse_equals_eigen_on_the_pattern) {
  for_each_case([](const SparseCase& c) {
    Vector values = factor_of(c);
    ThreadPool pool(1);
    SupernodalWork work = make_work(c.layout);
    invert_in_place(c.layout, values.data(), work, pool);
    const auto stored = stored_entries(c.layout);
    const Matrix expected = stored.select(inverse_of(c.dense), Matrix::Zero(c.layout.size, c.layout.size));
    CHECK_CLOSE(dense_of(c.layout, values), expected, 1e-11);
  });
}

TEST(supernodal_gather_and_subtract_are_each_others_mirror) {
  for_each_case([](const SparseCase& c) {
    Draws draws(13);
    for (Index first = 0; first < c.layout.size; first += 1 + c.layout.size / 7) {
      std::vector<Code> rows;
      for (const Code row : rows_below(c.layout, first))
        if (draws.uniform() < 0.7) rows.push_back(row);
      if (rows.empty()) continue;
      const auto count = static_cast<Index>(rows.size());
      std::vector<Index> places(rows.size());
      Matrix gathered = Matrix::Constant(count, count, 7.0);
      gather_at(c.layout, rows, c.values.data(), gathered, places);
      CHECK_CLOSE(gathered, c.dense(rows, rows), 0.0);
      const Matrix update = draws.matrix(count, count);
      Vector values = c.values;
      subtract_at(c.layout, rows, update, values.data(), places);
      Matrix expected = c.dense;
      expected(rows, rows) -= symmetric_of(update);
      CHECK_CLOSE(symmetric_of(dense_of(c.layout, values)), expected, 1e-15);
    }
  });
}

TEST(supernodal_factor_refuses_what_is_not_positive_definite) {
  for_each_case([](const SparseCase& c) {
    ThreadPool pool(1);
    SupernodalWork work = make_work(c.layout);
    for (const Index bad : {Index{0}, c.layout.size / 2, c.layout.size - 1})
      for (const double pivot : {-1.0, 0.0, std::nan("")}) {
        Vector values = c.values;
        values[entry_place(c.layout, bad, bad)] = pivot;
        CHECK(!factor_in_place(c.layout, values.data(), work, pool));
      }
  });
}

TEST(supernodal_results_have_the_same_bits_for_any_number_of_threads) {
  Draws draws(14);
  const std::vector<Index> sizes(200, 2);
  for (const bool sparse : {true, false}) {
    const SparseCase c = draw_case(draw_graph(200, 1.5, draws), sizes, sparse, draws);
    std::vector<Vector> results;
    for (const int threads : {1, 2, 3}) {
      ThreadPool pool(threads);
      SupernodalWork work = make_work(c.layout);
      Vector values = factor_of(c, threads);
      invert_in_place(c.layout, values.data(), work, pool);
      results.push_back(values);
      CHECK((results.front().array() == results.back().array()).all());
    }
  }
}

TEST(sparse_layout_has_no_fill_on_a_tree) {
  std::vector<std::pair<Code, Code>> edges;
  for (Code j = 1; j < 300; ++j) edges.emplace_back(j, (j - 1) / 3);
  const SupernodalLayout layout = sparse_layout(graph_of_edges(300, edges), std::vector<Index>(300, 1));
  CHECK(layout.values <= 2 * 300 + 300 / 2);
  CHECK(!layout.is_dense());
}

}  // namespace henderson::testing
