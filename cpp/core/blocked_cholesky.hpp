// L(theta): the Cholesky factor of the mixed-model equations, block by block.
//
//   [ Lam'Z'Z Lam + I   .  ]   leading levels (leading_block.hpp), then the Schur complement of the trailing block
//   [ [Q r]'Z Lam   [Q r]'[Q r] ]   (supernodal.hpp), then the corner.
//
// Stripped leaves are eliminated before (leaf_elimination.hpp): from then on A is what they leave of it.
// Leading levels are eliminated in unscaled trailing coordinates, K = Z_2'V_1^-1 Z_2 with V_1 = I + Z_1 Lam_1
// Lam_1'Z_1': lam of the trailing terms enters afterwards, S = Lam_2'K Lam_2 + I. K is what the derivatives need too.
// Memory is allocated at construction; update() reuses it (Eigen's packing buffers aside, for products and solves that
// exceed 128 KB) unless it has to go back to the rows.
#pragma once

#include <memory>

#include "core/cross_products.hpp"
#include "core/leading_block.hpp"
#include "core/leaf_elimination.hpp"
#include "core/node_blocks.hpp"
#include "core/relative_factor.hpp"
#include "core/schur_update.hpp"

namespace henderson {

class BlockedCholesky {
 public:
  BlockedCholesky(const CrossProducts& a, ThreadPool& pool);

  // Factors at the given relative factor; false where the matrix is not positive definite or not finite.
  [[nodiscard]] bool update(const RelativeFactor& factor);
  // The rows of A, if they are there: where X'V^-1X or r2 would be short of digits, they are computed from these.
  void set_rows(const ModelData* rows) { rows_ = rows; }
  // Whether M is factored at this relative factor; a fit without residuals has its factor too.
  [[nodiscard]] bool is_at(const RelativeFactor& factor) const;

  [[nodiscard]] double log_det() const { return log_det_; }   // log|L|^2
  [[nodiscard]] double log_det_root() const;                  // log|R_X|^2, Q coordinates
  [[nodiscard]] double pwrss() const { return pwrss_; }       // penalised residual sum of squares, y'Py
  [[nodiscard]] bool is_exact() const { return is_exact_; }   // whether the last update() went back to the rows
  [[nodiscard]] const Matrix& root() const { return root_; }  // R_X (p, p) upper: Q'V^-1Q = R_X'R_X
  [[nodiscard]] const Vector& beta() const { return beta_; }  // (p) in Q coordinates, of r
  [[nodiscard]] const Matrix& lambda(std::size_t group) const { return lambda_[group]; }
  [[nodiscard]] LeadingFactor& leading() { return leading_; }
  [[nodiscard]] const LeadingFactor& leading() const { return leading_; }
  [[nodiscard]] const LeadingShape& shape() const { return shape_; }
  [[nodiscard]] const Vector& trailing_factor() const { return l_; }  // L_22: S = L_22 L_22'
  [[nodiscard]] LeafElimination& leaves() { return leaves_; }
  [[nodiscard]] const LeafElimination& leaves() const { return leaves_; }
  // A less the stripped leaves: what the leading levels and the trailing block are eliminated from.
  [[nodiscard]] ReducedBlocks blocks() const { return leaves_.blocks(); }

  // M^-1 Lam'Z'[Q r] for the trailing block, (q_2, p + 1).
  [[nodiscard]] Matrix trailing_spherical() const;
  // Z'V^-1[Q r] for the trailing block, and its solution Lam M^-1 Lam'Z'[Q r]; (q_2, p + 1) each.
  void trailing_solution(Matrix& solution, Matrix& residual);
  // values := (Lam_2 S^-1 Lam_2'); c_lambda[g] := sum over the levels of trailing group g of [K Lam_2 S^-1]_jj
  void trailing_inverse(Vector& values, std::vector<Matrix>& c_lambda);
  // x := L_22^-1 Lam_2' x
  void half_solve(Eigen::Ref<Matrix> x);
  // out := K x
  void schur_times(const Eigen::Ref<const Matrix>& x, Eigen::Ref<Matrix> out) const;

 private:
  [[nodiscard]] bool factor_corner();
  [[nodiscard]] bool is_short_of_digits() const;  // exact_corner.cpp
  [[nodiscard]] bool factor_exactly(bool has_beta);
  void set_lambda(const RelativeFactor& factor);

  const CrossProducts& a_;
  const ModelData* rows_ = nullptr;
  ThreadPool& pool_;
  LeafElimination leaves_;
  LeadingShape shape_;
  LeadingFactor leading_;
  std::vector<Matrix> lambda_;  // per group, stacked
  Vector k_, l_;
  Matrix reduced_;  // Z_2'V_1^-1[Q r]
  Matrix solved_;   // L_22^-1 Lam_2' reduced
  Matrix difference_;
  Matrix corner_, root_;
  Vector beta_, half_;
  std::unique_ptr<SchurUpdate> schur_;
  SupernodalWork work_;
  NodeWork nodes_;
  std::vector<Matrix> transposed_lambda_, inverse_lambda_;  // workspace: Lam', Lam^-T
  std::vector<char> is_large_;                              // by group: Lam is inverted rather than differenced
  double log_det_ = 0, pwrss_ = 0;
  bool is_factored_ = false, is_exact_ = false;
};

// Copies the entries of one level out of, or into, lanes.
void load_level(const double* lanes, Index position, Eigen::Ref<Vector> out);
void store_level(const Eigen::Ref<const Vector>& values, Index position, double* lanes);

}  // namespace henderson
