// Relative factors in the optimiser's form: lam_t = U D, columns orthogonal, so that rotations from the right are used
// up.
//
// Directions orthogonal to those rotations form an orthonormal basis of s(s+1)/2 square matrices per term:
//   U E_ii,    U (d_j E_ij + d_i E_ji) / rho,   rho^2 = d_i^2 + d_j^2      with  dPsi = U rho (E_ij + E_ji) U'
// No entry is bounded: a zero variance is an interior point.
#pragma once

#include <vector>

#include "core/profiled_deviance.hpp"

namespace henderson {

struct SpectralTerm {
  Matrix u;  // (s, s) orthogonal
  Vector d;  // (s) singular values, at least smallest_singular
};

using SpectralFactor = std::vector<SpectralTerm>;

// lam is never exactly singular on the way to an optimum: C = (C lam) lam^-1 keeps half its digits at this value, and
// the criterion moves by less than its rounding error.
inline constexpr double smallest_singular = 1e-8;
// Singular values below it end as zero.
inline constexpr double negligible_singular = 1e-5;

[[nodiscard]] SpectralFactor decompose(const RelativeFactor& factor);
[[nodiscard]] RelativeFactor compose(const SpectralFactor& point);
[[nodiscard]] RelativeFactor compose_without_negligible(const SpectralFactor& point);
// Frobenius norm of lam.
[[nodiscard]] double norm(const SpectralFactor& point);
// Frobenius distance between relative factors, rotations aside (orthogonal Procrustes).
[[nodiscard]] double distance(const SpectralFactor& a, const SpectralFactor& b);

// One direction of the basis, in the frame of its term: entries (i, j) and (j, i), i >= j.
struct Direction {
  std::size_t term = 0;
  Index i = 0, j = 0;
  double upper = 0, lower = 0;  // entry (i, j), entry (j, i); on the diagonal `upper` alone
  double rho = 0;               // dPsi = rho (E_ij + E_ji), or 2 rho E_ii
};

[[nodiscard]] std::vector<Direction> tangent_basis(const SpectralFactor& point);
[[nodiscard]] SpectralFactor moved(const SpectralFactor& point, const std::vector<Direction>& basis,
                                   const Vector& step);

// Entries of symmetric matrices (column-major lower triangles, term after term): the order of the average information.
[[nodiscard]] Vector symmetric_entries(const std::vector<Matrix>& symmetric);
// U f(d) U' by entries, for f(d) = sqrt(d^2 + shift_t) where shifts are given, d^2 otherwise.
[[nodiscard]] Vector covariance_entries(const SpectralFactor& point);
[[nodiscard]] Vector root_entries(const SpectralFactor& point, const std::vector<double>& shift);
// Derivatives by entries of Psi: those off the diagonal stand for two.
[[nodiscard]] Vector slope_entries(const std::vector<Matrix>& g);

// The criterion to second order in the tangent basis.
struct QuadraticModel {
  Vector gradient;
  Matrix hessian;
};

// H = J'F J + 2 <E, G E'>: average information and the exact curvature of lam -> lam lam'.
[[nodiscard]] QuadraticModel quadratic_model(const SpectralFactor& point, const std::vector<Direction>& basis,
                                             const Derivatives& at);

}  // namespace henderson
