// The deviance with sigma not profiled out: a method of Problem for profiles that hold a standard deviation fixed.
#include "bindings/bound_problem.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace henderson {

namespace {

// Square factors, row after row and term after term, in and out.
py::tuple deviance_parts(BoundProblem& problem, const DenseArray& lambda) {
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const TermRoots& roots = *problem.core().roots();
  Index total = 0;
  for (const Matrix& root : roots) total += root.size();
  if (lambda.size() != total) throw std::invalid_argument("lambda must have " + std::to_string(total) + " elements");
  std::vector<Matrix> factors;
  const double* place = lambda.data();
  for (const Matrix& root : roots) {
    factors.emplace_back(Eigen::Map<const RowMajor>(place, root.rows(), root.cols()));
    place += root.size();
  }
  DevianceParts parts;
  {
    const py::gil_scoped_release release;
    const std::lock_guard lock(problem.mutex());
    parts = problem.core().deviance_parts(factors);
  }
  const auto flat = [total](const std::vector<Matrix>& slopes) {
    DoubleArray out(total);
    double* at = out.mutable_data();
    for (const Matrix& slope : slopes) {
      Eigen::Map<RowMajor>(at, slope.rows(), slope.cols()) = slope;
      at += slope.size();
    }
    return out;
  };
  return py::make_tuple(parts.log_det, parts.pwrss, flat(parts.log_det_slope), flat(parts.pwrss_slope),
                        to_numpy(parts.beta));
}

}  // namespace

void define_deviance_parts(py::class_<BoundProblem>& problem) {
  problem.def("deviance_parts", deviance_parts, "lambda_"_a);
}

}  // namespace henderson
