#include "core/panel_quadratic.hpp"

#include <array>

namespace henderson {

namespace {

// D_j'P_j and the like for one node j: T_ij in N x N blocks, P_i in N rows of S.
template <int S, int N>
void add_node(const double* columns, Index q, const Code* rows, const double* panel, Index count, Index j,
              Eigen::Matrix<double, S, S>& g) {
  using Few = Eigen::Array<double, N, 1>;
  std::array<std::array<Few, S>, N> sums;
  for (auto& column : sums) column.fill(Few::Zero());
  for (Index i = j + N; i < count; i += N) {
    std::array<Few, S> p;
    for (int e = 0; e < S; ++e) p[e] = Few::Map(panel + e * count + i);
    for (int c = 0; c < N; ++c) {
      const Few t = Few::Map(columns + c * q + rows[i]);
      for (int e = 0; e < S; ++e) sums[c][e] += t * p[e];
    }
  }
  for (int c = 0; c < N; ++c) {
    for (int r = c; r < N; ++r) {  // T_jj, its diagonal halved: it is added with its transpose
      const double t = columns[c * q + rows[j] + r] * (r == c ? 0.5 : 1.0);
      for (int e = 0; e < S; ++e) sums[c][e][0] += t * panel[e * count + j + r];
    }
    for (int e = 0; e < S; ++e) {
      const double down = sums[c][e].sum();
      for (int f = 0; f < S; ++f) g(e, f) += down * panel[f * count + j + c];
    }
  }
}

template <int S, int N>
void quadratic(const double* t, Index q, const Code* rows, const double* panel, Index count, double* packed) {
  Eigen::Matrix<double, S, S> g = Eigen::Matrix<double, S, S>::Zero();
  for (Index j = 0; j < count; j += N) add_node<S, N>(t + rows[j] * q, q, rows, panel, count, j, g);
  for (int f = 0; f < S; ++f)
    for (int e = f; e < S; ++e) *packed++ = g(e, f) + g(f, e);
}

template <int S>
void quadratic_of_nodes(const double* t, Index q, const Code* rows, const double* panel, Index count, Index node_size,
                        double* packed) {
  if (node_size == 1) quadratic<S, 1>(t, q, rows, panel, count, packed);
  if (node_size == 2) quadratic<S, 2>(t, q, rows, panel, count, packed);
  if (node_size == 3) quadratic<S, 3>(t, q, rows, panel, count, packed);
  if (node_size == 4) quadratic<S, 4>(t, q, rows, panel, count, packed);
}

}  // namespace

void panel_quadratic(const double* t, Index q, const Code* rows, const double* panel, Index count, Index s,
                     Index node_size, double* packed) {
  if (s == 1) quadratic_of_nodes<1>(t, q, rows, panel, count, node_size, packed);
  if (s == 2) quadratic_of_nodes<2>(t, q, rows, panel, count, node_size, packed);
  if (s == 3) quadratic_of_nodes<3>(t, q, rows, panel, count, node_size, packed);
  if (s == 4) quadratic_of_nodes<4>(t, q, rows, panel, count, node_size, packed);
}

}  // namespace henderson
