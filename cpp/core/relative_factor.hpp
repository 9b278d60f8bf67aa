// theta -> lam_t per term, in user and in whitened coordinates.
//
// User coordinates are lme4's: theta holds the column-major lower triangles of the lam_t, term after term, diagonals >=
// 0. The optimiser works with a full square factor in whitened coordinates, lam~ = T lam: the criterion depends on lam
// only through lam lam', so lam~ may be rotated from the right at will; here it is kept as U D from its singular value
// decomposition.
#pragma once

#include <vector>

#include "core/whitening.hpp"

namespace henderson {

struct RelativeFactor {
  std::vector<Matrix> lambda;  // per term (s, s)
};

// The T_t of all terms, (s, s) upper triangles.
using TermRoots = std::vector<Matrix>;

[[nodiscard]] Index theta_size(const TermRoots& roots);
[[nodiscard]] RelativeFactor whitened_factor(const Vector& theta, const TermRoots& roots);
// The canonical theta of a whitened factor: the lower triangle with diagonal >= 0.
[[nodiscard]] Vector canonical_theta(const RelativeFactor& factor, const TermRoots& roots);
// Lower triangle with diagonal >= 0 and the same lam lam'.
[[nodiscard]] Matrix lower_triangle(const Matrix& lambda);

}  // namespace henderson
