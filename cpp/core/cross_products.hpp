// A = [Z X y]'W[Z X y] in whitened coordinates, by blocks, built once: after it no loop touches the n rows again.
//
//   groups:       leading                 trailing              [Q r]
//   leading       gram  (s x s a level)
//   trailing      coupling (panels)       entries (sparse)
//   [Q r]         xy    (s x (p+1))       trailing_xy           corner
//
// Stripped leaves of trailing factors (leaf_levels.hpp) have blocks of their own, `leaves`.
//
// X = Q R and Z_t = Z~_t T_t (whitening.hpp); r = y - Q c is the ordinary least squares residual, so no digits are
// spent on what the fixed effects explain. A new response needs a new last column only.
#pragma once

#include <vector>

#include "core/elimination_plan.hpp"
#include "core/thread_pool.hpp"
#include "core/whitening.hpp"

namespace henderson {

struct TrailingEntry {
  Code row = 0, col = 0;  // row >= col
  Index place = 0;        // in the supernodal values
  double value = 0;
};

// The leaves of one trailing group.
struct LeafProducts {
  AlignedVector<double> gram;    // lanes: [batch][triangle_size(s)][lane_width]
  AlignedVector<double> xy;      // lanes: [batch][s * (p + 1)][lane_width], effect by effect
  std::vector<double> coupling;  // per leaf (s_1 + |R|, s): B', the host's effects first
};

struct CrossProducts {
  Index n = 0;                    // rows summed over
  double observations = 0;        // rows they stand for, nearly always themselves
  Index p = 0;                    // rank of X
  double log_weights = 0;         // sum of log w
  double log_det_r = 0;           // log |det R|
  AffineMap fixed;                // X -> Q
  std::vector<Index> kept;        // columns of X in Q
  std::vector<AffineMap> random;  // per term: Z_t -> Z~_t
  Vector ols;                     // c: y = Q c + r
  double weight = 0;              // sum of w
  double y_mean = 0;              // weighted
  double y_spread = 0;            // weighted sum of squares of y about its mean

  EliminationPlan plan;
  AlignedVector<double> gram;  // lanes: [batch][triangle_size(s)][lane_width]
  AlignedVector<double> xy;    // lanes: [batch][s * (p + 1)][lane_width], effect by effect
  std::vector<double> coupling;
  std::vector<TrailingEntry> entries;
  Matrix trailing_xy;                // (q_2, p + 1)
  Matrix corner;                     // (p + 1, p + 1), both triangles
  std::vector<LeafProducts> leaves;  // per group (index 0 unused); empty where nothing is stripped

  [[nodiscard]] const Group& leading() const { return plan.groups.front(); }
  [[nodiscard]] Index columns() const { return p + 1; }
};

// Where entry e of the `entries` stored for a level lies.
[[nodiscard]] inline Index lane_place(Index position, Index entry, Index entries) {
  return ((position / lane_width) * entries + entry) * lane_width + position % lane_width;
}

// The couplings B of all leaves, from the rows.
void couple_leaves(CrossProducts& a, const ModelData& data);
// z~ of one row for all terms of a group, (s).
void stacked_row(const CrossProducts& a, const Group& group, Index row, double* out);

[[nodiscard]] CrossProducts build_cross_products(const ModelData& data, ThreadPool& pool);

// Replaces the response: only the last column of A changes.
void replace_response(CrossProducts& a, const ModelData& data, ThreadPool& pool);

}  // namespace henderson
