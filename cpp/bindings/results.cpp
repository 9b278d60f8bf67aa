#include "bindings/results.hpp"

#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/register.hpp"

namespace py = pybind11;

namespace henderson {

const char* sentence(Status status) {
  switch (status) {
    case Status::converged:
      return "converged";
    case Status::stopped:
      return "stopped by callback";
    case Status::evaluation_limit:
      return "evaluation limit";
    case Status::no_progress:
      break;
  }
  return "no progress";
}

namespace {

py::list per_term(const std::vector<Matrix>& values) {
  py::list out;
  for (const Matrix& each : values) out.append(to_numpy(each));
  return out;
}

}  // namespace

void register_results(py::module_& m) {
  py::class_<BoundSolution>(m, "Solution")
      .def_property_readonly("criterion", [](const BoundSolution& s) { return s.solution.criterion; })
      .def_readonly("reml", &BoundSolution::reml)
      .def_property_readonly("beta", [](const BoundSolution& s) { return to_numpy(s.solution.beta); })
      .def_property_readonly("unscaled_vcov", [](const BoundSolution& s) { return to_numpy(s.solution.unscaled_vcov); })
      .def_property_readonly("sigma", [](const BoundSolution& s) { return s.solution.sigma; })
      .def_property_readonly("pwrss", [](const BoundSolution& s) { return s.solution.pwrss; })
      .def_property_readonly("b", [](const BoundSolution& s) { return per_term(s.solution.b); })
      .def_property_readonly("u", [](const BoundSolution& s) { return per_term(s.solution.u); })
      .def_property_readonly("log_det_l", [](const BoundSolution& s) { return s.solution.log_det; })
      .def_property_readonly("log_det_rx", [](const BoundSolution& s) { return s.solution.log_det_root; });

  py::class_<BoundOptimum>(m, "Optimum")
      .def_property_readonly(
          "theta", [](const BoundOptimum& o) { return to_numpy(canonical_theta(o.optimum.factor, *o.roots)); })
      .def_property_readonly("criterion", [](const BoundOptimum& o) { return o.optimum.value; })
      .def_property_readonly("evaluations", [](const BoundOptimum& o) { return o.optimum.evaluations; })
      .def_property_readonly("iterations", [](const BoundOptimum& o) { return o.optimum.iterations; })
      .def_property_readonly("status", [](const BoundOptimum& o) { return sentence(o.optimum.status); })
      .def_property_readonly("decrement", [](const BoundOptimum& o) { return o.optimum.decrement; })
      .def_property_readonly("gradient_norm", [](const BoundOptimum& o) { return o.optimum.gradient_norm; })
      .def_property_readonly("curvature", [](const BoundOptimum& o) { return o.optimum.curvature; })
      .def_property_readonly("ranks", [](const BoundOptimum& o) { return o.optimum.ranks; })
      .def_property_readonly("trace", [](const BoundOptimum& o) {
        py::list out;
        for (const Iteration& step : o.optimum.trace)
          out.append(py::make_tuple(to_numpy(canonical_theta(step.factor, *o.roots)), step.value, step.decrement,
                                    step.radius));
        return out;
      });
}

}  // namespace henderson
