#include <algorithm>

#include "core/leading_block.hpp"

namespace henderson {

namespace {

void clear_sums(LeadingTask& task, Index s, Index p, bool with_information) {
  const auto triangle = static_cast<std::size_t>(triangle_size(s));
  const auto square = static_cast<std::size_t>(s * s);
  task.c.assign(triangle, Lane::Zero());
  task.c_lambda.assign(square, Lane::Zero());
  task.fixed.assign(triangle, Lane::Zero());
  task.outer.assign(triangle, Lane::Zero());
  task.information.assign(with_information ? triangle * triangle : 0, Lane::Zero());
  task.fixed_outer.assign(with_information ? square * static_cast<std::size_t>(p) : 0, Lane::Zero());
}

// N = I - A W = (I + A lam lam')^-1 and lam (l l')^-1 = N'lam of one batch of levels.
template <int S>
class LevelShrinkage {
 public:
  LevelShrinkage(Index s, LaneScratch& scratch)
      : n(s, scratch), n_lambda(s, scratch), ha_(s, scratch), product_(s, scratch), refined_(s, scratch) {}

  void compute(const LaneMatrix<S>& a, const LaneMatrix<S>& h, const double* inverse) {
    const Index s = a.size();
    for (Index j = 0; j < s; ++j)
      for (Index i = 0; i < s; ++i) {
        Lane sum = h(j, i) * lane(inverse, triangle_index(j, j, s));
        for (Index k = j + 1; k < s; ++k) sum += h(k, i) * lane(inverse, triangle_index(k, j, s));
        n_lambda(i, j) = sum;
      }
    if (s == 1) {
      n(0, 0) = lane(inverse, 0).square();
      return;
    }
    multiply(h, a, ha_);
    for (Index j = 0; j < s; ++j)
      for (Index i = 0; i < s; ++i) {
        Lane sum = Lane::Constant(i == j ? 1.0 : 0.0);
        for (Index k = 0; k < s; ++k) sum -= ha_(k, i) * h(k, j);
        n(i, j) = sum;
      }
  }

  // I - A W cancels where A lam lam' is large: one step of Newton's iteration for the inverse, N (2 I - (I + A lam
  // lam') N).
  void refine(const LaneMatrix<S>& a, const Matrix& covariance) {
    const Index s = a.size();
    if (s == 1) return;
    for (Index j = 0; j < s; ++j)
      for (Index i = 0; i < s; ++i) {
        Lane sum = a(i, 0) * covariance(0, j);
        for (Index k = 1; k < s; ++k) sum += a(i, k) * covariance(k, j);
        ha_(i, j) = sum;
      }
    multiply(ha_, n, product_);
    for (Index j = 0; j < s; ++j)
      for (Index i = 0; i < s; ++i) product_(i, j) = (i == j ? 2.0 : 0.0) - product_(i, j) - n(i, j);
    multiply(n, product_, refined_);
    n.swap(refined_);
  }

  LaneMatrix<S> n, n_lambda;

 private:
  LaneMatrix<S> ha_, product_, refined_;
};

// w = Z'Py per level, and for REML Y = F_X R_X^-1.
template <int S>
class LevelResiduals {
 public:
  LevelResiduals(const LeadingShape& shape, const LeadingInputs& in, LaneScratch& scratch)
      : s_(S > 0 ? S : shape.effects),
        columns_(shape.columns),
        in_(in),
        v_(scratch.take(s_)),
        w_(scratch.take(s_)),
        f_(scratch.take(in.root == nullptr ? 0 : s_ * columns_)) {}

  void compute(Index batch, const LaneMatrix<S>& n) {
    const double* xy = in_.xy + batch * s_ * columns_ * lane_width;
    const double* explained = in_.explained == nullptr ? nullptr : in_.explained + batch * s_ * columns_ * lane_width;
    const Vector& contrast = *in_.contrast;
    for (Index i = 0; i < s_; ++i) {
      Lane sum = Lane::Zero();
      for (Index c = 0; c < columns_; ++c) sum += right_side(xy, explained, i, c) * contrast[c];
      v_[i] = sum;
    }
    shrink(n, w_, 1);
    if (in_.root == nullptr) return;
    for (Index c = 0; c < columns_; ++c) {
      for (Index i = 0; i < s_; ++i) v_[i] = right_side(xy, explained, i, c);
      shrink(n, f_ + c, columns_);
    }
  }

