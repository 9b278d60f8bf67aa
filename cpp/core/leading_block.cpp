#include "core/leading_block.hpp"

#include <algorithm>

namespace henderson {

namespace {

// product := a lambda
template <int S>
void times_lambda(const LaneMatrix<S>& a, const Matrix& lambda, LaneMatrix<S>& product) {
  const Index s = a.size();
  for (Index j = 0; j < s; ++j)
    for (Index i = 0; i < s; ++i) {
      Lane sum = a(i, 0) * lambda(0, j);
      for (Index k = 1; k < s; ++k) sum += a(i, k) * lambda(k, j);
      product(i, j) = sum;
    }
}

// l := Cholesky factor of l (lower), then its inverse in `inverse`; returns the product of the diagonal.
template <int S>
Lane factor_and_invert(LaneMatrix<S>& l, LaneMatrix<S>& inverse) {
  const Index s = l.size();
  Lane log_det = Lane::Zero();
  Lane product = Lane::Ones();
  for (Index j = 0; j < s; ++j) {
    Lane pivot = l(j, j);
    for (Index k = 0; k < j; ++k) pivot -= l(j, k) * l(j, k);
    product *= pivot;
    if (j % 8 == 7) {
      log_det += product.log();
      product.setOnes();
    }
    const Lane reciprocal = pivot.sqrt().inverse();
    inverse(j, j) = reciprocal;
    for (Index i = j + 1; i < s; ++i) {
      Lane sum = l(i, j);
      for (Index k = 0; k < j; ++k) sum -= l(i, k) * l(j, k);
      l(i, j) = sum * reciprocal;
    }
  }
  for (Index j = 0; j < s; ++j)
    for (Index i = j + 1; i < s; ++i) {
      Lane sum = l(i, j) * inverse(j, j);
      for (Index k = j + 1; k < i; ++k) sum += l(i, k) * inverse(k, j);
      inverse(i, j) = -sum * inverse(i, i);
    }
  return log_det + product.log();
}

// lam'a lam + I = l l',  h = l^-1 lam'; returns log|l|^2.
template <int S>
Lane factor_level(const LaneMatrix<S>& a, const Matrix& lambda, LaneMatrix<S>& l, LaneMatrix<S>& inverse,
                  LaneMatrix<S>& h) {
  const Index s = a.size();
  times_lambda(a, lambda, h);  // room for the product until h is known
  for (Index j = 0; j < s; ++j)
    for (Index i = j; i < s; ++i) {
      Lane sum = lambda(0, i) * h(0, j);
      for (Index k = 1; k < s; ++k) sum += lambda(k, i) * h(k, j);
      l(i, j) = i == j ? Lane(sum + 1.0) : sum;
    }
  const Lane log_det = factor_and_invert(l, inverse);
  for (Index j = 0; j < s; ++j)
    for (Index i = 0; i < s; ++i) {
      Lane sum = inverse(i, 0) * lambda(j, 0);
      for (Index k = 1; k <= i; ++k) sum += inverse(i, k) * lambda(j, k);
      h(i, j) = sum;
    }
  return log_det;
}

template <int S>
void eliminate_chunk(const LeadingShape& shape, const double* gram, const double* xy, const Matrix& lambda,
                     LeadingFactor& factor, Index begin, Index end, LeadingTask& task) {
  const Index s = S > 0 ? S : shape.effects;
  const Index columns = shape.columns;
  const Index triangle = triangle_size(s);
  task.scratch.begin(4 * s * s + columns);
  LaneMatrix<S> a(s, task.scratch), l(s, task.scratch), inverse(s, task.scratch), h(s, task.scratch);
  Lane* row = task.scratch.take(columns);
  Lane log_det = Lane::Zero(), batch_log_det = Lane::Zero();
  task.corner.assign(static_cast<std::size_t>(triangle_size(columns)), Lane::Zero());
  for (Index batch = begin; batch < end; ++batch) {
    if (batch == begin || !repeats_last(gram, batch, triangle)) {
      load_symmetric(gram + batch * triangle * lane_width, a);
      batch_log_det = factor_level(a, lambda, l, inverse, h);
    }
    log_det += batch_log_det;
    double* h_out = factor.h.data() + batch * s * s * lane_width;
    double* inverse_out = factor.inverse.data() + batch * triangle * lane_width;
    for (Index j = 0; j < s; ++j)
      for (Index i = 0; i < s; ++i) {
        lane(h_out, j * s + i) = h(i, j);
        if (i >= j) lane(inverse_out, triangle_index(i, j, s)) = inverse(i, j);
      }
    const double* v = xy + batch * s * columns * lane_width;
    for (Index i = 0; i < s; ++i) {
      for (Index c = 0; c < columns; ++c) {
        Lane sum = h(i, 0) * lane(v, c);
        for (Index j = 1; j < s; ++j) sum += h(i, j) * lane(v, j * columns + c);
        row[c] = sum;
      }
      Lane* corner = task.corner.data();
      for (Index c = 0; c < columns; ++c)
        for (Index d = c; d < columns; ++d) *corner++ += row[c] * row[d];
    }
  }
  task.log_det = log_det;
}

}  // namespace

void reserve(const LeadingShape& shape, LeadingFactor& factor) {
  const Index lanes = lane_batches(shape.levels) * lane_width;
  factor.h.resize(static_cast<std::size_t>(lanes * shape.effects * shape.effects));
  factor.inverse.resize(static_cast<std::size_t>(lanes * triangle_size(shape.effects)));
  factor.tasks.resize(static_cast<std::size_t>(leading_chunks(shape)));
}

double eliminate_leading(const LeadingShape& shape, const double* gram, const double* xy, const Matrix& lambda,
                         LeadingFactor& factor, Matrix& corner, ThreadPool& pool) {
  with_effects(shape.effects, [&](auto effects) {
    pool.run(leading_chunks(shape), [&](Index chunk) {
      eliminate_chunk<effects()>(shape, gram, xy, lambda, factor, chunk * leading_chunk_batches,
                                 std::min(lane_batches(shape.levels), (chunk + 1) * leading_chunk_batches),
                                 factor.tasks[static_cast<std::size_t>(chunk)]);
    });
  });
  double log_det = 0;
  for (const LeadingTask& own : factor.tasks) {
    log_det += own.log_det.sum();
    const Lane* from = own.corner.data();
    for (Index c = 0; c < shape.columns; ++c)
      for (Index d = c; d < shape.columns; ++d) corner(d, c) -= (*from++).sum();
  }
  corner.triangularView<Eigen::StrictlyUpper>() = corner.transpose();
  return log_det;
}

}  // namespace henderson
