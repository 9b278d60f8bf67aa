// The plain dense linear algebra that the tests compare with, and random numbers with fixed seeds.
#pragma once

#include <cstdint>

#include "core/types.hpp"

namespace henderson::testing {

class Draws {
 public:
  explicit Draws(std::uint64_t seed) : state_(seed * 0x9E3779B97F4A7C15u + 1) {}

  double uniform();  // in (0, 1)
  double normal();
  Index below(Index bound);  // 0 .. bound - 1
  Matrix matrix(Index rows, Index cols);
  Matrix positive_definite(Index size);
  Matrix orthogonal(Index size);

 private:
  std::uint64_t state_;
};

[[nodiscard]] Matrix lower_of(const Matrix& a);          // the lower triangle, zeros above
[[nodiscard]] Matrix symmetric_of(const Matrix& lower);  // both triangles from the lower one
[[nodiscard]] Matrix cholesky_of(const Matrix& a);       // L with L L' = a
[[nodiscard]] Matrix inverse_of(const Matrix& a);        // of a positive definite matrix
[[nodiscard]] Matrix general_inverse_of(const Matrix& a);
[[nodiscard]] double log_det_of(const Matrix& a);      // of a positive definite matrix
[[nodiscard]] Vector eigenvalues_of(const Matrix& a);  // of a symmetric matrix, ascending
[[nodiscard]] Matrix eigenvectors_of(const Matrix& a);

}  // namespace henderson::testing
