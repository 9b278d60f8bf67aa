// One design and response, ready to be evaluated and fitted at any theta; results in the user's own coordinates.
#pragma once

#include <memory>
#include <optional>

#include "core/profiled_deviance.hpp"
#include "core/trust_region.hpp"

namespace henderson {

struct Solution {
  double criterion = 0;
  double sigma = 0, pwrss = 0, log_det = 0, log_det_root = 0;
  Vector beta;            // (p)
  Matrix unscaled_vcov;   // (p, p): times sigma^2 is Cov(beta)
  std::vector<Matrix> b;  // per term (levels, s): conditional modes
  std::vector<Matrix> u;  // per term (levels, s): b = lam u
};

// The deviance at any sigma,  d(lam, sigma) = log|V| + n log(2 pi sigma^2) + r2 / sigma^2,  in its two parts.
struct DevianceParts {
  double log_det = 0;                              // log|V|; +infinity where the criterion does not exist
  double pwrss = 0;                                // r2
  Vector beta;                                     // (p)
  std::vector<Matrix> log_det_slope, pwrss_slope;  // per term (s, s): by the entries of lam_t
};

class Problem {
 public:
  // The columns of `data` must stay where they are: where digits are lost, the rows are read again.
  Problem(const ModelData& data, int threads);
  // Of cross-products that are there: what reads rows must not be asked.
  Problem(CrossProducts a, int threads);
  // A second workspace for the same design, without threads of its own.
  Problem(const Problem& other);
  Problem& operator=(const Problem&) = delete;

  [[nodiscard]] const CrossProducts& cross_products() const { return a_; }
  [[nodiscard]] const std::shared_ptr<const TermRoots>& roots() const { return roots_; }
  [[nodiscard]] Index theta_size() const { return henderson::theta_size(*roots_); }
  [[nodiscard]] Index random_size() const;  // q

  [[nodiscard]] double criterion(const Vector& theta, bool reml);
  // df/dtheta in lme4's theta; the criterion itself is returned.
  [[nodiscard]] double gradient(const Vector& theta, bool reml, Vector& out);
  // At square factors lam_t (s, s) in the user's coordinates, not necessarily triangular.
  [[nodiscard]] DevianceParts deviance_parts(const std::vector<Matrix>& lambda);
  // Everything that follows from theta; nothing where the criterion does not exist.
  [[nodiscard]] std::optional<Solution> solve(const Vector& theta, bool reml);
  // Per term (s * s, levels), one column-major block a column: Var(b_j | y) given beta and theta.
  [[nodiscard]] std::vector<Matrix> conditional_variances(const Vector& theta, bool reml);

  // The next three do not depend on the response; they give nothing where Lam'Z'WZ Lam + I is not positive definite.
  // They need a design without stripped leaves (ModelData::stripping).
  // out := H rhs, (q, m) each, rows term after term (random_solve.hpp)
  [[nodiscard]] bool solve_random(const Vector& theta, const Eigen::Ref<const Matrix>& rhs, Eigen::Ref<Matrix> out);
  // (n,): leverages given the fixed effects (leverages.hpp); `data` is the design
  [[nodiscard]] std::optional<Vector> random_leverages(const Vector& theta, const ModelData& data);
  // Per term (s, s): sum over the levels of [Z'V^-1 Z]_jj (traces.hpp)
  [[nodiscard]] std::optional<std::vector<Matrix>> traces(const Vector& theta);

  // Called between iterations; true stops the fit.
  using Watch = std::function<bool(const Iteration& at, int evaluation)>;
  [[nodiscard]] Optimum fit(bool reml, const std::optional<Vector>& start, const TrustRegionOptions& options,
                            const Watch& watch);
  // Starting values by the method of moments.
  [[nodiscard]] Vector moment_theta() const;
  [[nodiscard]] Vector theta_of(const RelativeFactor& factor) const { return canonical_theta(factor, *roots_); }

  // The same design with another response.
  void set_response(const ModelData& data);

 private:
  [[nodiscard]] bool factor_at(const Vector& theta);

  ThreadPool pool_;
  std::optional<ModelData> rows_;
  CrossProducts a_;
  std::shared_ptr<const TermRoots> roots_;
  ProfiledDeviance deviance_;
};

}  // namespace henderson
