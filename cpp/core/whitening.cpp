#include "core/whitening.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace henderson {

namespace {

constexpr Index chunk_rows = 512;    // fits the first-level cache with a dozen columns
constexpr Index slab_chunks = 32;    // rows of one task: fixed, so that sums do not depend on the number of threads
constexpr double aliased = 1e-7;     // R's lm: a column with less than this part of its own is dropped
constexpr double few_digits = 1e-3;  // smaller pivots are recomputed from mapped columns
constexpr double noise = 1e-9;       // below this a column of Z is a copy of the others

struct Sums {
  Vector first;
  Matrix second;
  double weight = 0;
};

void add_chunk(const std::vector<Column>& columns, const double* weights, const AffineMap* map, const Vector& pilot,
               Index row, Index rows, Matrix& buffer, Sums& sums) {
  const Index c = pilot.size();
  auto block = buffer.topRows(rows);
  if (map != nullptr) {
    map->apply(row, block);
  } else {
    for (Index j = 0; j < c; ++j) {
      const double* data = columns[static_cast<std::size_t>(j)].data;
      if (data == nullptr)
        block.col(j).setZero();
      else
        block.col(j) = Eigen::Map<const Vector>(data + row, rows).array() - pilot[j];
    }
  }
  if (weights == nullptr) {
    sums.weight += static_cast<double>(rows);
    for (Index j = 0; j < c; ++j) sums.first[j] += block.col(j).sum();
  } else {
    const Eigen::Map<const Vector> w(weights + row, rows);
    sums.weight += w.sum();
    for (Index j = 0; j < c; ++j) sums.first[j] += block.col(j).dot(w);
    for (Index j = 0; j < c; ++j) block.col(j).array() *= w.array().sqrt();
  }
  add_products(block, sums.second);
}

using Flags = std::vector<char>;  // per column

// Upper-triangular factor of centred + weight * mean * mean': a semidefinite Cholesky, then Givens rotations for the
// mean row, so that a mean a billion times the standard deviation loses nothing. Columns `without` one of their own
// have a row of zeros.
Matrix moment_factor(const Moments& m, const Flags& without = {}) {
  const Index c = m.mean.size();
  const auto is_without = [&](Index j) { return !without.empty() && without[static_cast<std::size_t>(j)] != 0; };
  Matrix r = Matrix::Zero(c, c);
  for (Index j = 0; j < c; ++j) {
    if (is_without(j)) continue;
    const double own = m.centred(j, j);
    const double left = own - r.col(j).head(j).squaredNorm();
    if (!(left > 1e-14 * own)) continue;
    r(j, j) = std::sqrt(left);
    for (Index i = j + 1; i < c; ++i) r(j, i) = (m.centred(i, j) - r.col(j).head(j).dot(r.col(i).head(j))) / r(j, j);
  }
  Vector row = std::sqrt(m.weight) * (m.mean + m.pilot);
  for (Index j = 0; j < c; ++j) {
    const double length = std::hypot(r(j, j), row[j]);
    if (length == 0 || is_without(j)) continue;
    const double cosine = r(j, j) / length;
    const double sine = row[j] / length;
    for (Index i = j; i < c; ++i) {
      const double upper = cosine * r(j, i) + sine * row[i];
      row[i] = cosine * row[i] - sine * r(j, i);
      r(j, i) = upper;
    }
  }
  return r;
}

// The length a column's pivot is judged by: its spread, or its size where it is constant.
double own_length(const Moments& m, Index j) {
  const double size = std::abs(m.mean[j] + m.pilot[j]) * std::sqrt(m.weight);
  const double spread = std::sqrt(std::max(m.centred(j, j), 0.0));
  return spread > 1e-13 * size ? spread : size;
}

AffineMap make_map(std::vector<Column> columns, Vector pilot, Matrix r) {
  AffineMap map{std::move(columns), std::move(pilot), {}, {}, std::move(r)};
  const Index c = map.size();
  map.s = Matrix::Identity(c, c);
  map.r.transpose().triangularView<Eigen::Lower>().solveInPlace(map.s);
  map.k = map.s * map.pilot;
  return map;
}

// A column of Z that the ones before it determine has nothing of its own: its whitened column is zero.
void silence(const std::vector<Index>& copies, AffineMap& map) {
  for (const Index j : copies) {
    map.s.row(j).setZero();
    map.k[j] = 0;
  }
}

std::vector<Column> pick(const std::vector<Column>& columns, const std::vector<Index>& kept) {
  std::vector<Column> out;
  for (const Index j : kept) out.push_back(columns[static_cast<std::size_t>(j)]);
  return out;
}

}  // namespace

