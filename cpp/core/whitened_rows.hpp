// Rows in the coordinates of A, sqrt(w) [Q r] and sqrt(w) Z~, a chunk of them at a time.
#pragma once

#include "core/cross_products.hpp"

namespace henderson {

inline constexpr Index row_chunk = 512;

// r = y - Q c, computed from differences to the pilot row.
struct Residual {
  double pilot = 0, constant = 0;
  Vector slope;  // on x - pilot
};

struct RowBuffers {
  Matrix qr;              // (rows, p + 1)  sqrt(w) [Q r]
  std::vector<Matrix> z;  // per group (rows, s)  sqrt(w) Z~
  Vector root;            // sqrt(w)
};

[[nodiscard]] Residual residual_map(const CrossProducts& a, double pilot);
// r of rows first .., unweighted
void residual_chunk(const CrossProducts& a, const ModelData& data, const Residual& map, Index first,
                    Eigen::Ref<Vector> out);

[[nodiscard]] RowBuffers make_buffers(const CrossProducts& a);
void fill_rows(const CrossProducts& a, const ModelData& data, const Residual& map, Index first, Index rows,
               RowBuffers& buffers);

// Into how many parts the rows are split, summed one by one: a matter of the data, not of the threads.
[[nodiscard]] Index slab_count(const CrossProducts& a);

}  // namespace henderson
