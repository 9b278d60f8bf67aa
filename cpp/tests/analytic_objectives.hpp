// Criteria of lam with known minima: Gaussian samples with covariance I + Psi_t per term,
//
//   f = sum_t m_t (log|I + Psi_t| + tr (I + Psi_t)^-1 S_t),     Psi_t = lam_t lam_t'
//
// whose minimum has the eigenvectors of S_t and Psi's eigenvalues max(eigenvalue of S_t - 1, 0).
#pragma once

#include "core/trust_region.hpp"
#include "tests/dense_algebra.hpp"

namespace henderson::testing {

class GaussianSamples {
 public:
  GaussianSamples(std::vector<Matrix> scatter, std::vector<double> sizes);

  [[nodiscard]] double value(const RelativeFactor& factor) const;
  // `exact`: the information is the Hessian in the entries of Psi; otherwise the average information.
  void derivatives(const RelativeFactor& factor, bool exact, Derivatives& out) const;
  [[nodiscard]] Objective objective() const;  // refers to this object

  [[nodiscard]] std::vector<Matrix> best_covariance() const;
  [[nodiscard]] double best_value() const;

 private:
  std::vector<Matrix> scatter_;
  std::vector<double> sizes_;
};

// A random positive definite matrix with the given eigenvalues.
[[nodiscard]] Matrix with_eigenvalues(const Vector& values, Draws& draws);
// Central differences of f along the tangent basis, and of second order.
[[nodiscard]] Vector difference_gradient(const std::function<double(const SpectralFactor&)>& f,
                                         const SpectralFactor& point);
[[nodiscard]] Matrix difference_hessian(const std::function<double(const SpectralFactor&)>& f,
                                        const SpectralFactor& point);

}  // namespace henderson::testing
