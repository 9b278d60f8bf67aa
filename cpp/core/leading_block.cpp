#include "core/leading_block.hpp"

#include <array>
#include <cmath>
#include <type_traits>

namespace henderson {

namespace {

constexpr Index chunk_batches = 256;  // one task: fixed, so that sums do not depend on the number of threads

using LaneMap = Eigen::Map<Lane, Eigen::AlignedMax>;
using ConstLaneMap = Eigen::Map<const Lane, Eigen::AlignedMax>;

ConstLaneMap lane(const double* data, Index entry) { return ConstLaneMap(data + entry * lane_width); }
LaneMap lane(double* data, Index entry) { return LaneMap(data + entry * lane_width); }

// An s x s matrix of lanes: on the stack, and unrolled, where S is known; S = 0 sizes it at run time.
template <int S>
class LaneMatrix {
 public:
  explicit LaneMatrix(Index s) : s_(S > 0 ? S : s) {
    if constexpr (S == 0) entries_.resize(static_cast<std::size_t>(s * s));
  }
  Lane& operator()(Index i, Index j) { return entries_[static_cast<std::size_t>(j * size() + i)]; }
  const Lane& operator()(Index i, Index j) const { return entries_[static_cast<std::size_t>(j * size() + i)]; }
  [[nodiscard]] Index size() const { return S > 0 ? S : s_; }

 private:
  Index s_;
  std::conditional_t<(S > 0), std::array<Lane, static_cast<std::size_t>(S * S)>, AlignedVector<Lane>> entries_;
};

// Calls kernel with S as a compile-time constant for the usual sizes, 0 for all others.
template <class Kernel>
void with_effects(Index s, Kernel&& kernel) {
  switch (s) {
    case 1: kernel(std::integral_constant<int, 1>{}); break;
    case 2: kernel(std::integral_constant<int, 2>{}); break;
    case 3: kernel(std::integral_constant<int, 3>{}); break;
    case 4: kernel(std::integral_constant<int, 4>{}); break;
    default: kernel(std::integral_constant<int, 0>{});
  }
}

Index chunks(const LeadingShape& shape) { return (lane_batches(shape.levels) + chunk_batches - 1) / chunk_batches; }

template <int S>
void load_symmetric(const double* packed, LaneMatrix<S>& out) {
  const Index s = out.size();
  for (Index j = 0; j < s; ++j)
    for (Index i = j; i < s; ++i) out(j, i) = out(i, j) = lane(packed, triangle_index(i, j, s));
}

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

struct EliminationSums {
  Lane log_det = Lane::Zero();
  AlignedVector<Lane> corner;
};

template <int S>
void eliminate_chunk(const LeadingShape& shape, const double* gram, const double* xy, const Matrix& lambda, LeadingFactor& factor,
                     Index begin, Index end, EliminationSums& sums) {
  const Index s = S > 0 ? S : shape.effects;
  const Index columns = shape.columns;
  const Index triangle = triangle_size(s);
  LaneMatrix<S> a(s), product(s), l(s), inverse(s), h(s);
  AlignedVector<Lane> row(static_cast<std::size_t>(columns));
  for (Index batch = begin; batch < end; ++batch) {
    load_symmetric(gram + batch * triangle * lane_width, a);
    times_lambda(a, lambda, product);
    for (Index j = 0; j < s; ++j)
      for (Index i = j; i < s; ++i) {
        Lane sum = lambda(0, i) * product(0, j);
        for (Index k = 1; k < s; ++k) sum += lambda(k, i) * product(k, j);
        l(i, j) = i == j ? Lane(sum + 1.0) : sum;
      }
    sums.log_det += factor_and_invert(l, inverse);
    double* h_out = factor.h.data() + batch * s * s * lane_width;
    double* inverse_out = factor.inverse.data() + batch * triangle * lane_width;
    for (Index j = 0; j < s; ++j)
      for (Index i = 0; i < s; ++i) {
        Lane sum = inverse(i, 0) * lambda(j, 0);
        for (Index k = 1; k <= i; ++k) sum += inverse(i, k) * lambda(j, k);
        lane(h_out, j * s + i) = h(i, j) = sum;
        if (i >= j) lane(inverse_out, triangle_index(i, j, s)) = inverse(i, j);
      }
    const double* v = xy + batch * s * columns * lane_width;
    for (Index i = 0; i < s; ++i) {
      for (Index c = 0; c < columns; ++c) {
        Lane sum = h(i, 0) * lane(v, c);
        for (Index j = 1; j < s; ++j) sum += h(i, j) * lane(v, j * columns + c);
        row[static_cast<std::size_t>(c)] = sum;
      }
      Lane* corner = sums.corner.data();
      for (Index c = 0; c < columns; ++c)
        for (Index d = c; d < columns; ++d) *corner++ += row[static_cast<std::size_t>(c)] * row[static_cast<std::size_t>(d)];
    }
  }
}

}  // namespace

void reserve(const LeadingShape& shape, LeadingFactor& factor) {
  const Index lanes = lane_batches(shape.levels) * lane_width;
  factor.h.resize(static_cast<std::size_t>(lanes * shape.effects * shape.effects));
  factor.inverse.resize(static_cast<std::size_t>(lanes * triangle_size(shape.effects)));
}

double eliminate_leading(const LeadingShape& shape, const double* gram, const double* xy, const Matrix& lambda,
                         LeadingFactor& factor, Matrix& corner, ThreadPool& pool) {
  const Index count = chunks(shape);
  const auto corner_size = static_cast<std::size_t>(triangle_size(shape.columns));
  std::vector<EliminationSums> sums(static_cast<std::size_t>(count));
  with_effects(shape.effects, [&](auto effects) {
    pool.run(count, [&](Index chunk) {
      EliminationSums& own = sums[static_cast<std::size_t>(chunk)];
      own.corner.assign(corner_size, Lane::Zero());
      eliminate_chunk<effects()>(shape, gram, xy, lambda, factor, chunk * chunk_batches,
                                 std::min(lane_batches(shape.levels), (chunk + 1) * chunk_batches), own);
    });
  });
  double log_det = 0;
  for (const EliminationSums& own : sums) {
    log_det += own.log_det.sum();
    const Lane* from = own.corner.data();
    for (Index c = 0; c < shape.columns; ++c)
      for (Index d = c; d < shape.columns; ++d) corner(d, c) -= (*from++).sum();
  }
  corner.triangularView<Eigen::StrictlyUpper>() = corner.transpose();
  return log_det;
}

namespace {

struct DerivativeSums {
  AlignedVector<Lane> c, c_lambda, fixed, outer, information, fixed_outer;
  void clear(Index s, Index p, bool with_information) {
    const auto triangle = static_cast<std::size_t>(triangle_size(s));
    const auto square = static_cast<std::size_t>(s * s);
    c.assign(triangle, Lane::Zero());
    c_lambda.assign(square, Lane::Zero());
    fixed.assign(triangle, Lane::Zero());
    outer.assign(triangle, Lane::Zero());
    information.assign(with_information ? triangle * triangle : 0, Lane::Zero());
    fixed_outer.assign(with_information ? square * static_cast<std::size_t>(p) : 0, Lane::Zero());
  }
};

// w = Z'Py per level, and for REML Y = F_X R_X^-1.
template <int S>
class LevelResiduals {
 public:
  LevelResiduals(const LeadingShape& shape, const LeadingInputs& in)
      : s_(S > 0 ? S : shape.effects), columns_(shape.columns), in_(in), v_(static_cast<std::size_t>(s_)),
        hv_(static_cast<std::size_t>(s_)), whv_(static_cast<std::size_t>(s_)), w_(static_cast<std::size_t>(s_)),
        f_(in.root == nullptr ? 0 : static_cast<std::size_t>(s_ * columns_)) {}

