// The Schur complement of the leading levels, the kernel that recommender-size models spend their time in:
//
//   K := A_22 - sum_j b_j b_j',    reduced := Z_2'[Q r] - sum_j b_j (H_j v_j),      b_j = a_j H_j'  (rows_j x s)
//
// A pattern of few columns is scattered into K straight from its panel; tasks own ranges of K's columns, so no two of
// them write the same entry and every entry sums its patterns in the same order, whatever the number of threads. A
// pattern of many columns is multiplied out in tiles first.
#pragma once

#include <vector>

#include "core/cross_products.hpp"
#include "core/leading_block.hpp"
#include "core/leaf_elimination.hpp"

namespace henderson {

class SchurUpdate {
 public:
  explicit SchurUpdate(const CrossProducts& a);

  // k: supernodal values, reduced: (q_2, p + 1); both are overwritten.
  void run(const CrossProducts& a, const ReducedBlocks& blocks, const LeadingFactor& factor, double* k, Matrix& reduced,
           ThreadPool& pool);

 private:
  void multiply_panels(const CrossProducts& a, const ReducedBlocks& blocks, const LeadingFactor& factor,
                       ThreadPool& pool);
  void scatter_columns(const CrossProducts& a, Index begin, Index end, double* k, Matrix& reduced) const;
  void subtract_wide(const CrossProducts& a, const Pattern& pattern, double* k, ThreadPool& pool);

  struct ChunkWork {
    Vector h, v;
  };

  Index effects_ = 0, columns_ = 0;
  std::vector<double> b_;  // panels of b_j, laid out as the coupling
  std::vector<double> t_;  // H_j v_j: (columns x s) per position
  std::vector<ChunkWork> chunk_work_;
  std::vector<Index> column_bounds_;  // of the tasks that scatter; equal work each
  std::vector<Index> wide_;           // patterns multiplied out
  std::vector<char> is_wide_;         // by pattern
  Matrix update_;
  std::vector<Index> places_;
};

}  // namespace henderson
