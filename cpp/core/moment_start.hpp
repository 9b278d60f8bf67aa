// Starting values by the method of moments, from the cross-products alone (Henderson's method I with fixed effects
// removed).
//
// With M = I - QQ'/n and r = My, each stacked effect a of each group gives one quadratic form; taking covariances as
// diagonal,
//   T_a = sum_j (z_ja'r)^2 / A_ja,   E T_a = sigma^2 sum_j (z_ja'M z_ja) / A_ja + sum_b psi_b sum_jm (z_ja'M z_mb)^2 /
//   A_ja r'r,                             E r'r = sigma^2 (n - p)                    + sum_b psi_b sum_m z_mb'M z_mb
// a linear system in (psi, sigma^2), exact for balanced designs. Products of two effects then give their covariances.
// Negative solutions start at a small positive value: zero is stationary whatever the data. Where the leading factor
// explains nearly everything, sigma^2 is that within its levels (Henderson's method III).
#pragma once

#include "core/cross_products.hpp"
#include "core/relative_factor.hpp"

namespace henderson {

[[nodiscard]] RelativeFactor moment_start(const CrossProducts& a);

}  // namespace henderson
