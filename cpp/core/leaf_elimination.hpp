// The elimination of stripped leaves (leaf_levels.hpp): what it leaves of A is what the leading factor is eliminated
// from.
//
// Leaf m with D = Z_m'WZ_m, B its coupling to the neighbours o = (u, R), v = Z_m'W[Q r], lam the factor of its group:
//   lam'D lam + I = l l'      H = l^-1 lam'      b = B'H'  (s_1 + |R|, s)      t = H v
//
//        [ A_u               ]        [ b_u b_u'                     ]        the host's blocks, the panel of M_21 and
//   -=   [ a_R   A_RR        ]   -=   [ b_R b_u'   b_R b_R'          ]        the trailing block; [Q r] likewise
//        [ v_u'  v_R'  [Q r] ]        [ t'b_u'     t'b_R'      t't   ]
//
// What is left is A of the model in which V_0 = I + Z_m Lam Lam'Z_m' plays the part of the identity. Leaves are
// factored, and differentiated, as levels of a leading factor of their own (leading_block.hpp).
#pragma once

#include <vector>

#include "core/cross_products.hpp"
#include "core/leading_block.hpp"

namespace henderson {

// The blocks of A that the other levels are eliminated from; all but these are those of A itself.
struct ReducedBlocks {
  const double* gram = nullptr;
  const double* xy = nullptr;
  const double* coupling = nullptr;
  const Matrix* trailing_xy = nullptr;
};

class LeafElimination {
 public:
  explicit LeafElimination(const CrossProducts& a);

  // Factors all leaves at lambda (per group), and takes them out of the blocks and of the corner; sum of log|l|^2.
  [[nodiscard]] double eliminate(const std::vector<Matrix>& lambda, Matrix& corner, ThreadPool& pool);
  // K -= b_R b_R': the part of the trailing block.
  void subtract_from(double* k);

  [[nodiscard]] ReducedBlocks blocks() const;
  [[nodiscard]] const LeadingShape& shape(std::size_t group) const { return parts_[group].shape; }
  [[nodiscard]] LeadingFactor& factor(std::size_t group) { return parts_[group].factor; }
  [[nodiscard]] const LeadingFactor& factor(std::size_t group) const { return parts_[group].factor; }

  // Any right-hand side z = Z'x: leading (m_1 s_1, k) by position, trailing (q_2, k), leaves per group (leaves * s, k).
  // forward: what the leaves take from the others' right-hand sides, z_o -= b H z_m
  void forward(const std::vector<Matrix>& leaves, Eigen::Ref<Matrix> leading, Eigen::Ref<Matrix> trailing) const;
  // backward: leaves := H'H z_m - H'b' x_o, given the others' solution x = Lam M^-1 Lam'z
  void backward(const Eigen::Ref<const Matrix>& leading, const Eigen::Ref<const Matrix>& trailing,
                std::vector<Matrix>& leaves) const;

 private:
  struct Task {
    Vector h, v;
  };
  // The leaves of one group.
  struct Part {
    LeadingShape shape;
    LeadingFactor factor;
    std::vector<double> b;  // laid out as the coupling
    std::vector<double> t;  // (columns, s) a leaf
    std::vector<Task> tasks;
  };

  void restore();
  void take_out(std::size_t group, Index task);
  void take_from_host(const Leaf& leaf, const Code* places, const double* b, const double* t);
  void subtract_rows(std::size_t group);

  const CrossProducts& a_;
  std::vector<Part> parts_;  // per group; index 0 unused
  AlignedVector<double> gram_, xy_;
  std::vector<double> coupling_;
  Matrix trailing_xy_;
  Matrix update_;
  std::vector<Index> places_;
};

}  // namespace henderson