  void store(Index batch, double* w, double* f) const {
    if (w != nullptr)
      for (Index i = 0; i < s_; ++i) lane(w + batch * s_ * lane_width, i) = w_[i];
    if (f != nullptr)
      for (Index i = 0; i < s_ * columns_; ++i) lane(f + batch * s_ * columns_ * lane_width, i) = f_[i];
  }

  // F_X := F_X R_X^-1, in place
  void solve_root() {
    const Matrix& root = *in_.root;
    for (Index i = 0; i < s_; ++i)
      for (Index c = 0; c + 1 < columns_; ++c) {
        Lane sum = f_[i * columns_ + c];
        for (Index d = 0; d < c; ++d) sum -= f_[i * columns_ + d] * root(d, c);
        f_[i * columns_ + c] = sum * (1.0 / root(c, c));
      }
  }

  [[nodiscard]] const Lane& w(Index i) const { return w_[i]; }
  [[nodiscard]] const Lane& y(Index i, Index c) const { return f_[i * columns_ + c]; }

 private:
  Lane right_side(const double* xy, const double* explained, Index i, Index c) const {
    const Lane v = lane(xy, i * columns_ + c);
    return explained == nullptr ? v : Lane(v - lane(explained, i * columns_ + c));
  }

  // out = N v
  void shrink(const LaneMatrix<S>& n, Lane* out, Index stride) const {
    for (Index i = 0; i < s_; ++i) {
      Lane sum = n(i, 0) * v_[0];
      for (Index j = 1; j < s_; ++j) sum += n(i, j) * v_[j];
      out[i * stride] = sum;
    }
  }

  Index s_, columns_;
  const LeadingInputs& in_;
  Lane *v_, *w_, *f_;
};

// C and C lam of one batch of levels.
template <int S>
class LevelCurvature {
 public:
  LevelCurvature(Index s, LaneScratch& scratch)
      : c(s, scratch), c_lambda(s, scratch), g_(s, scratch), ng_(s, scratch) {}

  void compute(const LaneMatrix<S>& a, const LevelShrinkage<S>& shrinkage, const double* trailing) {
    const Index s = a.size();
    if (trailing == nullptr) {
      multiply(shrinkage.n, a, c);
      multiply(a, shrinkage.n_lambda, c_lambda);
      return;
    }
    load_symmetric(trailing, g_);
    multiply(shrinkage.n, g_, ng_);
    for (Index j = 0; j < s; ++j)
      for (Index i = 0; i < s; ++i) ng_(i, j) = a(i, j) - ng_(i, j);
    multiply(ng_, shrinkage.n_lambda, c_lambda);
    for (Index j = 0; j < s; ++j)  // N A - N G N' = (A - N G) N'
      for (Index i = 0; i < s; ++i) {
        Lane sum = ng_(i, 0) * shrinkage.n(j, 0);
        for (Index k = 1; k < s; ++k) sum += ng_(i, k) * shrinkage.n(j, k);
        c(i, j) = sum;
      }
  }

  LaneMatrix<S> c, c_lambda;