  void compute(Index batch, const LaneMatrix<S>& a, const LaneMatrix<S>& h) {
    const double* xy = in_.xy + batch * s_ * columns_ * lane_width;
    const double* explained = in_.explained == nullptr ? nullptr : in_.explained + batch * s_ * columns_ * lane_width;
    const Vector& contrast = *in_.contrast;
    if (in_.root == nullptr) {
      for (Index i = 0; i < s_; ++i) {
        Lane sum = Lane::Zero();
        for (Index c = 0; c < columns_; ++c) sum += right_side(xy, explained, i, c) * contrast[c];
        v_[static_cast<std::size_t>(i)] = sum;
      }
      residual(a, h, w_.data(), 1);
      return;
    }
    for (auto& lane_of_w : w_) lane_of_w.setZero();
    for (Index c = 0; c < columns_; ++c) {
      for (Index i = 0; i < s_; ++i) v_[static_cast<std::size_t>(i)] = right_side(xy, explained, i, c);
      residual(a, h, f_.data() + c, columns_);
      for (Index i = 0; i < s_; ++i) w_[static_cast<std::size_t>(i)] += contrast[c] * f_[static_cast<std::size_t>(i * columns_ + c)];
    }
  }

  void store(Index batch, double* w, double* f) const {
    if (w != nullptr)
      for (Index i = 0; i < s_; ++i) lane(w + batch * s_ * lane_width, i) = w_[static_cast<std::size_t>(i)];
    if (f != nullptr)
      for (Index i = 0; i < s_ * columns_; ++i) lane(f + batch * s_ * columns_ * lane_width, i) = f_[static_cast<std::size_t>(i)];
  }

