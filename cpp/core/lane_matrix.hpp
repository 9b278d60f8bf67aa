// Small matrices of lanes: eight levels of a factor side by side.
#pragma once

#include <algorithm>
#include <array>
#include <type_traits>
#include <utility>

#include "core/types.hpp"

namespace henderson {

using LaneMap = Eigen::Map<Lane, Eigen::AlignedMax>;
using ConstLaneMap = Eigen::Map<const Lane, Eigen::AlignedMax>;

inline ConstLaneMap lane(const double* data, Index entry) { return ConstLaneMap(data + entry * lane_width); }
inline LaneMap lane(double* data, Index entry) { return LaneMap(data + entry * lane_width); }

// Scratch lanes of one task, handed out in turn: allocated once, reused by every evaluation.
class LaneScratch {
 public:
  void begin(Index lanes) {
    if (static_cast<Index>(storage_.size()) < lanes) storage_.resize(static_cast<std::size_t>(lanes));
    used_ = 0;
  }
  Lane* take(Index lanes) {
    Lane* out = storage_.data() + used_;
    used_ += lanes;
    return out;
  }

 private:
  AlignedVector<Lane> storage_;
  Index used_ = 0;
};

// An s x s matrix of lanes: on the stack, and unrolled, where S is known; S = 0 takes it from the scratch.
template <int S>
class LaneMatrix {
 public:
  LaneMatrix(Index s, LaneScratch& scratch) : s_(S > 0 ? S : s) {
    if constexpr (S == 0) entries_ = scratch.take(s * s);
  }
  Lane& operator()(Index i, Index j) { return entries_[static_cast<std::size_t>(j * size() + i)]; }
  const Lane& operator()(Index i, Index j) const { return entries_[static_cast<std::size_t>(j * size() + i)]; }
  [[nodiscard]] Index size() const { return S > 0 ? S : s_; }
  void swap(LaneMatrix& other) { std::swap(entries_, other.entries_); }

 private:
  Index s_;
  std::conditional_t<(S > 0), std::array<Lane, static_cast<std::size_t>(S* S)>, Lane*> entries_;
};

// Calls kernel with S as a compile-time constant for the usual sizes, 0 for all others.
template <class Kernel>
void with_effects(Index s, Kernel&& kernel) {
  switch (s) {
    case 1:
      kernel(std::integral_constant<int, 1>{});
      break;
    case 2:
      kernel(std::integral_constant<int, 2>{});
      break;
    case 3:
      kernel(std::integral_constant<int, 3>{});
      break;
    case 4:
      kernel(std::integral_constant<int, 4>{});
      break;
    default:
      kernel(std::integral_constant<int, 0>{});
  }
}

template <int S>
void load_symmetric(const double* packed, LaneMatrix<S>& out) {
  const Index s = out.size();
  for (Index j = 0; j < s; ++j)
    for (Index i = j; i < s; ++i) out(j, i) = out(i, j) = lane(packed, triangle_index(i, j, s));
}

// Whether the entries of a batch of levels are those of the batch before it, to the last bit.
inline bool repeats_last(const double* lanes, Index batch, Index entries) {
  const double* own = lanes + batch * entries * lane_width;
  return std::equal(own, own + entries * lane_width, own - entries * lane_width);
}

// out = x y
template <int S>
void multiply(const LaneMatrix<S>& x, const LaneMatrix<S>& y, LaneMatrix<S>& out) {
  const Index s = x.size();
  for (Index j = 0; j < s; ++j)
    for (Index i = 0; i < s; ++i) {
      Lane sum = x(i, 0) * y(0, j);
      for (Index k = 1; k < s; ++k) sum += x(i, k) * y(k, j);
      out(i, j) = sum;
    }
}

}  // namespace henderson
