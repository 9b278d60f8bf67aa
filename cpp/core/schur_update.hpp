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
  struct ChunkWork {
    Vector h, v;
  };
  // Rows first .. last of a pattern, all within one task's columns of K.
  struct Segment {
    Code pattern = 0, first = 0, last = 0;
  };

  void share_columns(const EliminationPlan& plan);
  void list_segments(const EliminationPlan& plan);
  void multiply_panels(const CrossProducts& a, const ReducedBlocks& blocks, const LeadingFactor& factor,
                       ThreadPool& pool);
  void scatter_segment(const EliminationPlan& plan, const Segment& segment, double* k, Matrix& reduced) const;
  void subtract_wide(const CrossProducts& a, const Pattern& pattern, double* k, Matrix& reduced, ThreadPool& pool);

  Index effects_ = 0, columns_ = 0;
  Index node_size_ = 1;    // of every trailing node, if common
  std::vector<double> b_;  // panels of b_j, laid out as the coupling
  std::vector<double> t_;  // H_j v_j: (columns x s) per position
  std::vector<ChunkWork> chunk_work_;
  std::vector<Index> column_bounds_;  // of the tasks that scatter; equal work each
  std::vector<Segment> segments_;     // task after task
  std::vector<std::size_t> segment_start_;
  std::vector<char> is_wide_;  // by pattern: multiplied out
  Matrix update_, wide_reduced_;
  std::vector<Index> places_;
};

}  // namespace henderson
