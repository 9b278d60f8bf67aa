// Dense factorisation and inversion, in place on the lower triangle, tiled and threaded.
//
// Tiles have fixed sizes, so the arithmetic, and every bit of the result, is the same for any number of threads.
#pragma once

#include "core/thread_pool.hpp"
#include "core/types.hpp"

namespace henderson {

using Block = Eigen::Ref<Matrix, 0, Eigen::OuterStride<>>;
using ConstBlock = Eigen::Ref<const Matrix, 0, Eigen::OuterStride<>>;

// Width of a tile of an (n, n) matrix: narrower where the work inside the diagonal tiles counts.
[[nodiscard]] constexpr Index dense_tile(Index n) { return n < 1500 ? 64 : 128; }

// a := L with L L' = a; false where a is not positive definite (or not finite).
[[nodiscard]] bool cholesky_in_place(Block a, ThreadPool& pool);
// x := x L^-T (rows of x in parallel)
void solve_right_transposed(const ConstBlock& l, Block x, ThreadPool& pool);
// x := x L^-1 (rows of x in parallel)
void solve_right(const ConstBlock& l, Block x, ThreadPool& pool);
// c := c + y y' or c - y y', on and below the diagonal; c may have fewer columns than y has rows, the first ones
void add_outer(const ConstBlock& y, Block c, ThreadPool& pool);
void subtract_outer(const ConstBlock& y, Block c, ThreadPool& pool);

struct DenseWork {
  Matrix square;  // (tile, tile)
  Matrix strip;   // (n, tile)
  Matrix across;  // (tile, n)
};

void reserve(Index n, DenseWork& work);
// l := (L L')^-1, lower triangle
void invert_from_cholesky(Block l, DenseWork& work, ThreadPool& pool);

}  // namespace henderson
