#include "core/dense_kernels.hpp"
#include "tests/check.hpp"
#include "tests/dense_algebra.hpp"

namespace henderson::testing {

namespace {

const std::vector<Index> sizes{1, 2, 3, 4, 5, 6, 7, 8, 9, 127, 128, 129, 300};

// The lower triangle of a, and rubbish above it that no kernel may read.
Matrix with_rubbish(const Matrix& a) {
  Matrix out = Matrix::Constant(a.rows(), a.cols(), 1e30);
  out.triangularView<Eigen::Lower>() = a;
  return out;
}

void invert(Block l, ThreadPool& pool) {
  DenseWork work;
  reserve(l.rows(), work);
  invert_from_cholesky(l, work, pool);
}

bool same_bits(const Matrix& a, const Matrix& b) { return (a.array() == b.array()).all(); }

}  // namespace

TEST(cholesky_in_place_equals_eigen) {
  Draws draws(1);
  ThreadPool pool(1);
  for (const Index n : sizes) {
    const Scope scope("n = " + std::to_string(n));
    const Matrix a = draws.positive_definite(n);
    Matrix l = with_rubbish(a);
    CHECK(cholesky_in_place(l, pool));
    CHECK_CLOSE(lower_of(l), cholesky_of(a), 1e-12);
  }
}

TEST(cholesky_in_place_refuses_what_is_not_positive_definite) {
  Draws draws(2);
  ThreadPool pool(1);
  for (const Index n : sizes)
    for (const Index bad : {Index{0}, n / 2, n - 1})
      for (const double pivot : {-1.0, 0.0, std::nan(""), HUGE_VAL}) {
        const Scope scope("n = " + std::to_string(n) + ", pivot " + std::to_string(bad) + " = " +
                          std::to_string(pivot));
        Matrix a = draws.positive_definite(n);
        a(bad, bad) = pivot;
        CHECK(!cholesky_in_place(a, pool));
      }
}

TEST(solve_right_transposed_equals_eigen) {
  Draws draws(3);
  ThreadPool pool(2);
  for (const Index n : {1, 2, 5, 9, 128, 150})
    for (const Index rows : {1, 3, 8, 127, 129, 260}) {
      const Matrix l = cholesky_of(draws.positive_definite(n));
      const Matrix x = draws.matrix(rows, n);
      Matrix actual = x;
      Matrix rubbish = with_rubbish(l);
      solve_right_transposed(rubbish, actual, pool);
      CHECK_CLOSE(actual * l.transpose(), x, 1e-12);
    }
}

TEST(outer_products_touch_the_lower_triangle_only) {
  Draws draws(4);
  ThreadPool pool(2);
  for (const Index n : sizes)
    for (const Index inner : {1, 4, 130}) {
      Matrix y = draws.matrix(n, inner);
      const Matrix before = draws.matrix(n, n);
      for (const double sign : {-1.0, 1.0}) {
        Matrix c = before;
        if (sign < 0)
          subtract_outer(y, c, pool);
        else
          add_outer(y, c, pool);
        const Matrix expected = before + sign * y * y.transpose();
        CHECK_CLOSE(lower_of(c), lower_of(expected), 1e-12);
        CHECK(same_bits(c.triangularView<Eigen::StrictlyUpper>(), before.triangularView<Eigen::StrictlyUpper>()));
      }
    }
}

TEST(invert_from_cholesky_equals_eigen) {
  Draws draws(5);
  ThreadPool pool(1);
  for (const Index n : sizes) {
    const Scope scope("n = " + std::to_string(n));
    const Matrix a = draws.positive_definite(n);
    Matrix l = with_rubbish(cholesky_of(a));
    invert(l, pool);
    CHECK_CLOSE(symmetric_of(l), inverse_of(a), 1e-11);
  }
}

TEST(dense_kernels_work_on_blocks_of_larger_matrices) {
  Draws draws(6);
  ThreadPool pool(2);
  const Matrix a = draws.positive_definite(140);
  Matrix frame = Matrix::Constant(150, 145, 3.0);
  frame.block(7, 2, 140, 140) = a;
  CHECK(cholesky_in_place(frame.block(7, 2, 140, 140), pool));
  invert(frame.block(7, 2, 140, 140), pool);
  CHECK_CLOSE(symmetric_of(frame.block(7, 2, 140, 140)), inverse_of(a), 1e-11);
  frame.block(7, 2, 140, 140).setConstant(3.0);
  CHECK((frame.array() == 3.0).all());
}

TEST(dense_work_for_a_larger_matrix_serves_smaller_ones) {
  Draws draws(8);
  ThreadPool pool(2);
  DenseWork work;
  reserve(300, work);
  for (const Index n : {300, 129, 64, 3, 300}) {
    const Matrix a = draws.positive_definite(n);
    Matrix l = cholesky_of(a);
    invert_from_cholesky(l, work, pool);
    CHECK_CLOSE(symmetric_of(l), inverse_of(a), 1e-11);
  }
}

TEST(dense_kernels_give_the_same_bits_for_any_number_of_threads) {
  Draws draws(7);
  const Matrix a = draws.positive_definite(300);
  std::vector<Matrix> factors, inverses;
  for (const int threads : {1, 2, 3}) {
    ThreadPool pool(threads);
    Matrix l = lower_of(a);
    CHECK(cholesky_in_place(l, pool));
    factors.push_back(l);
    invert(l, pool);
    inverses.push_back(l);
    CHECK(same_bits(factors.front(), factors.back()));
    CHECK(same_bits(inverses.front(), inverses.back()));
  }
}

}  // namespace henderson::testing
