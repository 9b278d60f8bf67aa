// A of a design as one dense matrix, in the order of its own blocks: leading positions, trailing scalars, stripped
// leaves, [Q r].
#pragma once

#include "tests/designs.hpp"

namespace henderson::testing {

[[nodiscard]] Index leading_size(const CrossProducts& a);
[[nodiscard]] Index leaf_size(const CrossProducts& a);
// First scalar of a stripped leaf in that order.
[[nodiscard]] Index leaf_scalar(const CrossProducts& a, std::size_t group, Index leaf);
// (q + p + 1) square, from the stored blocks.
[[nodiscard]] Matrix assembled(const CrossProducts& a);
// The same from the rows: [Z~ Q r]'W[Z~ Q r].
[[nodiscard]] Matrix from_rows(const CrossProducts& a, const Design& design);
// Lam (q, q) in that order.
[[nodiscard]] Matrix assembled_lambda(const CrossProducts& a, const RelativeFactor& factor);
// The same cross-products with a dense trailing block in natural order.
[[nodiscard]] CrossProducts with_dense_trailing(const CrossProducts& a);

}  // namespace henderson::testing