void add_products(const Eigen::Ref<const Matrix>& rows, Matrix& sums) {
  if (rows.cols() > 8) {
    sums.selfadjointView<Eigen::Lower>().rankUpdate(rows.transpose());
    return;
  }
  for (Index j = 0; j < rows.cols(); ++j)
    for (Index i = j; i < rows.cols(); ++i) sums(i, j) += rows.col(i).dot(rows.col(j));
}

void AffineMap::apply(Index first, Eigen::Ref<Matrix> out) const {
  const Index rows = out.rows();
  if (size() > 6) {
    Matrix differences(rows, size());
    for (Index j = 0; j < size(); ++j) {
      const double* data = columns[static_cast<std::size_t>(j)].data;
      if (data == nullptr)
        differences.col(j).setZero();
      else
        differences.col(j) = Eigen::Map<const Vector>(data + first, rows).array() - pilot[j];
    }
    out.noalias() = differences * s.transpose();
    out.rowwise() += k.transpose();
    return;
  }
  for (Index j = size() - 1; j >= 0; --j) {
    auto target = out.col(j).array();
    target.setConstant(k[j]);
    for (Index i = 0; i <= j; ++i) {
      const double* data = columns[static_cast<std::size_t>(i)].data;
      if (data == nullptr || s(j, i) == 0) continue;
      target += s(j, i) * (Eigen::Map<const Vector>(data + first, rows).array() - pilot[i]);
    }
  }
}

void AffineMap::apply_row(Index row, double* out) const {
  for (Index j = 0; j < size(); ++j) {
    double value = k[j];
    for (Index i = 0; i <= j; ++i) {
      const double* data = columns[static_cast<std::size_t>(i)].data;
      if (data != nullptr) value += s(j, i) * (data[row] - pilot[i]);
    }
    out[j] = value;
  }
}

Moments column_moments(const std::vector<Column>& columns, const double* weights, Index n, ThreadPool& pool,
                       const AffineMap* map) {
  const auto c = static_cast<Index>(columns.size());
  Moments m;
  m.pilot.resize(c);
  if (map != nullptr)
    m.pilot.setZero();
  else
    for (Index j = 0; j < c; ++j) m.pilot[j] = columns[static_cast<std::size_t>(j)][0];
  const Index slab = chunk_rows * slab_chunks;
  const Index slabs = (n + slab - 1) / slab;
  std::vector<Sums> sums(static_cast<std::size_t>(slabs), Sums{Vector::Zero(c), Matrix::Zero(c, c), 0.0});
  pool.run(slabs, [&](Index t) {
    const Index end = std::min(n, (t + 1) * slab);
    Matrix buffer(std::min(chunk_rows, n), c);
    for (Index row = t * slab; row < end; row += chunk_rows)
      add_chunk(columns, weights, map, m.pilot, row, std::min(chunk_rows, end - row), buffer,
                sums[static_cast<std::size_t>(t)]);
  });
  Sums& total = sums.front();
  for (std::size_t t = 1; t < sums.size(); ++t) {
    total.first += sums[t].first;
    total.second += sums[t].second;
    total.weight += sums[t].weight;
  }
  m.weight = total.weight;
  m.mean = total.first / total.weight;
  m.centred = total.second;
  m.centred.triangularView<Eigen::Lower>() -= total.weight * m.mean * m.mean.transpose();
  return m;
}

