#include <cmath>

#include "core/whitening.hpp"
#include "tests/check.hpp"
#include "tests/dense_algebra.hpp"

namespace henderson::testing {

namespace {

// Columns of a matrix; a column of ones first where `ones`.
std::vector<Column> columns_of(const Matrix& x, bool ones) {
  std::vector<Column> out;
  if (ones) out.push_back({});
  for (Index j = 0; j < x.cols(); ++j) out.push_back({x.col(j).data()});
  return out;
}

Matrix with_ones(const Matrix& x, bool ones) {
  Matrix out = Matrix::Ones(x.rows(), x.cols() + (ones ? 1 : 0));
  out.rightCols(x.cols()) = x;
  return out;
}

struct Case {
  Matrix x;
  Vector weights;
  bool ones = true;

  [[nodiscard]] std::vector<Column> columns() const { return columns_of(x, ones); }
  [[nodiscard]] const double* weight() const { return weights.size() > 0 ? weights.data() : nullptr; }
  [[nodiscard]] Matrix all() const { return with_ones(x, ones); }
  [[nodiscard]] Matrix gram(const Matrix& q) const {
    if (weights.size() == 0) return q.transpose() * q;
    return q.transpose() * weights.asDiagonal() * q;
  }
  [[nodiscard]] Moments moments(ThreadPool& pool) const { return column_moments(columns(), weight(), x.rows(), pool); }
  [[nodiscard]] Whitened fixed(ThreadPool& pool) const {
    return whiten_fixed(columns(), weight(), x.rows(), moments(pool), pool);
  }
  [[nodiscard]] AffineMap random(ThreadPool& pool) const {
    return whiten_random(columns(), weight(), x.rows(), moments(pool), pool);
  }
};

std::vector<Case> cases() {
  Draws draws(41);
  std::vector<Case> out;
  for (const Index c : {1, 2, 3, 4, 5, 6, 7, 8, 9, 20})
    for (const Index n : {30, 512, 700})
      for (const bool weighted : {false, true})
        out.push_back({draws.matrix(n, c), weighted ? Vector((draws.matrix(n, 1) * 0.5).array().exp()) : Vector(),
                       c % 2 == 0 || weighted});
  return out;
}

Matrix mapped(const AffineMap& map, Index n) {
  Matrix out(n, map.size());
  map.apply(0, out);
  return out;
}

double orthogonality(const Case& c, const AffineMap& map) {
  const auto n = static_cast<double>(c.x.rows());
  return relative_error(c.gram(mapped(map, c.x.rows())) / n, Matrix::Identity(map.size(), map.size()));
}

}  // namespace

TEST(column_moments_equal_direct_sums) {
  ThreadPool pool(2);
  for (const Case& c : cases()) {
    const Moments m = c.moments(pool);
    const Matrix x = c.all();
    const Vector w = c.weights.size() > 0 ? c.weights : Vector::Ones(x.rows());
    const Vector mean = x.transpose() * w / w.sum();
    CHECK_CLOSE(m.weight, w.sum(), 1e-13);
    CHECK_CLOSE(Vector(m.mean + m.pilot), mean, 1e-12);
    CHECK_CLOSE(symmetric_of(m.centred), c.gram(x.rowwise() - mean.transpose()), 1e-12);
  }
}

TEST(select_moments_equals_moments_of_the_selection) {
  ThreadPool pool(1);
  for (const Case& c : cases()) {
    const std::vector<Column> all = c.columns();
    const std::vector<Column> some(all.rbegin(), all.rend());
    const Moments selected = select_moments(c.moments(pool), all, some);
    const Moments direct = column_moments(some, c.weight(), c.x.rows(), pool);
    CHECK_CLOSE(selected.mean, direct.mean, 1e-12);
    CHECK_CLOSE(lower_of(selected.centred), lower_of(direct.centred), 1e-12);
  }
}

TEST(whitened_columns_are_orthonormal_and_reproduce_the_data) {
  ThreadPool pool(1);
  for (const Case& c : cases()) {
    const Whitened fixed = c.fixed(pool);
    const AffineMap random = c.random(pool);
    CHECK(static_cast<Index>(fixed.kept.size()) == c.all().cols());
    for (const AffineMap* map : {&fixed.map, &random}) {
      CHECK(orthogonality(c, *map) < 1e-12);
      const Matrix q = mapped(*map, c.x.rows());
      CHECK_CLOSE(Matrix(q * map->r), c.all(), 1e-12);
      CHECK(Matrix(map->r.triangularView<Eigen::StrictlyLower>()).isZero(0));
      CHECK_CLOSE(Matrix(map->s.transpose() * map->r), Matrix::Identity(map->size(), map->size()), 1e-12);
      Vector row(map->size());
      map->apply_row(c.x.rows() - 1, row.data());
      CHECK_CLOSE(row, Vector(q.row(c.x.rows() - 1).transpose()), 1e-12);
      Matrix part(7, map->size());
      map->apply(5, part);
      CHECK_CLOSE(part, Matrix(q.middleRows(5, 7)), 1e-14);
    }
  }
}

TEST(whitening_keeps_its_digits_under_shifts_of_1e9) {
  Draws draws(42);
  ThreadPool pool(1);
  for (const Index c : {1, 2, 3, 7}) {
    for (const double shift : {1e3, 1e6, 1e9}) {
      Case shifted{(draws.matrix(200, c).array() + shift).matrix(), {}, true};
      const Whitened fixed = shifted.fixed(pool);
      CHECK(static_cast<Index>(fixed.kept.size()) == c + 1);
      const double tolerance = 1e-12 + 2e-15 * shift;  // the offset k = S pilot rounds; differences within Q do not
      CHECK(orthogonality(shifted, fixed.map) < tolerance);
      CHECK(orthogonality(shifted, shifted.random(pool)) < tolerance);
      const Matrix q = mapped(fixed.map, 200);
      const Matrix centred_q = q.rowwise() - q.colwise().mean();
      CHECK_CLOSE(Matrix(centred_q.rightCols(c).transpose() * centred_q.rightCols(c) / 200), Matrix::Identity(c, c),
                  1e-12);
      CHECK_CLOSE(Matrix(mapped(fixed.map, 200) * fixed.map.r), shifted.all(), 1e-12);
      Case centred{(shifted.x.array() - shift).matrix(), {}, true};  // exact: the shift costs no digits of Q
      CHECK_CLOSE(q, mapped(centred.fixed(pool).map, 200), tolerance);
    }
  }
}

TEST(whitening_does_not_depend_on_the_scale_of_columns) {
  Draws draws(43);
  ThreadPool pool(1);
  const Case plain{draws.matrix(100, 4), {}, true};
  Case scaled = plain;
  for (Index j = 0; j < 4; ++j) scaled.x.col(j) *= std::ldexp(1.0, static_cast<int>(30 - 20 * j));
  CHECK_CLOSE(mapped(scaled.fixed(pool).map, 100), mapped(plain.fixed(pool).map, 100), 1e-12);
  CHECK_CLOSE(mapped(scaled.random(pool), 100), mapped(plain.random(pool), 100), 1e-12);
}

TEST(polynomials_of_high_degree_are_whitened_to_working_precision) {
  ThreadPool pool(1);
  Case c{Matrix(60, 6), {}, true};
  for (Index i = 0; i < 60; ++i)
    for (Index j = 0; j < 6; ++j) c.x(i, j) = std::pow(1 + static_cast<double>(i) / 60.0, static_cast<double>(j + 1));
  const Whitened fixed = c.fixed(pool);
  CHECK(fixed.kept.size() >= 6);
  CHECK(orthogonality(c, fixed.map) < 1e-7);
  CHECK(orthogonality(c, c.random(pool)) < 1e-7);
}

TEST(limited_pivoting_drops_the_later_aliased_column) {
  Draws draws(44);
  ThreadPool pool(1);
  for (const double shift : {0.0, 1e4, 1e9}) {
    const Scope scope("shift " + std::to_string(shift));
    Case c{(draws.matrix(80, 6).array() + shift).matrix(), {}, true};
    c.x.col(2) = c.x.col(0) + c.x.col(1);
    c.x.col(4) = 2 * c.x.col(3).array() + 1;
    c.x.col(5).setConstant(5.0);
    const Whitened fixed = c.fixed(pool);
    CHECK((fixed.kept == std::vector<Index>{0, 1, 2, 4}));
    CHECK(orthogonality(c, fixed.map) < 1e-12 + 2e-15 * shift);
  }
}

TEST(whiten_fixed_of_nothing_is_nothing) {
  ThreadPool pool(1);
  const Case c{Matrix(20, 0), {}, false};
  CHECK(c.fixed(pool).map.size() == 0);
  CHECK(c.fixed(pool).kept.empty());
}

TEST(whiten_random_keeps_dependent_columns_and_maps_them_back) {
  Draws draws(45);
  ThreadPool pool(1);
  Case c{draws.matrix(90, 5), {}, true};
  c.x.col(2) = c.x.col(0) - 2 * c.x.col(1);
  c.x.col(4).setZero();
  const AffineMap map = c.random(pool);
  CHECK(map.size() == 6);
  CHECK(map.r.diagonal().cwiseAbs().minCoeff() > 0);
  const Matrix q = mapped(map, 90);
  CHECK(q.allFinite());
  CHECK_CLOSE(Matrix(q * map.r), c.all(), 1e-12);
  CHECK(q.col(3).isZero(1e-6) && q.col(5).isZero(0));  // what the columns before determine has nothing of its own
}

TEST(whitening_has_the_same_bits_for_any_number_of_threads) {
  Draws draws(46);
  const Case c{draws.matrix(40000, 3), Vector((draws.matrix(40000, 1) * 0.5).array().exp()), true};
  ThreadPool one(1);
  const Matrix r = c.fixed(one).map.r;
  for (const int threads : {2, 3}) {
    ThreadPool pool(threads);
    CHECK((c.fixed(pool).map.r.array() == r.array()).all());
  }
}

}  // namespace henderson::testing
