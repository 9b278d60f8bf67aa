#include "core/lane_matrix.hpp"
#include "tests/check.hpp"
#include "tests/dense_algebra.hpp"

namespace henderson::testing {

namespace {

template <int S>
Matrix level_of(const LaneMatrix<S>& x, Index level) {
  Matrix out(x.size(), x.size());
  for (Index j = 0; j < x.size(); ++j)
    for (Index i = 0; i < x.size(); ++i) out(i, j) = x(i, j)[level];
  return out;
}

}  // namespace

TEST(triangle_index_counts_column_by_column) {
  for (Index s = 1; s < 10; ++s) {
    Index k = 0;
    for (Index j = 0; j < s; ++j)
      for (Index i = j; i < s; ++i, ++k) CHECK(triangle_index(i, j, s) == k && triangle_index(j, i, s) == k);
    CHECK(triangle_size(s) == k);
  }
}

TEST(with_effects_unrolls_the_usual_sizes) {
  for (Index s = 1; s < 10; ++s) with_effects(s, [&](auto effects) { CHECK(effects() == (s <= 4 ? s : 0)); });
}

TEST(lane_scratch_hands_out_disjoint_lanes_and_keeps_its_memory) {
  LaneScratch scratch;
  scratch.begin(12);
  Lane* first = scratch.take(5);
  Lane* second = scratch.take(7);
  CHECK(second == first + 5);
  scratch.begin(3);
  CHECK(scratch.take(3) == first);
}

TEST(lane_matrices_multiply_level_by_level) {
  Draws draws(141);
  for (Index s = 1; s < 10; ++s) {
    AlignedVector<double> packed(static_cast<std::size_t>(2 * triangle_size(s) * lane_width));
    for (double& each : packed) each = draws.normal();
    with_effects(s, [&](auto effects) {
      LaneScratch scratch;
      scratch.begin(3 * s * s);
      LaneMatrix<effects()> x(s, scratch), y(s, scratch), product(s, scratch);
      load_symmetric(packed.data(), x);
      load_symmetric(packed.data() + triangle_size(s) * lane_width, y);
      multiply(x, y, product);
      for (Index level = 0; level < lane_width; ++level) {
        const Matrix own = level_of(x, level);
        CHECK_CLOSE(own, Matrix(own.transpose()), 0.0);
        CHECK(own(s - 1, 0) == packed[static_cast<std::size_t>(triangle_index(s - 1, 0, s) * lane_width + level)]);
        CHECK_CLOSE(level_of(product, level), Matrix(own * level_of(y, level)), 1e-14);
      }
    });
  }
}

}  // namespace henderson::testing
