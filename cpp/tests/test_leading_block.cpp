#include "core/cross_products.hpp"
#include "core/leading_block.hpp"
#include "tests/check.hpp"
#include "tests/dense_algebra.hpp"

namespace henderson::testing {

namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// Levels with A_j, v_j, and a trailing block's share of each, as lanes and as matrices.
struct Levels {
  LeadingShape shape;
  std::vector<Matrix> a, v, g, explained;  // (s, s), (s, columns), (s, s), (s, columns)
  AlignedVector<double> gram, xy, trailing, explained_lanes;
  Matrix lambda;
};

AlignedVector<double> lanes_of(const std::vector<Vector>& levels, Index entries) {
  AlignedVector<double> out(at(lane_batches(static_cast<Index>(levels.size())) * entries * lane_width), 0.0);
  for (std::size_t level = 0; level < levels.size(); ++level)
    for (Index e = 0; e < entries; ++e) out[at(lane_place(static_cast<Index>(level), e, entries))] = levels[level][e];
  return out;
}

AlignedVector<double> pack_symmetric(const std::vector<Matrix>& blocks, Index s) {
  std::vector<Vector> packed;
  for (const Matrix& block : blocks) {
    packed.emplace_back(triangle_size(s));
    for (Index j = 0; j < s; ++j)
      for (Index i = j; i < s; ++i) packed.back()[triangle_index(i, j, s)] = block(i, j);
  }
  return lanes_of(packed, triangle_size(s));
}

AlignedVector<double> pack_rows(const std::vector<Matrix>& blocks, Index entries) {
  std::vector<Vector> packed;
  for (const Matrix& block : blocks) packed.emplace_back(Matrix(block.transpose()).reshaped());
  return lanes_of(packed, entries);
}

Levels draw_levels(Index levels, Index s, Index columns, bool singular, Draws& draws) {
  Levels out;
  out.shape = {levels, s, columns};
  for (Index j = 0; j < levels; ++j) {
    const Matrix z = draws.matrix(j % (s + 3), s);  // some levels have too few rows, some none
    out.a.emplace_back(z.transpose() * z);
    out.v.emplace_back(draws.matrix(s, columns));
    out.g.emplace_back(0.1 * draws.positive_definite(s));
    out.explained.emplace_back(draws.matrix(s, columns));
  }
  out.lambda = draws.matrix(s, s);
  if (singular) out.lambda.col(0).setZero();
  out.gram = pack_symmetric(out.a, s);
  out.xy = pack_rows(out.v, s * columns);
  out.trailing = pack_symmetric(out.g, s);
  out.explained_lanes = pack_rows(out.explained, s * columns);
  return out;
}

LeadingFactor factor_of(const Levels& levels, Matrix& corner, double& log_det, int threads = 1) {
  ThreadPool pool(threads);
  LeadingFactor factor;
  reserve(levels.shape, factor);
  log_det = eliminate_leading(levels.shape, levels.gram.data(), levels.xy.data(), levels.lambda, factor, corner, pool);
  return factor;
}

// lam (lam'A lam + I)^-1 lam'
Matrix shrunk_covariance(const Matrix& a, const Matrix& lambda) {
  return lambda * inverse_of(lambda.transpose() * a * lambda + Matrix::Identity(a.rows(), a.rows())) *
         lambda.transpose();
}

void check_elimination(const Levels& levels) {
  Draws draws(50);
  const Index s = levels.shape.effects;
  const Matrix before = draws.positive_definite(levels.shape.columns);
  Matrix corner = before, expected = before;
  double log_det = 0, expected_log_det = 0;
  const LeadingFactor factor = factor_of(levels, corner, log_det);
  for (Index j = 0; j < levels.shape.levels; ++j) {
    const Matrix& a = levels.a[at(j)];
    const Matrix m = levels.lambda.transpose() * a * levels.lambda + Matrix::Identity(s, s);
    const Matrix inverse = general_inverse_of(cholesky_of(m));
    expected_log_det += log_det_of(m);
    const Matrix h = inverse * levels.lambda.transpose();
    expected -= (h * levels.v[at(j)]).transpose() * (h * levels.v[at(j)]);
    Matrix stored_h(s, s), stored_inverse = Matrix::Zero(s, s);
    for (Index c = 0; c < s; ++c)
      for (Index r = 0; r < s; ++r) {
        stored_h(r, c) = factor.h[at(lane_place(j, c * s + r, s * s))];
        if (r >= c) stored_inverse(r, c) = factor.inverse[at(lane_place(j, triangle_index(r, c, s), triangle_size(s)))];
      }
    CHECK_CLOSE(stored_h, h, 1e-10);
    CHECK_CLOSE(stored_inverse, inverse, 1e-10);
  }
  CHECK_CLOSE(corner, expected, 1e-10);
  CHECK_CLOSE(log_det, expected_log_det, 1e-12);
}

struct Expected {
  LeadingSums sums;
  Matrix w;               // (s, levels)
  std::vector<Matrix> f;  // (s, columns)
};

Expected expected_sums(const Levels& levels, const Matrix& root, const Vector& contrast, bool has_trailing) {
  const Index s = levels.shape.effects, columns = levels.shape.columns, p = columns - 1, k = triangle_size(s);
  Expected out;
  out.sums.c = out.sums.fixed = out.sums.outer = Matrix::Zero(s, s);
  out.sums.information = Matrix::Zero(k, k);
  out.sums.fixed_outer = Matrix::Zero(p, s * s);
  out.w.resize(s, levels.shape.levels);
  for (Index j = 0; j < levels.shape.levels; ++j) {
    const Matrix& a = levels.a[at(j)];
    const Matrix n = Matrix::Identity(s, s) - a * shrunk_covariance(a, levels.lambda);
    Matrix c = n * a, v = levels.v[at(j)];
    if (has_trailing) {
      c -= n * levels.g[at(j)] * n.transpose();
      v -= levels.explained[at(j)];
    }
    const Matrix f = n * v;
    const Matrix y = f.leftCols(p) * general_inverse_of(root);
    const Vector w = f * contrast;
    out.f.push_back(f);
    out.w.col(j) = w;
    out.sums.fixed += y * y.transpose();
    out.sums.c += c - y * y.transpose();
    out.sums.outer += w * w.transpose();
    for (Index b = 0; b < s; ++b)
      for (Index i = 0; i < s; ++i) out.sums.fixed_outer.col(i + s * b) += y.row(i).transpose() * w[b];
    for (Index b = 0; b < s; ++b)
      for (Index i = b; i < s; ++i)
        for (Index d = 0; d < s; ++d)
          for (Index e = d; e < s; ++e)
            out.sums.information(triangle_index(e, d, s), triangle_index(i, b, s)) += c(i, b) * w[e] * w[d];
  }
  out.sums.c_lambda = out.sums.c * levels.lambda;
  return out;
}

void check_derivatives(const Levels& levels, bool reml, bool has_trailing) {
  Draws draws(51);
  const Index s = levels.shape.effects, columns = levels.shape.columns;
  const Matrix root = cholesky_of(draws.positive_definite(columns - 1)).transpose();
  const Vector contrast = draws.matrix(columns, 1);
  Matrix corner = Matrix::Zero(columns, columns);
  double log_det = 0;
  LeadingFactor factor = factor_of(levels, corner, log_det);
  LeadingInputs in;
  in.gram = levels.gram.data();
  in.xy = levels.xy.data();
  in.contrast = &contrast;
  in.information = true;
  if (reml) in.root = &root;
  if (has_trailing) {
    in.explained = levels.explained_lanes.data();
    in.trailing = levels.trailing.data();
  }
  AlignedVector<double> w(levels.xy.size()), f(levels.xy.size());
  LeadingSums sums;
  ThreadPool pool(1);
  differentiate_leading(levels.shape, in, factor, levels.lambda, w.data(), reml ? f.data() : nullptr, sums, pool);
  Expected expected = expected_sums(levels, root, contrast, has_trailing);
  if (!reml) {
    expected.sums.c += expected.sums.fixed;
    expected.sums.c_lambda = expected.sums.c * levels.lambda;
  }
  CHECK_CLOSE(sums.c, expected.sums.c, 1e-10);
  CHECK_CLOSE(sums.c_lambda, expected.sums.c_lambda, 1e-10);
  CHECK_CLOSE(sums.outer, expected.sums.outer, 1e-10);
  CHECK_CLOSE(sums.information, expected.sums.information, 1e-10);
  if (reml) CHECK_CLOSE(sums.fixed, expected.sums.fixed, 1e-10);
  if (reml) CHECK_CLOSE(sums.fixed_outer, expected.sums.fixed_outer, 1e-10);
  for (Index j = 0; j < levels.shape.levels; ++j)
    for (Index i = 0; i < s; ++i) {
      CHECK(std::abs(w[at(lane_place(j, i, s))] - expected.w(i, j)) < 1e-9);
      for (Index c = 0; c < columns && reml; ++c)
        CHECK(std::abs(f[at(lane_place(j, i * columns + c, s * columns))] - expected.f[at(j)](i, c)) < 1e-9);
    }
}

}  // namespace

