// What the criterion is taken to be around a point, beyond the reach of a quadratic in lam.
//
//   f  ~  a quadratic in  Phi_t = (Psi_t + c_t I)^(1/2),      c_t one over the mean information of a level
//
// Phi is close to lam where the variance is large against c, and linear in Psi, hence smooth through zero, where it is
// small: in lam alone, Newton's method creeps towards zero variances by a third of the way at each step. The model is
// minimised over positive semidefinite Psi by the same tangent steps as the criterion itself, at no cost in
// evaluations.
#pragma once

#include "core/spectral_factor.hpp"

namespace henderson {

class LocalModel {
 public:
  // `information` replaces that of `at`; `shift` holds the c_t.
  LocalModel(const SpectralFactor& point, const Derivatives& at, const Matrix& information,
             const std::vector<double>& shift);

  // Change of the criterion from the centre.
  [[nodiscard]] double value(const SpectralFactor& point) const;
  [[nodiscard]] const Derivatives& derivatives(const SpectralFactor& point);

 private:
  // dPsi/dPhi by entries (power 1), or its inverse (power -1): in the frame of U it is diagonal, phi_i + phi_j.
  [[nodiscard]] Matrix jacobian(const SpectralFactor& point, int power) const;

  const std::vector<double>& shift_;
  Vector root_, slope_;
  Matrix hessian_;
  Derivatives derivatives_;
};

}  // namespace henderson