Moments select_moments(const Moments& all, const std::vector<Column>& named, const std::vector<Column>& columns) {
  const auto c = static_cast<Index>(columns.size());
  std::vector<Index> place;
  for (const Column& column : columns) {
    const auto found =
        std::find_if(named.begin(), named.end(), [&](const Column& other) { return other.data == column.data; });
    place.push_back(found - named.begin());
  }
  Moments m{all.weight, Vector(c), Vector(c), Matrix::Zero(c, c)};
  for (Index j = 0; j < c; ++j) {
    const Index a = place[static_cast<std::size_t>(j)];
    m.pilot[j] = all.pilot[a];
    m.mean[j] = all.mean[a];
    for (Index i = j; i < c; ++i) {
      const Index b = place[static_cast<std::size_t>(i)];
      m.centred(i, j) = all.centred(std::max(a, b), std::min(a, b));
    }
  }
  return m;
}

Whitened whiten_fixed(const std::vector<Column>& columns, const double* weights, Index n, const Moments& raw,
                      ThreadPool& pool) {
  const double scale = std::sqrt(static_cast<double>(n));
  Flags dropped(columns.size(), 0);
  while (true) {
    const Matrix full = moment_factor(raw, dropped);
    Whitened out;
    bool mend = false;
    for (Index j = 0; j < full.rows(); ++j) {
      const double share = full(j, j) / own_length(raw, j);
      if (!(std::abs(share) > aliased)) continue;
      mend = mend || std::abs(share) < few_digits;
      out.kept.push_back(j);
    }
    const auto& kept = out.kept;
    out.map = make_map(pick(columns, kept), raw.pilot(kept), Matrix(full(kept, kept)) / scale);
    bool is_whole = true;
    for (int pass = 0; mend && is_whole && pass < 3; ++pass) {
      const Matrix correction = moment_factor(column_moments(out.map.columns, weights, n, pool, &out.map)) / scale;
      mend = (correction.diagonal().cwiseAbs().array() - 1).abs().maxCoeff() > 1e-6;
      const Matrix r = correction.triangularView<Eigen::Upper>() * out.map.r;
      for (Index k = 0; k < r.rows(); ++k) {  // what rounding left of a pivot is seen once it is computed from the rows
        const Index j = kept[static_cast<std::size_t>(k)];
        if (std::abs(r(k, k)) * scale > aliased * own_length(raw, j)) continue;
        dropped[static_cast<std::size_t>(j)] = 1;
        is_whole = false;
        break;  // later pivots were formed with this one
      }
      if (is_whole) out.map = make_map(out.map.columns, out.map.pilot, r);
    }
    if (is_whole) return out;
  }
}

AffineMap whiten_random(const std::vector<Column>& columns, const double* weights, Index n, const Moments& raw,
                        ThreadPool& pool) {
  const double scale = std::sqrt(static_cast<double>(n));
  Flags is_copy(columns.size(), 0);
  while (true) {
    Matrix r = moment_factor(raw, is_copy);
    std::vector<Index> copies;
    bool mend = false;
    for (Index j = 0; j < r.rows(); ++j) {
      const double length = own_length(raw, j);
      const double share = length > 0 ? std::abs(r(j, j)) / length : 0.0;
      mend = mend || (share >= noise && share < few_digits);
      if (share >= noise) continue;
      copies.push_back(j);
      r.row(j).setZero();
      r(j, j) = length > 0 ? length : scale;
    }
    AffineMap map = make_map(columns, raw.pilot, r / scale);
    silence(copies, map);
    bool is_whole = true;
    for (int pass = 0; mend && is_whole && pass < 3; ++pass) {
      Matrix correction = moment_factor(column_moments(columns, weights, n, pool, &map)) / scale;
      for (const Index j : copies) {
        correction.row(j).setZero();
        correction(j, j) = 1;
      }
      mend = (correction.diagonal().cwiseAbs().array() - 1).abs().maxCoeff() > 1e-6;
      r = correction.triangularView<Eigen::Upper>() * map.r;
      for (Index j = 0; j < r.rows() && is_whole; ++j) {
        if (std::abs(r(j, j)) * scale >= noise * own_length(raw, j)) continue;
        is_copy[static_cast<std::size_t>(j)] = 1;
        is_whole = false;
      }
      if (!is_whole) break;
      map = make_map(columns, map.pilot, r);
      silence(copies, map);
    }
    if (is_whole) return map;
  }
}

}  // namespace henderson
