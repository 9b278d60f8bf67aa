#include "core/traces.hpp"

#include <Eigen/SVD>
#include <cmath>

#include "core/pattern_pieces.hpp"

namespace henderson {

namespace {

constexpr double no_variance = 1e-10;  // its square, times the information of a level, is below rounding
constexpr Index task_positions = 64;   // leading levels of one task: whole batches of lanes

struct Spectrum {
  Matrix u;  // (s, s) orthogonal
  Vector d;  // (s) positive
};

// lam of a trailing term as U D, no d_k zero; information: of one level, roughly.
Spectrum regular_spectrum(const Matrix& lambda, double information) {
  const Eigen::JacobiSVD<Matrix> svd(lambda, Eigen::ComputeFullU);
  return {svd.matrixU(), svd.singularValues().cwiseMax(no_variance / std::sqrt(information))};
}

// Lanes of G = a'T a for every leading level.
AlignedVector<double> explained_products(const CrossProducts& a, const Vector& inverse, ThreadPool& pool) {
  const Index s = a.leading().effects;
  const Index levels = a.leading().levels;
  AlignedVector<double> out(static_cast<std::size_t>(lane_batches(levels) * lane_width * triangle_size(s)), 0.0);
  pool.run((levels + task_positions - 1) / task_positions, [&](Index task) {
    Matrix far, across;
    Vector packed(triangle_size(s));
    std::vector<Index> places;
    const Index begin = task * task_positions;
    for_each_piece(a.plan, begin, std::min(levels, begin + task_positions), [&](const Piece& piece) {
      const auto rows = rows_of(a.plan, *piece.pattern);
      const auto panel = panel_of(a, piece);
      far.resize(panel.rows(), panel.rows());
      places.resize(rows.size());
      gather_at(a.plan.trailing, rows, inverse.data(), far, places);
      across.noalias() = far * panel;
      for (Index member = 0; member < piece.count; ++member) {
        for (Index j = 0; j < s; ++j)
          for (Index i = j; i < s; ++i)
            packed[triangle_index(i, j, s)] = panel.col(member * s + i).dot(across.col(member * s + j));
        store_level(packed, piece.first + member, out.data());
      }
    });
  });
  return out;
}

// sum C over the leading levels, terms stacked
Matrix leading_trace(const CrossProducts& a, BlockedCholesky& cholesky, const double* explained, ThreadPool& pool) {
  const Vector contrast = Vector::Zero(a.columns());
  LeadingInputs in;
  in.gram = a.gram.data();
  in.xy = a.xy.data();
  in.trailing = explained;
  in.contrast = &contrast;
  in.projected = false;
  LeadingSums sums;
  differentiate_leading(cholesky.shape(), in, cholesky.leading(), cholesky.lambda(0), nullptr, nullptr, sums, pool);
  return sums.c;
}

// The spectra of the trailing terms; `factor` takes them in place of their lam. False where one is not finite.
bool regularise(const CrossProducts& a, RelativeFactor& factor, std::vector<Spectrum>& spectra) {
  spectra.resize(factor.lambda.size());
  for (std::size_t g = 1; g < a.plan.groups.size(); ++g)
    for (const Index term : a.plan.groups[g].terms) {
      const auto t = static_cast<std::size_t>(term);
      if (!factor.lambda[t].allFinite()) return false;
      const double information = static_cast<double>(a.n) / static_cast<double>(a.plan.groups[g].levels);
      spectra[t] = regular_spectrum(factor.lambda[t], std::max(1.0, information));
      factor.lambda[t] = spectra[t].u * spectra[t].d.asDiagonal();
    }
  return true;
}

}  // namespace

std::vector<Matrix> marginal_traces(const CrossProducts& a, BlockedCholesky& cholesky, RelativeFactor factor,
                                    ThreadPool& pool) {
  const EliminationPlan& plan = a.plan;
  std::vector<Spectrum> spectra;
  if (!regularise(a, factor, spectra)) return {};
  if (!cholesky.is_at(factor) && !cholesky.update(factor) && !cholesky.is_at(factor)) return {};
  std::vector<Matrix> c_lambda(plan.groups.size());
  AlignedVector<double> explained;
  if (plan.has_trailing()) {
    Vector inverse;
    cholesky.trailing_inverse(inverse, c_lambda);
    explained = explained_products(a, inverse, pool);
  }
  const Matrix leading = leading_trace(a, cholesky, explained.empty() ? nullptr : explained.data(), pool);
  std::vector<Matrix> out(factor.lambda.size());
  for (std::size_t g = 0; g < plan.groups.size(); ++g)
    for (std::size_t k = 0; k < plan.groups[g].terms.size(); ++k) {
      const auto t = static_cast<std::size_t>(plan.groups[g].terms[k]);
      const Index s = factor.lambda[t].rows();
      Matrix c = (g == 0 ? leading : c_lambda[g]).block(plan.groups[g].first[k], plan.groups[g].first[k], s, s);
      if (g > 0) c = (c * spectra[t].d.cwiseInverse().asDiagonal() * spectra[t].u.transpose()).eval();
      out[t] = 0.5 * (c + c.transpose());
    }
  return out;
}

}  // namespace henderson
