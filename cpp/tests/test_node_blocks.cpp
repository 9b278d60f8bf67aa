#include "core/node_blocks.hpp"
#include "tests/check.hpp"
#include "tests/supernodal_helpers.hpp"

namespace henderson::testing {

namespace {

// A trailing block of three factors with 1, 2 and 3 effects, and one that only the leading group has.
struct NodeCase {
  EliminationPlan plan;
  SparseCase matrix;
  std::vector<Matrix> lambda;  // per group
  Matrix lambda_2;             // block diagonal, elimination order
  NodeWork work;
};

NodeCase draw_node_case(const std::vector<Index>& effects, Index levels, bool sparse, Draws& draws) {
  NodeCase out;
  std::vector<Index> sizes, group_of_node;
  out.plan.groups.push_back({0, levels, 1, {0}, {0}});
  out.lambda.emplace_back(Matrix::Ones(1, 1));
  for (std::size_t g = 0; g < effects.size(); ++g) {
    out.plan.groups.push_back({static_cast<Index>(g) + 1, levels, effects[g], {static_cast<Index>(g) + 1}, {0}});
    out.lambda.emplace_back(draws.matrix(effects[g], effects[g]));
    sizes.insert(sizes.end(), static_cast<std::size_t>(levels), effects[g]);
    group_of_node.insert(group_of_node.end(), static_cast<std::size_t>(levels), static_cast<Index>(g) + 1);
  }
  out.matrix = draw_case(draw_graph(static_cast<Index>(sizes.size()), 1.2, draws), sizes, sparse, draws);
  out.plan.trailing = out.matrix.layout;
  out.plan.group_of_rank.resize(sizes.size());
  out.lambda_2 = Matrix::Zero(out.plan.trailing.size, out.plan.trailing.size);
  for (std::size_t node = 0; node < sizes.size(); ++node) {
    const auto rank = static_cast<std::size_t>(out.plan.trailing.rank[node]);
    out.plan.group_of_rank[rank] = static_cast<Code>(group_of_node[node]);
    const Index first = out.plan.trailing.node_offset[rank];
    out.lambda_2.block(first, first, sizes[node], sizes[node]) =
        out.lambda[static_cast<std::size_t>(group_of_node[node])];
  }
  out.work = make_node_work(out.plan, 3);
  mirror_nodes(out.plan, out.work, out.matrix.values.data());
  return out;
}

template <class Body>
void for_each_case(Body&& body) {
  Draws draws(61);
  for (const std::vector<Index>& effects :
       std::vector<std::vector<Index>>{{1}, {2}, {1, 1}, {1, 3}, {2, 1, 3}, {5, 1}, {20}})
    for (const Index levels : {1, 2, 7, 30})
      for (const bool sparse : {true, false}) {
        if (effects[0] == 20 && levels > 7) continue;
        const Scope scope(std::to_string(effects.size()) + " factors, " + std::to_string(levels) +
                          (sparse ? " levels, sparse" : " levels, dense"));
        NodeCase drawn = draw_node_case(effects, levels, sparse, draws);
        body(drawn);
      }
}

}  // namespace

TEST(mirror_nodes_completes_diagonal_blocks) {
  for_each_case([](NodeCase& c) {
    const SupernodalLayout& layout = c.plan.trailing;
    for (std::size_t rank = 0; rank + 1 < layout.node_offset.size(); ++rank)
      for (Index i = layout.node_offset[rank]; i < layout.node_offset[rank + 1]; ++i)
        for (Index j = layout.node_offset[rank]; j < i; ++j) {
          const Supernode& node =
              layout.supernodes[static_cast<std::size_t>(layout.supernode_of[static_cast<std::size_t>(i)])];
          const Index upper = node.values_begin + (i - node.first) * node.stride() + j - node.first;
          CHECK(c.matrix.values[upper] == c.matrix.dense(i, j));
        }
  });
}

TEST(transform_nodes_multiplies_both_sides) {
  for_each_case([](NodeCase& c) {
    const Matrix plain = c.lambda_2 * c.matrix.dense * c.lambda_2.transpose();
    const Matrix transposed = c.lambda_2.transpose() * c.matrix.dense * c.lambda_2;
    Vector to = Vector::Zero(c.plan.trailing.values);
    ThreadPool pool(2);
    transform_nodes(c.plan, c.lambda, Side::plain, c.matrix.values.data(), to.data(), c.work, pool);
    CHECK_CLOSE(symmetric_of(dense_of(c.plan.trailing, to)), plain, 1e-13);
    transform_nodes(c.plan, c.lambda, Side::transposed, c.matrix.values.data(), to.data(), c.work, pool);
    CHECK_CLOSE(symmetric_of(dense_of(c.plan.trailing, to)), transposed, 1e-13);
    to = c.matrix.values;
    transform_nodes(c.plan, c.lambda, Side::plain, to.data(), to.data(), c.work, pool);
    CHECK_CLOSE(symmetric_of(dense_of(c.plan.trailing, to)), plain, 1e-13);
  });
}

TEST(multiply_nodes_multiplies_rows) {
  Draws draws(62);
  for_each_case([&](NodeCase& c) {
    for (const Index columns : {1, 3}) {
      const Matrix x = draws.matrix(c.plan.trailing.size, columns);
      Matrix plain = x, transposed = x;
      multiply_nodes(c.plan, c.lambda, Side::plain, plain, c.work);
      multiply_nodes(c.plan, c.lambda, Side::transposed, transposed, c.work);
      CHECK_CLOSE(plain, Matrix(c.lambda_2 * x), 1e-13);
      CHECK_CLOSE(transposed, Matrix(c.lambda_2.transpose() * x), 1e-13);
    }
  });
}

TEST(sum_diagonal_products_adds_the_diagonal_blocks_of_k_lambda_inverse) {
  Draws draws(63);
  for_each_case([&](NodeCase& c) {
    const SupernodalLayout& layout = c.plan.trailing;
    Vector inverse =
        c.matrix.values + 0.1 * draws.matrix(c.matrix.values.size(), 1);  // any symmetric matrix on the pattern
    mirror_nodes(c.plan, c.work, inverse.data());
    const Matrix product = c.matrix.dense * c.lambda_2 * symmetric_of(dense_of(layout, inverse));
    std::vector<Matrix> expected, sums(c.lambda);
    for (const Matrix& lambda : c.lambda) expected.emplace_back(Matrix::Zero(lambda.rows(), lambda.rows()));
    for (std::size_t rank = 0; rank < c.plan.group_of_rank.size(); ++rank) {
      Matrix& own = expected[static_cast<std::size_t>(c.plan.group_of_rank[rank])];
      own += product.block(layout.node_offset[rank], layout.node_offset[rank], own.rows(), own.rows());
    }
    ThreadPool pool(2);
    sum_diagonal_products(c.plan, c.lambda, c.matrix.values.data(), inverse.data(), sums, c.work, pool);
    for (std::size_t g = 1; g < expected.size(); ++g) CHECK_CLOSE(sums[g], expected[g], 1e-12);
  });
}

TEST(add_identity_and_symmetric_times_equal_dense) {
  Draws draws(64);
  for_each_case([&](NodeCase& c) {
    Vector values = c.matrix.values;
    add_identity(c.plan.trailing, values.data());
    const Matrix expected = c.matrix.dense + Matrix::Identity(c.plan.trailing.size, c.plan.trailing.size);
    CHECK_CLOSE(symmetric_of(dense_of(c.plan.trailing, values)), expected, 1e-15);
    const Matrix x = draws.matrix(c.plan.trailing.size, 3);
    Matrix product = Matrix::Constant(x.rows(), 3, 7.0);
    symmetric_times(c.plan.trailing, values.data(), x, product);
    CHECK_CLOSE(product, Matrix(expected * x), 1e-13);
  });
}

}  // namespace henderson::testing
