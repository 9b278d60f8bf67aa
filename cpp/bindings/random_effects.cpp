// The posterior covariance of the random effects, and what follows from it: methods of Problem that need no response.
#include <pybind11/stl.h>

#include "bindings/bound_problem.hpp"

namespace py = pybind11;
using namespace py::literals;

namespace henderson {

namespace {

using FortranArray = py::array_t<double, py::array::f_style>;

[[noreturn]] void not_factored() { throw std::invalid_argument("the model cannot be factored at this theta"); }

FortranArray solve_random(BoundProblem& problem, const DenseArray& theta, const FortranArray& rhs) {
  const Vector at = checked_theta(problem, theta);
  const Index q = problem.core().random_size();
  if (rhs.ndim() != 2 || rhs.shape(0) != q)
    throw std::invalid_argument("right-hand sides must have " + std::to_string(q) + " rows");
  FortranArray out({rhs.shape(0), rhs.shape(1)});
  const Eigen::Map<const Matrix> from(rhs.data(), q, rhs.shape(1));
  Eigen::Map<Matrix> to(out.mutable_data(), q, rhs.shape(1));
  bool is_factored = false;
  {
    const py::gil_scoped_release release;
    const std::lock_guard lock(problem.mutex());
    is_factored = problem.unstripped().solve_random(at, from, to);
  }
  if (!is_factored) not_factored();
  return out;
}

DoubleArray random_leverages(BoundProblem& problem, const DenseArray& theta) {
  problem.require_rows();
  const Vector at = checked_theta(problem, theta);
  std::optional<Vector> found;
  {
    const py::gil_scoped_release release;
    const std::lock_guard lock(problem.mutex());
    found = problem.unstripped().random_leverages(at, problem.data());
  }
  if (!found) not_factored();
  return to_numpy(*found);
}

py::list traces(BoundProblem& problem, const DenseArray& theta) {
  const Vector at = checked_theta(problem, theta);
  std::optional<std::vector<Matrix>> found;
  {
    const py::gil_scoped_release release;
    const std::lock_guard lock(problem.mutex());
    found = problem.unstripped().traces(at);
  }
  if (!found) not_factored();
  py::list out;
  for (const Matrix& each : *found) out.append(to_numpy(each));
  return out;
}

}  // namespace

void define_random_effects(py::class_<BoundProblem>& problem) {
  problem.def("solve_random", solve_random, "theta"_a, "rhs"_a.noconvert())
      .def("random_leverages", random_leverages, "theta"_a)
      .def("traces", traces, "theta"_a);
}

}  // namespace henderson
