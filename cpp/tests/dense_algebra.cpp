#include "tests/dense_algebra.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>
#include <Eigen/LU>
#include <Eigen/QR>
#include <cmath>
#include <numbers>

namespace henderson::testing {

double Draws::uniform() {  // splitmix64
  std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return (static_cast<double>((z ^ (z >> 31)) >> 11) + 0.5) * 0x1.0p-53;
}

double Draws::normal() {
  const double radius = std::sqrt(-2 * std::log(uniform()));
  return radius * std::cos(2 * std::numbers::pi * uniform());
}

Index Draws::below(Index bound) { return static_cast<Index>(uniform() * static_cast<double>(bound)); }

Matrix Draws::matrix(Index rows, Index cols) {
  Matrix out(rows, cols);
  for (Index j = 0; j < cols; ++j)
    for (Index i = 0; i < rows; ++i) out(i, j) = normal();
  return out;
}

Matrix Draws::positive_definite(Index size) {
  const Matrix half = matrix(size, size);
  return half * half.transpose() + static_cast<double>(size) * Matrix::Identity(size, size);
}

Matrix Draws::orthogonal(Index size) { return Eigen::HouseholderQR<Matrix>(matrix(size, size)).householderQ(); }

Matrix lower_of(const Matrix& a) { return a.triangularView<Eigen::Lower>(); }
Matrix symmetric_of(const Matrix& lower) { return lower.selfadjointView<Eigen::Lower>(); }
Matrix cholesky_of(const Matrix& a) { return Eigen::LLT<Matrix>(a).matrixL(); }
Matrix inverse_of(const Matrix& a) { return Eigen::LLT<Matrix>(a).solve(Matrix::Identity(a.rows(), a.cols())); }
Matrix general_inverse_of(const Matrix& a) { return a.size() == 0 ? a : Matrix(a.fullPivLu().inverse()); }
double log_det_of(const Matrix& a) { return 2 * cholesky_of(a).diagonal().array().log().sum(); }
Vector eigenvalues_of(const Matrix& a) { return Eigen::SelfAdjointEigenSolver<Matrix>(a).eigenvalues(); }
Matrix eigenvectors_of(const Matrix& a) { return Eigen::SelfAdjointEigenSolver<Matrix>(a).eigenvectors(); }

}  // namespace henderson::testing
