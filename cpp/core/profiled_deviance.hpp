// The profiled deviance or REML criterion of lam, its gradient, and its average information.
//
//   ML:    f = log|L|^2                + n     (1 + log(2 pi r2 / n))      - sum log w
//   REML:  f = log|L|^2 + log|R_X|^2   + (n-p) (1 + log(2 pi r2 / (n-p)))  - sum log w          r2 = y'Py
//   (Bates, Maechler, Bolker, Walker 2015, J. Stat. Softw. 67(1), sections 3.2-3.6)
//
// With P = V^-1 - V^-1 X (X'V^-1X)^-1 X'V^-1 (REML; V^-1 in C for ML), w = Z'Py, per term t and Psi_t = lam lam':
//   G_t = C_t - sum_j w_j w_j' / sigma^2,  C_t = sum_j [Z'PZ]_jj       df/dPsi_t = G_t,   df/dlam_t = 2 G_t lam_t
// regular at singular lam. The average information (Gilmour, Thompson, Cullis 1995) over the entries of the Psi_t, with
// h_k = (E_ij + E_ji) w for k = (i, j) or E_ii w for k = (i, i), and the residual variance profiled out:
//   F_kl = h_k'(Z'PZ) h_l / sigma^2 - (h_k'w)(h_l'w) / (sigma^4 df)
#pragma once

#include <vector>

#include "core/blocked_cholesky.hpp"
#include "core/leaf_derivatives.hpp"

namespace henderson {

struct Derivatives {
  std::vector<Matrix> g;         // per term (s, s): G_t
  std::vector<Matrix> gradient;  // per term (s, s): 2 G_t lam_t, from C lam without dividing by lam
  Matrix information;  // (K, K): terms one after the other, triangle_size(s_t) each, column-major lower triangles
};

class ProfiledDeviance {
 public:
  ProfiledDeviance(const CrossProducts& a, ThreadPool& pool);

  void set_reml(bool reml) { reml_ = reml; }
  [[nodiscard]] bool is_reml() const { return reml_; }

  // The criterion; +infinity where it does not exist.
  [[nodiscard]] double value(const RelativeFactor& factor);
  // Rounding error of the last value(), roughly: r2 and X'V^-1X are differences, short of digits where they are small.
  [[nodiscard]] double noise(double value) const;
  // At the factor of the last value().
  void derivatives(const RelativeFactor& factor, bool with_information, Derivatives& out);

  [[nodiscard]] double degrees_of_freedom() const {
    return a_.observations - (reml_ ? static_cast<double>(a_.p) : 0.0);
  }
  [[nodiscard]] double sigma2() const { return cholesky_.pwrss() / degrees_of_freedom(); }
  [[nodiscard]] BlockedCholesky& cholesky() { return cholesky_; }
  // sum_j w_j w_j' per group, at the last derivatives().
  [[nodiscard]] const std::vector<Matrix>& scores() const { return outer_; }

 private:
  // Workspace of one task of patterns.
  struct PatternWork {
    Matrix block, product;
    Vector packed, explained;
    std::vector<Index> places;
  };

  void gather_patterns();
  void gather_in_place(const Pattern& pattern, Index node_size, PatternWork& work);
  void gather_products(const Pattern& pattern, PatternWork& work);
  void gather_explained(const Pattern& pattern, PatternWork& work);
  void trailing_sums();
  void assemble(const RelativeFactor& factor, Derivatives& out);
  void single_factor_information(Matrix& information);
  void general_information(Matrix& information);
  void trailing_directions();
  void level_information();

  const CrossProducts& a_;
  ThreadPool& pool_;
  bool reml_ = true;
  BlockedCholesky cholesky_;
  LeafDerivatives leaves_;
  std::vector<std::vector<Parameter>> parameters_;  // per group
  Index size_ = 0;                                  // parameters
  LeadingSums sums_;
  Vector contrast_, slope_;
  std::vector<Matrix> c_lambda_, outer_, fixed_;  // per group
  std::vector<Matrix> divisor_;                   // per term, workspace
  Matrix fixed_directions_;                       // (p, K)

  // The trailing block's part; empty without one.
  Matrix solution_, residual_;       // (q_2, p + 1)
  Vector trailing_w_;                // (q_2) Z_2'Py
  Matrix trailing_y_;                // (q_2, p) Z_2'V^-1Q R_X^-1
  Vector inverse_;                   // Lam_2 S^-1 Lam_2'
  AlignedVector<double> explained_;  // lanes, s * (p + 1)
  AlignedVector<double> gathered_;   // lanes, triangle_size(s)
  AlignedVector<double> w_, f_;      // lanes, s and s * (p + 1)
  std::vector<PatternWork> pattern_work_;
  std::vector<Index> order_;     // column of the directions -> parameter
  Matrix directions_, meeting_;  // (q_2, K_2) and (q_2, K)
  Matrix products_;              // (K, K)
  Matrix level_direction_, level_reduced_, level_half_, level_a_, down_;
  Vector level_packed_, level_h_, level_w_, level_f_;
};

}  // namespace henderson
