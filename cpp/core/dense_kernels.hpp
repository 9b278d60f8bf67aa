// Dense factorisation and inversion, in place on the lower triangle, tiled and threaded.
//
// Tiles have fixed sizes, so the arithmetic, and every bit of the result, is the same for any number of threads.
#pragma once

#include "core/thread_pool.hpp"
#include "core/types.hpp"

namespace henderson {

using Block = Eigen::Ref<Matrix, 0, Eigen::OuterStride<>>;

// a := L with L L' = a; false where a is not positive definite (or not finite).
[[nodiscard]] bool cholesky_in_place(Block a, ThreadPool& pool);
// x := x L^-T (rows of x in parallel)
void solve_right_transposed(const Block& l, Block x, ThreadPool& pool);
// c := c - y y', lower triangle
void subtract_outer(const Block& y, Block c, ThreadPool& pool);
// l := (L L')^-1, lower triangle
void invert_from_cholesky(Block l, ThreadPool& pool);

}  // namespace henderson
