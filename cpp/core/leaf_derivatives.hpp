// What stripped leaves (leaf_levels.hpp) add to derivatives and to the average information, by back substitution.
//
// With T = Lam M^-1 Lam', x = T Z'[Q r] the solution of the others, o = (u, R) the neighbours of leaf m, B its coupling
// to them, W_u and a_u those of the host's elimination:
//   explained = B x_o      G = B T_oo B'      T_uu = W_u + W_u a_u'T_22 a_u W_u      T_Ru = -(T_22 a_u)_R W_u
// from which a leaf is differentiated as a leading level is (leading_block.hpp). For the average information, with h
// the directions, N = I - D W on the leaves and q_o = sum_m B_m'N'h_m,
//   F  +=  h_m'N D h_m  +  2 h_1'N_u q_u  +  2 h_2'(q_2 - a W_u q_u)  -  q_u'W_u q_u
//   Z_2'V_1^-1 Z h  +=  q_2 - a W_u q_u          F_X'h  +=  F_m'h_m
#pragma once

#include <vector>

#include "core/blocked_cholesky.hpp"

namespace henderson {

// One entry of one Psi_t.
struct Parameter {
  Index index = 0;     // among all
  Index i = 0, j = 0;  // stacked effects of its group, i >= j
};

// h_k for one level whose w starts at `w`
void fill_direction(const Parameter& k, const double* w, double* h, Index s);

// T over the neighbours of a leaf, (s_1 + |R|) square, and G = B T B'.
class NeighbourInverse {
 public:
  explicit NeighbourInverse(const CrossProducts& a);
  // W_u (s_1, s_1) from the leading factor.
  void load_host(const BlockedCholesky& cholesky, const Host& host);
  // T_uu known, T_22 on its pattern in `inverse`.
  void couple(const CrossProducts& a, const BlockedCholesky& cholesky, std::size_t group, const Leaf& leaf,
              const Vector& inverse);

  Matrix w_u, t_uu;
  Matrix g;  // (s, s) in its corner

 private:
  void fill_below(const CrossProducts& a, const BlockedCholesky& cholesky, std::size_t group, const Leaf& leaf,
                  const Vector& inverse);

  Vector h_;
  Matrix t_, product_;
  std::vector<Index> places_;
};

class LeafDerivatives {
 public:
  explicit LeafDerivatives(const CrossProducts& a);
  [[nodiscard]] bool is_empty() const { return parts_.empty(); }

  // Explained parts and G of all leaves; `explained` and `trailing` are those of the leading levels, in lanes.
  void gather(const BlockedCholesky& cholesky, const Matrix& solution, const Vector& inverse, const double* explained,
              const double* trailing, ThreadPool& pool);
  // C, w and their sums; contrast, root and projection are those of `in`.
  void differentiate(BlockedCholesky& cholesky, LeadingInputs in, ThreadPool& pool);
  [[nodiscard]] const LeadingSums& sums(std::size_t group) const { return parts_[group].sums; }

  // The leaves' part of the average information; leading_w in lanes.
  void add_directions(const BlockedCholesky& cholesky, const std::vector<std::vector<Parameter>>& parameters,
                      const double* leading_w);
  [[nodiscard]] const Matrix& own() const { return own_; }                    // (K_2, K_2)  h'NDh - q'Wq
  [[nodiscard]] const Matrix& with_leading() const { return with_leading_; }  // (K_1, K_2)  h_1'N q
  [[nodiscard]] const Matrix& meeting() const { return meeting_; }            // (q_2, K_2)  q_2 - a W q
  [[nodiscard]] const Matrix& fixed() const { return fixed_; }                // (p, K_2)    F'h

 private:
  struct Task {
    NeighbourInverse t;
    Vector packed, right, host_explained, explained;
    Matrix host_solution;  // (s_1, p + 1)
  };
  struct Part {
    LeadingSums sums;
    AlignedVector<double> explained, gathered, w, f;  // lanes
    std::vector<Task> tasks;
    Matrix direction, reduced, half;   // (s, K), K parameters
    Vector packed, h, w_leaf, f_leaf;  // of one leaf
    Matrix gram;
  };

  void prepare_host(const BlockedCholesky& cholesky, const Host& host, const double* explained, const double* trailing,
                    Task& task) const;
  void gather_leaf(std::size_t group, Index leaf, const Matrix& solution, Task& task);
  void add_leaves(const BlockedCholesky& cholesky, std::size_t group, const std::vector<Parameter>& parameters,
                  Index column);
  void add_hosts(const BlockedCholesky& cholesky, const std::vector<Parameter>& leading, const double* leading_w);

  const CrossProducts& a_;
  std::vector<Part> parts_;  // per group; index 0 unused
  Matrix own_, with_leading_, meeting_, fixed_;
  Matrix q_;                                 // (hosts * s_1, K_2)
  Matrix half_, solved_, direction_, gram_;  // of one host
  Vector h_, packed_, w_;
};

}  // namespace henderson
