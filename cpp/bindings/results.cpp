#include "bindings/results.hpp"

#include <pybind11/stl.h>

#include "bindings/arrays.hpp"
#include "bindings/register.hpp"

namespace py = pybind11;

namespace henderson {

const char* sentence(Status status) {
  switch (status) {
    case Status::converged: return "converged";
    case Status::stopped: return "stopped by callback";
    case Status::evaluation_limit: return "evaluation limit";
    case Status::no_progress: break;
  }
  return "no progress";
}

BoundOptimum bind_optimum(const Optimum& optimum, const Problem& problem) {
  BoundOptimum out{problem.theta_of(optimum.factor), optimum.value,         optimum.evaluations, optimum.iterations, optimum.status,
                   optimum.decrement,                optimum.gradient_norm, optimum.curvature,   optimum.ranks,      {}};
  for (const Iteration& step : optimum.trace) out.trace.push_back({problem.theta_of(step.factor), step.value, step.decrement, step.radius});
  return out;
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
      .def_property_readonly("theta", [](const BoundOptimum& o) { return to_numpy(o.theta); })
      .def_readonly("criterion", &BoundOptimum::criterion)
      .def_readonly("evaluations", &BoundOptimum::evaluations)
      .def_readonly("iterations", &BoundOptimum::iterations)
      .def_property_readonly("status", [](const BoundOptimum& o) { return sentence(o.status); })
      .def_readonly("decrement", &BoundOptimum::decrement)
      .def_readonly("gradient_norm", &BoundOptimum::gradient_norm)
      .def_readonly("curvature", &BoundOptimum::curvature)
      .def_readonly("ranks", &BoundOptimum::ranks)
      .def_property_readonly("trace", [](const BoundOptimum& o) {
        py::list out;
        for (const BoundStep& step : o.trace) out.append(py::make_tuple(to_numpy(step.theta), step.criterion, step.decrement, step.radius));
        return out;
      });
}

}  // namespace henderson
