// The vocabulary of the core: dense types, aligned storage and the SIMD lane.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <vector>

namespace henderson {

using Index = Eigen::Index;
using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;
using Code = std::int32_t;

template <class T>
using AlignedVector = std::vector<T, Eigen::aligned_allocator<T>>;

// Eight levels of a grouping factor travel through one instruction stream together.
inline constexpr Index lane_width = 8;
using Lane = Eigen::Array<double, lane_width, 1>;

[[nodiscard]] inline Index lane_batches(Index levels) { return (levels + lane_width - 1) / lane_width; }

// Number of entries of the lower triangle of an s x s matrix, and the place of (row >= col) in it, column by column.
[[nodiscard]] constexpr Index triangle_size(Index s) { return s * (s + 1) / 2; }
[[nodiscard]] constexpr Index triangle_index(Index row, Index col, Index s) {
  return row >= col ? col * s - col * (col - 1) / 2 + row - col : row * s - row * (row - 1) / 2 + col - row;
}

}  // namespace henderson