 private:
  LaneMatrix<S> g_, ng_;
};

template <int S>
void add_information(const LevelCurvature<S>& curvature, const LevelResiduals<S>& residuals, Index s, Index p,
                     LeadingTask& sums, Lane* pairs) {
  const Index triangle = triangle_size(s);
  for (Index j = 0, k = 0; j < s; ++j)
    for (Index i = j; i < s; ++i, ++k) pairs[k] = residuals.w(i) * residuals.w(j);
  Lane* information = sums.information.data();
  for (Index j = 0; j < s; ++j)
    for (Index i = j; i < s; ++i) {
      const Lane c = curvature.c(i, j);
      for (Index k = 0; k < triangle; ++k) *information++ += c * pairs[k];
    }
  Lane* fixed_outer = sums.fixed_outer.data();
  for (Index j = 0; j < s; ++j)
    for (Index i = 0; i < s; ++i)
      for (Index c = 0; c < p; ++c) *fixed_outer++ += residuals.y(i, c) * residuals.w(j);
}

template <int S>
void differentiate_chunk(const LeadingShape& shape, const LeadingInputs& in, const LeadingFactor& factor,
                         const Matrix& covariance, double* w, double* f, Index begin, Index end, LeadingTask& sums) {
  const Index s = S > 0 ? S : shape.effects;
  const Index triangle = triangle_size(s);
  const Index p = in.root == nullptr ? 0 : shape.columns - 1;
  clear_sums(sums, s, p, in.information);
  sums.scratch.begin(11 * s * s + 2 * s + s * shape.columns + triangle);
  LaneMatrix<S> a(s, sums.scratch), h(s, sums.scratch);
  LevelShrinkage<S> shrinkage(s, sums.scratch);
  LevelCurvature<S> curvature(s, sums.scratch);
  LevelResiduals<S> residuals(shape, in, sums.scratch);
  Lane* pairs = sums.scratch.take(triangle);
  for (Index batch = begin; batch < end; ++batch) {
    const bool is_new = batch == begin || !repeats_last(in.gram, batch, triangle);
    if (is_new) {
      load_symmetric(in.gram + batch * triangle * lane_width, a);
      for (Index j = 0; j < s; ++j)
        for (Index i = 0; i < s; ++i) h(i, j) = lane(factor.h.data() + batch * s * s * lane_width, j * s + i);
      shrinkage.compute(a, h, factor.inverse.data() + batch * triangle * lane_width);
      shrinkage.refine(a, covariance);
    }
    residuals.compute(batch, shrinkage.n);
    residuals.store(batch, w, f);
    if (p > 0) residuals.solve_root();
    if (in.trailing != nullptr)
      curvature.compute(a, shrinkage, in.trailing + batch * triangle * lane_width);
    else if (is_new)
      curvature.compute(a, shrinkage, nullptr);
    for (Index j = 0, k = 0; j < s; ++j)
      for (Index i = j; i < s; ++i, ++k) {
        const auto at = static_cast<std::size_t>(k);
        sums.c[at] += curvature.c(i, j);
        sums.outer[at] += residuals.w(i) * residuals.w(j);
        for (Index c = 0; c < p; ++c) sums.fixed[at] += residuals.y(i, c) * residuals.y(j, c);
      }
    for (Index j = 0; j < s; ++j)
      for (Index i = 0; i < s; ++i) sums.c_lambda[static_cast<std::size_t>(j * s + i)] += curvature.c_lambda(i, j);
    if (in.information) add_information(curvature, residuals, s, p, sums, pairs);
  }
}

void add_lanes(const AlignedVector<Lane>& from, Eigen::Ref<Matrix> to) {
  for (Index k = 0; k < static_cast<Index>(from.size()); ++k) to.data()[k] += from[static_cast<std::size_t>(k)].sum();
}

void unpack(const Matrix& packed, Index s, Matrix& out) {
  out.resize(s, s);
  for (Index j = 0; j < s; ++j)
    for (Index i = j; i < s; ++i) out(i, j) = out(j, i) = packed(triangle_index(i, j, s), 0);
}

}  // namespace

void differentiate_leading(const LeadingShape& shape, const LeadingInputs& in, LeadingFactor& factor,
                           const Matrix& lambda, double* w, double* f, LeadingSums& sums, ThreadPool& pool) {
  const Index s = shape.effects;
  const Index triangle = triangle_size(s);
  const Index p = in.root == nullptr ? 0 : shape.columns - 1;
  sums.covariance.noalias() = lambda * lambda.transpose();
  with_effects(s, [&](auto effects) {
    pool.run(leading_chunks(shape), [&](Index chunk) {
      differentiate_chunk<effects()>(shape, in, factor, sums.covariance, w, f, chunk * leading_chunk_batches,
                                     std::min(lane_batches(shape.levels), (chunk + 1) * leading_chunk_batches),
                                     factor.tasks[static_cast<std::size_t>(chunk)]);
    });
  });
  const auto total = [&](AlignedVector<Lane> LeadingTask::* member, Index rows, Index cols, Matrix& out) {
    out.setZero(rows, cols);
    for (const LeadingTask& own : factor.tasks) add_lanes(own.*member, out);
  };
  total(&LeadingTask::c_lambda, s, s, sums.c_lambda);
  total(&LeadingTask::information, in.information ? triangle : 0, in.information ? triangle : 0, sums.information);
  total(&LeadingTask::fixed_outer, p, in.information ? s * s : 0, sums.fixed_outer);
  total(&LeadingTask::c, triangle, 1, sums.packed);
  unpack(sums.packed, s, sums.c);
  total(&LeadingTask::fixed, triangle, 1, sums.packed);
  unpack(sums.packed, s, sums.fixed);
  total(&LeadingTask::outer, triangle, 1, sums.packed);
  unpack(sums.packed, s, sums.outer);
  if (!in.projected) return;
  sums.c_lambda.noalias() -= sums.fixed.lazyProduct(lambda);
  sums.c -= sums.fixed;
}

}  // namespace henderson