TEST(eliminate_leading_equals_dense_factors_level_by_level) {
  Draws draws(52);
  for (const Index s : {1, 2, 3, 4, 5, 6, 7, 8, 9, 20})
    for (const Index levels : {1, 7, 8, 19})
      for (const Index columns : {1, 4}) {
        const Scope scope("s = " + std::to_string(s) + ", " + std::to_string(levels) + " levels, columns " +
                          std::to_string(columns));
        check_elimination(draw_levels(levels, s, columns, false, draws));
        check_elimination(draw_levels(levels, s, columns, true, draws));
      }
}

TEST(differentiate_leading_equals_dense_sums_level_by_level) {
  Draws draws(53);
  for (const Index s : {1, 2, 3, 4, 5, 6, 9, 20})
    for (const Index levels : {1, 8, 19})
      for (const Index columns : {1, 4})
        for (const bool singular : {false, true}) {
          const Scope scope("s = " + std::to_string(s) + ", " + std::to_string(levels) + " levels, columns " +
                            std::to_string(columns));
          const Levels drawn = draw_levels(levels, s, columns, singular, draws);
          for (const bool has_trailing : {false, true}) {
            check_derivatives(drawn, false, has_trailing);
            if (columns > 1) check_derivatives(drawn, true, has_trailing);
          }
        }
}

TEST(eliminate_leading_returns_no_number_where_a_level_is_not_finite) {
  Draws draws(54);
  for (const Index s : {1, 2, 5}) {
    Levels levels = draw_levels(11, s, 2, false, draws);
    levels.lambda(0, 0) = std::nan("");
    Matrix corner = Matrix::Identity(2, 2);
    double log_det = 0;
    const LeadingFactor factor = factor_of(levels, corner, log_det);
    CHECK(!std::isfinite(log_det));
  }
}

TEST(leading_block_has_the_same_bits_for_any_number_of_threads) {
  Draws draws(55);
  const Levels levels = draw_levels(5000, 2, 3, false, draws);
  Matrix one = Matrix::Zero(3, 3);
  double log_det_one = 0;
  const LeadingFactor factor = factor_of(levels, one, log_det_one, 1);
  for (const int threads : {2, 3}) {
    Matrix corner = Matrix::Zero(3, 3);
    double log_det = 0;
    CHECK(factor_of(levels, corner, log_det, threads).h == factor.h);
    CHECK(log_det == log_det_one && (corner.array() == one.array()).all());
  }
}

}  // namespace henderson::testing
