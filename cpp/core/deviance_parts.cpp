// The deviance before sigma is profiled out, for those who hold a standard deviation fixed.
//
//   d log|V| / dlam_t = 2 C_t lam_t        d r2 / dlam_t = -2 sum_j w_j w_j' lam_t        (C, w: profiled_deviance.hpp)
//
// The gradient of the profiled deviance is the first plus the second over sigma^2; the second is known by itself.
#include <cmath>
#include <limits>

#include "core/problem.hpp"

namespace henderson {

DevianceParts Problem::deviance_parts(const std::vector<Matrix>& lambda) {
  RelativeFactor factor;  // lam~ = T lam
  for (std::size_t t = 0; t < lambda.size(); ++t)
    factor.lambda.emplace_back(a_.random[t].r.triangularView<Eigen::Upper>() * lambda[t]);
  deviance_.set_reml(false);
  DevianceParts out;
  if (!std::isfinite(deviance_.value(factor))) {
    out.log_det = out.pwrss = std::numeric_limits<double>::infinity();
    out.beta = Vector::Constant(a_.p, std::numeric_limits<double>::quiet_NaN());
    for (const Matrix& each : lambda) out.log_det_slope.push_back(Matrix::Zero(each.rows(), each.cols()));
    out.pwrss_slope = out.log_det_slope;
    return out;
  }
  out.log_det = deviance_.cholesky().log_det() - a_.log_weights;
  out.pwrss = deviance_.cholesky().pwrss();
  out.beta = a_.fixed.s.transpose() * (a_.ols + deviance_.cholesky().beta());
  Derivatives at;
  deviance_.derivatives(factor, false, at);
  out.log_det_slope.resize(lambda.size());
  out.pwrss_slope.resize(lambda.size());
  for (std::size_t g = 0; g < a_.plan.groups.size(); ++g) {
    const Group& group = a_.plan.groups[g];
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      const auto t = static_cast<std::size_t>(group.terms[k]);
      const Index s = lambda[t].rows();
      const Matrix slope = -2.0 * deviance_.scores()[g].block(group.first[k], group.first[k], s, s) * factor.lambda[t];
      const Matrix trace = at.gradient[t] - slope / deviance_.sigma2();
      out.pwrss_slope[t] = a_.random[t].r.transpose() * slope;
      out.log_det_slope[t] = a_.random[t].r.transpose() * trace;
    }
  }
  return out;
}

}  // namespace henderson
