#include "core/whitened_rows.hpp"

#include <algorithm>

namespace henderson {

Residual residual_map(const CrossProducts& a, double pilot) {
  return {pilot, pilot - a.fixed.k.dot(a.ols), a.fixed.s.transpose() * a.ols};
}

void residual_chunk(const CrossProducts& a, const ModelData& data, const Residual& map, Index first,
                    Eigen::Ref<Vector> out) {
  out = Eigen::Map<const Vector>(data.y + first, out.size()).array() - map.pilot + map.constant;
  for (Index j = 0; j < a.p; ++j) {
    const double* x = a.fixed.columns[static_cast<std::size_t>(j)].data;
    if (x == nullptr) continue;
    out.array() -= map.slope[j] * (Eigen::Map<const Vector>(x + first, out.size()).array() - a.fixed.pilot[j]);
  }
}

RowBuffers make_buffers(const CrossProducts& a) {
  const Index height = std::min(row_chunk, a.n);
  RowBuffers buffers{Matrix(height, a.columns()), {}, Vector(height)};
  for (const Group& group : a.plan.groups) buffers.z.emplace_back(height, group.effects);
  return buffers;
}

void fill_rows(const CrossProducts& a, const ModelData& data, const Residual& map, Index first, Index rows,
               RowBuffers& buffers) {
  if (a.p > 0) a.fixed.apply(first, buffers.qr.topLeftCorner(rows, a.p));
  residual_chunk(a, data, map, first, buffers.qr.col(a.p).head(rows));
  for (std::size_t g = 0; g < a.plan.groups.size(); ++g) {
    const Group& group = a.plan.groups[g];
    for (std::size_t k = 0; k < group.terms.size(); ++k) {
      const AffineMap& term = a.random[static_cast<std::size_t>(group.terms[k])];
      term.apply(first, buffers.z[g].block(0, group.first[k], rows, term.size()));
    }
  }
  if (data.weights == nullptr) return;
  buffers.root.head(rows) = Eigen::Map<const Vector>(data.weights + first, rows).array().sqrt();
  const auto root = buffers.root.head(rows).array();
  for (Index j = 0; j < buffers.qr.cols(); ++j) buffers.qr.col(j).head(rows).array() *= root;
  for (Matrix& z : buffers.z)
    for (Index j = 0; j < z.cols(); ++j) z.col(j).head(rows).array() *= root;
}

// As many as there are rows enough to pay for their separate sums.
Index slab_count(const CrossProducts& a) {
  Index levels = 1;
  for (const Group& group : a.plan.groups) levels += group.levels;
  return std::clamp(a.n / std::max(16 * levels, Index{20000}), Index{1}, Index{8});
}

}  // namespace henderson