  // F_X := F_X R_X^-1, in place
  void solve_root() {
    const Matrix& root = *in_.root;
    for (Index i = 0; i < s_; ++i)
      for (Index c = 0; c + 1 < columns_; ++c) {
        Lane sum = f_[static_cast<std::size_t>(i * columns_ + c)];
        for (Index d = 0; d < c; ++d) sum -= f_[static_cast<std::size_t>(i * columns_ + d)] * root(d, c);
        f_[static_cast<std::size_t>(i * columns_ + c)] = sum * (1.0 / root(c, c));
      }
  }

  [[nodiscard]] const Lane& w(Index i) const { return w_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] const Lane& y(Index i, Index c) const { return f_[static_cast<std::size_t>(i * columns_ + c)]; }

 private:
  Lane right_side(const double* xy, const double* explained, Index i, Index c) const {
    const Lane v = lane(xy, i * columns_ + c);
    return explained == nullptr ? v : Lane(v - lane(explained, i * columns_ + c));
  }

  // out = v - A H'H v
  void residual(const LaneMatrix<S>& a, const LaneMatrix<S>& h, Lane* out, Index stride) {
    for (Index i = 0; i < s_; ++i) {
      Lane sum = Lane::Zero();
      for (Index j = 0; j < s_; ++j) sum += h(i, j) * v_[static_cast<std::size_t>(j)];
      hv_[static_cast<std::size_t>(i)] = sum;
    }
    for (Index i = 0; i < s_; ++i) {
      Lane sum = Lane::Zero();
      for (Index j = 0; j < s_; ++j) sum += h(j, i) * hv_[static_cast<std::size_t>(j)];
      whv_[static_cast<std::size_t>(i)] = sum;
    }
    for (Index i = 0; i < s_; ++i) {
      Lane sum = v_[static_cast<std::size_t>(i)];
      for (Index j = 0; j < s_; ++j) sum -= a(i, j) * whv_[static_cast<std::size_t>(j)];
      out[i * stride] = sum;
    }
  }

  Index s_, columns_;
  const LeadingInputs& in_;
  AlignedVector<Lane> v_, hv_, whv_, w_, f_;
};

// C and C lam of one batch of levels.
template <int S>
class LevelCurvature {
 public:
  explicit LevelCurvature(Index s) : c(s), c_lambda(s), n_(s), g_(s), ng_(s), lm_(s) {}

  void compute(const LaneMatrix<S>& a, const LaneMatrix<S>& h, const double* inverse, const double* trailing) {
    const Index s = a.size();
    for (Index j = 0; j < s; ++j)  // lam (l l')^-1 = H' l^-1
      for (Index i = 0; i < s; ++i) {
        Lane sum = Lane::Zero();
        for (Index k = j; k < s; ++k) sum += h(k, i) * lane(inverse, triangle_index(k, j, s));
        lm_(i, j) = sum;
      }
    for (Index j = 0; j < s; ++j)  // ng := H A, then n := I - A H'H = I - (H A)'H
      for (Index i = 0; i < s; ++i) {
        Lane sum = Lane::Zero();
        for (Index k = 0; k < s; ++k) sum += h(i, k) * a(k, j);
        ng_(i, j) = sum;
      }
    for (Index j = 0; j < s; ++j)
      for (Index i = 0; i < s; ++i) {
        Lane sum = Lane::Constant(i == j ? 1.0 : 0.0);
        for (Index k = 0; k < s; ++k) sum -= ng_(k, i) * h(k, j);
        n_(i, j) = sum;
      }
    if (trailing == nullptr) {
      multiply(n_, a, c, nullptr);
      multiply(a, lm_, c_lambda, nullptr);
      return;
    }
    load_symmetric(trailing, g_);
    multiply(n_, g_, ng_, &a);            // A - N G
    multiply(ng_, lm_, c_lambda, nullptr);
    for (Index j = 0; j < s; ++j)         // N A - N G N' = (A - N G) N'
      for (Index i = 0; i < s; ++i) {
        Lane sum = Lane::Zero();
        for (Index k = 0; k < s; ++k) sum += ng_(i, k) * n_(j, k);
        c(i, j) = sum;
      }
  }

  LaneMatrix<S> c, c_lambda;

 private:
  // out = x y, or from - x y
  static void multiply(const LaneMatrix<S>& x, const LaneMatrix<S>& y, LaneMatrix<S>& out, const LaneMatrix<S>* from) {
    const Index s = x.size();
    for (Index j = 0; j < s; ++j)
      for (Index i = 0; i < s; ++i) {
        Lane sum = x(i, 0) * y(0, j);
        for (Index k = 1; k < s; ++k) sum += x(i, k) * y(k, j);
        out(i, j) = from == nullptr ? sum : Lane((*from)(i, j) - sum);
      }
  }

