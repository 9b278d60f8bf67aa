// Well-conditioned coordinates for the columns of X and of each Z_t.
//
//   X = Q R          Q'WQ = n I      (limited pivoting: a column that adds nothing to the ones before it is dropped, as
//   R's lm does) Z = Z~ T         Z~'WZ~ = n I    (one T per random term; a column that adds nothing is zero in Z~)
//
// The scale makes the column of ones stay itself: its sums are whole numbers and round nothing.
// Cross-products square the condition number, so they are formed from Q and Z~, never from X and Z. Each is an exact
// affine map of the data, evaluated row by row from differences to a pilot row: a shift of 1e9 in a column costs no
// digits.
//   q = S (x - pilot) + k,    S = R^-T,   k = S pilot
#pragma once

#include <vector>

#include "core/random_term.hpp"
#include "core/thread_pool.hpp"

namespace henderson {

// Weighted first and second moments of columns about a pilot row.
struct Moments {
  double weight = 0;  // sum of the weights
  Vector pilot;       // (c,) the first row
  Vector mean;        // (c,) mean difference to the pilot
  Matrix centred;     // (c, c) centred cross-products, lower triangle
};

struct AffineMap {
  std::vector<Column> columns;  // the c columns it reads
  Vector pilot;                 // (c,)
  Matrix s;                     // (c, c) lower triangular
  Vector k;                     // (c,)
  Matrix r;                     // (c, c) upper triangular: columns = mapped * r

  [[nodiscard]] Index size() const { return pilot.size(); }
  // out(:, j) = mapped column j for rows first .. first + out.rows()
  void apply(Index first, Eigen::Ref<Matrix> out) const;
  // the same for a single row
  void apply_row(Index row, double* out) const;
};

struct Whitened {
  AffineMap map;
  std::vector<Index> kept;  // which columns entered the map
};

// `raw` are moments of all of `columns`; pivots of too few digits are mended by a second pass over the rows.
[[nodiscard]] Whitened whiten_fixed(const std::vector<Column>& columns, const double* weights, Index n,
                                    const Moments& raw, ThreadPool& pool);
[[nodiscard]] AffineMap whiten_random(const std::vector<Column>& columns, const double* weights, Index n,
                                      const Moments& raw, ThreadPool& pool);

// Moments of the columns; of the columns mapped by `map` where one is given.
[[nodiscard]] Moments column_moments(const std::vector<Column>& columns, const double* weights, Index n,
                                     ThreadPool& pool, const AffineMap* map = nullptr);

// sums += rows'rows, lower triangle
void add_products(const Eigen::Ref<const Matrix>& rows, Matrix& sums);

// The part of `all` that belongs to `columns` (found by address among `named`).
[[nodiscard]] Moments select_moments(const Moments& all, const std::vector<Column>& named,
                                     const std::vector<Column>& columns);

}  // namespace henderson
