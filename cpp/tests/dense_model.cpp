#include <cmath>
#include <numbers>

#include "tests/designs.hpp"

namespace henderson::testing {

DenseModel::DenseModel(const Design& d, const std::vector<Matrix>& z, const RelativeFactor& lam, bool is_reml)
    : design(d), effects(z), factor(lam), reml(is_reml) {
  const Index n = design.rows();
  Matrix v = design.weight().cwiseInverse().asDiagonal();
  for (std::size_t t = 0; t < effects.size(); ++t) {
    const Matrix zl = effects[t] * factor.lambda[t];
    const Matrix all = zl * zl.transpose();
    const std::vector<Code>& codes = design.codes[design.factor[t]];
    for (Index j = 0; j < n; ++j)
      for (Index i = 0; i < n; ++i)
        if (codes[static_cast<std::size_t>(i)] == codes[static_cast<std::size_t>(j)]) v(i, j) += all(i, j);
  }
  v_inverse = inverse_of(v);
  const Matrix x = design.fixed();
  const Matrix vx = v_inverse * x;
  projected = v_inverse;
  if (x.cols() > 0) {
    beta_vcov = inverse_of(x.transpose() * vx);
    beta = beta_vcov * vx.transpose() * design.y;
    projected -= vx * beta_vcov * vx.transpose();
    log_det_root = log_det_of(x.transpose() * vx);
  }
  py = projected * design.y;
  pwrss = design.y.dot(py);
  df = static_cast<double>(reml ? n - x.cols() : n);
  sigma2 = pwrss / df;
  const double log_weights = design.weight().array().log().sum();
  log_det = log_det_of(v) + log_weights;
  criterion = log_det + df * (1 + std::log(2 * std::numbers::pi * sigma2)) - log_weights + (reml ? log_det_root : 0.0);
}

Matrix DenseModel::scores(std::size_t term) const {
  const std::vector<Code>& codes = design.codes[design.factor[term]];
  Matrix out = Matrix::Zero(design.levels[design.factor[term]], effects[term].cols());
  for (Index i = 0; i < design.rows(); ++i) out.row(codes[static_cast<std::size_t>(i)]) += py[i] * effects[term].row(i);
  return out;
}

Matrix DenseModel::modes(std::size_t term) const {
  return scores(term) * factor.lambda[term] * factor.lambda[term].transpose();
}

std::vector<Matrix> DenseModel::g() const {
  std::vector<Matrix> out;
  const Matrix& inner = reml ? projected : v_inverse;
  for (std::size_t t = 0; t < effects.size(); ++t) {
    const std::vector<Code>& codes = design.codes[design.factor[t]];
    Matrix same = inner;
    for (Index j = 0; j < same.cols(); ++j)
      for (Index i = 0; i < same.rows(); ++i)
        if (codes[static_cast<std::size_t>(i)] != codes[static_cast<std::size_t>(j)]) same(i, j) = 0;
    const Matrix w = scores(t);
    out.emplace_back(effects[t].transpose() * same * effects[t] - w.transpose() * w / sigma2);
  }
  return out;
}

Matrix DenseModel::information() const {
  Index size = 0;
  for (const Matrix& z : effects) size += triangle_size(z.cols());
  Matrix v = Matrix::Zero(design.rows(), size);  // v_k = (dV / dPsi_k) P y
  Index k = 0;
  for (std::size_t t = 0; t < effects.size(); ++t) {
    const Matrix w = scores(t);
    const std::vector<Code>& codes = design.codes[design.factor[t]];
    for (Index b = 0; b < effects[t].cols(); ++b)
      for (Index a = b; a < effects[t].cols(); ++a, ++k)
        for (Index i = 0; i < design.rows(); ++i) {
          const Code level = codes[static_cast<std::size_t>(i)];
          v(i, k) = effects[t](i, a) * w(level, b);
          if (a != b) v(i, k) += effects[t](i, b) * w(level, a);
        }
  }
  const Vector c = v.transpose() * py / sigma2;
  return v.transpose() * projected * v / sigma2 - c * c.transpose() / df;
}

}  // namespace henderson::testing