  LaneMatrix<S> n_, g_, ng_, lm_;
};

template <int S>
void add_information(const LevelCurvature<S>& curvature, const LevelResiduals<S>& residuals, Index s, Index p, DerivativeSums& sums,
                     AlignedVector<Lane>& pairs) {
  const Index triangle = triangle_size(s);
  for (Index j = 0, k = 0; j < s; ++j)
    for (Index i = j; i < s; ++i, ++k) pairs[static_cast<std::size_t>(k)] = residuals.w(i) * residuals.w(j);
  Lane* information = sums.information.data();
  for (Index j = 0; j < s; ++j)
    for (Index i = j; i < s; ++i) {
      const Lane c = curvature.c(i, j);
      for (Index k = 0; k < triangle; ++k) *information++ += c * pairs[static_cast<std::size_t>(k)];
    }
  Lane* fixed_outer = sums.fixed_outer.data();
  for (Index j = 0; j < s; ++j)
    for (Index i = 0; i < s; ++i)
      for (Index c = 0; c < p; ++c) *fixed_outer++ += residuals.y(i, c) * residuals.w(j);
}

template <int S>
void differentiate_chunk(const LeadingShape& shape, const LeadingInputs& in, const LeadingFactor& factor, double* w, double* f,
                         Index begin, Index end, DerivativeSums& sums) {
  const Index s = S > 0 ? S : shape.effects;
  const Index triangle = triangle_size(s);
  const Index p = in.root == nullptr ? 0 : shape.columns - 1;
  LaneMatrix<S> a(s), h(s);
  LevelCurvature<S> curvature(s);
  LevelResiduals<S> residuals(shape, in);
  AlignedVector<Lane> pairs(static_cast<std::size_t>(triangle));
  for (Index batch = begin; batch < end; ++batch) {
    load_symmetric(in.gram + batch * triangle * lane_width, a);
    for (Index j = 0; j < s; ++j)
      for (Index i = 0; i < s; ++i) h(i, j) = lane(factor.h.data() + batch * s * s * lane_width, j * s + i);
    residuals.compute(batch, a, h);
    residuals.store(batch, w, f);
    if (p > 0) residuals.solve_root();
    curvature.compute(a, h, factor.inverse.data() + batch * triangle * lane_width,
                      in.trailing == nullptr ? nullptr : in.trailing + batch * triangle * lane_width);
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

Matrix unpack(const Matrix& packed, Index s) {
  Matrix out(s, s);
  for (Index j = 0; j < s; ++j)
    for (Index i = j; i < s; ++i) out(i, j) = out(j, i) = packed(triangle_index(i, j, s), 0);
  return out;
}

}  // namespace

void differentiate_leading(const LeadingShape& shape, const LeadingInputs& in, const LeadingFactor& factor, const Matrix& lambda,
                           double* w, double* f, LeadingSums& sums, ThreadPool& pool) {
  const Index s = shape.effects;
  const Index triangle = triangle_size(s);
  const Index p = in.root == nullptr ? 0 : shape.columns - 1;
  const Index count = chunks(shape);
  std::vector<DerivativeSums> partial(static_cast<std::size_t>(count));
  with_effects(s, [&](auto effects) {
    pool.run(count, [&](Index chunk) {
      DerivativeSums& own = partial[static_cast<std::size_t>(chunk)];
      own.clear(s, p, in.information);
      differentiate_chunk<effects()>(shape, in, factor, w, f, chunk * chunk_batches,
                                     std::min(lane_batches(shape.levels), (chunk + 1) * chunk_batches), own);
    });
  });
  Matrix c = Matrix::Zero(triangle, 1), fixed = Matrix::Zero(triangle, 1), outer = Matrix::Zero(triangle, 1);
  sums.c_lambda.setZero(s, s);
  sums.information.setZero(in.information ? triangle : 0, in.information ? triangle : 0);
  sums.fixed_outer.setZero(p, in.information ? s * s : 0);
  for (const DerivativeSums& own : partial) {
    add_lanes(own.c, c);
    add_lanes(own.c_lambda, sums.c_lambda);
    add_lanes(own.fixed, fixed);
    add_lanes(own.outer, outer);
    add_lanes(own.information, sums.information);
    add_lanes(own.fixed_outer, sums.fixed_outer);
  }
  sums.c = unpack(c, s);
  sums.fixed = unpack(fixed, s);
  sums.outer = unpack(outer, s);
  sums.c_lambda -= sums.fixed * lambda;
  sums.c -= sums.fixed;
}

}  // namespace henderson
