// The leading grouping factor: many small independent s x s systems, eight levels to an instruction.
//
// Per level, with A = Z_j'WZ_j, lam the relative factor and v the right-hand sides of that level:
//   lam'A lam + I = l l'      H = l^-1 lam'      W = H'H = lam (l l')^-1 lam'
//   value:        sum of log|l|^2,  corner -= (H v)'(H v)
//   derivatives:  N = I - A W,   F = N v = Z_j'V^-1[X y]   (v less what the trailing block explains)
//                 C = N A - N G N' = [Z'V^-1 Z]_jj,   C lam = (A - N G) lam (l l')^-1,   G = a T a'
// where T is the trailing block's share of the inverse and a the level's coupling to it. Both forms are regular at
// singular lam.
#pragma once

#include "core/lane_matrix.hpp"
#include "core/thread_pool.hpp"
#include "core/types.hpp"

namespace henderson {

struct LeadingShape {
  Index levels = 0;
  Index effects = 0;  // s
  Index columns = 0;  // right-hand sides: p + 1, the response last
};

// Levels are shared out in chunks of this many batches: fixed, so that sums do not depend on the number of threads.
inline constexpr Index leading_chunk_batches = 256;

[[nodiscard]] inline Index leading_chunks(const LeadingShape& shape) {
  return (lane_batches(shape.levels) + leading_chunk_batches - 1) / leading_chunk_batches;
}

// All pointers are to lanes: [batch][entry][lane_width].
// What one chunk of levels works with and sums up.
struct LeadingTask {
  LaneScratch scratch;
  Lane log_det;
  AlignedVector<Lane> corner;
  AlignedVector<Lane> c, c_lambda, fixed, outer, information, fixed_outer;
};

struct LeadingFactor {
  AlignedVector<double> h;        // s * s entries, column by column
  AlignedVector<double> inverse;  // l^-1, triangle_size(s) entries
  AlignedVector<LeadingTask> tasks;
};

void reserve(const LeadingShape& shape, LeadingFactor& factor);

// Factors every level at lambda (s, s); subtracts from corner (columns, columns) and returns the sum of log|l|^2.
[[nodiscard]] double eliminate_leading(const LeadingShape& shape, const double* gram, const double* xy,
                                       const Matrix& lambda, LeadingFactor& factor, Matrix& corner, ThreadPool& pool);

struct LeadingInputs {
  const double* gram = nullptr;
  const double* xy = nullptr;
  const double* explained =
      nullptr;  // a times the trailing solution, s * columns entries; none without a trailing block
  const double* trailing = nullptr;  // G, triangle_size(s) entries; none without a trailing block
  const Matrix* root = nullptr;      // R_X (p, p), upper: X'V^-1X = R_X'R_X; none where F_X is not needed
  const Vector* contrast = nullptr;  // (columns): -beta, 1
  bool projected = true;             // C of P (REML) rather than of V^-1 (ML)
  bool information = false;          // also the products that the average information of a single factor needs
};

// Sums over levels.
struct LeadingSums {
  Matrix c;            // (s, s)  sum C
  Matrix c_lambda;     // (s, s)  sum C lam
  Matrix fixed;        // (s, s)  sum F_X (X'V^-1X)^-1 F_X'
  Matrix outer;        // (s, s)  sum w w',   w = Z_j'P y
  Matrix information;  // (K, K)  sum C (x) w w' over pairs of effects, K = triangle_size(s)
  Matrix fixed_outer;  // (p, s * s)  sum (F_X R_X^-1)' [row i] w_j, at i + s * j
  Matrix packed;       // workspace
  Matrix covariance;   // lam lam'
};

// `w` (s entries) and `f` (s * columns entries) receive Z'Py and Z'V^-1[X y] where not null.
void differentiate_leading(const LeadingShape& shape, const LeadingInputs& in, LeadingFactor& factor,
                           const Matrix& lambda, double* w, double* f, LeadingSums& sums, ThreadPool& pool);

}  // namespace henderson
