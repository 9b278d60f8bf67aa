// numpy arrays in and out.
#pragma once

#include <pybind11/numpy.h>

#include "core/types.hpp"

namespace henderson {

using DoubleArray = pybind11::array_t<double>;
using DenseArray = pybind11::array_t<double, pybind11::array::c_style | pybind11::array::forcecast>;

inline DoubleArray to_numpy(const Vector& values) { return DoubleArray(values.size(), values.data()); }

// Row-major, as numpy users expect.
inline DoubleArray to_numpy(const Matrix& values) {
  DoubleArray out({values.rows(), values.cols()});
  Eigen::Map<Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(out.mutable_data(), values.rows(),
                                                                                     values.cols()) = values;
  return out;
}

inline Vector to_vector(const DenseArray& values) { return Eigen::Map<const Vector>(values.data(), values.size()); }

}  // namespace henderson
