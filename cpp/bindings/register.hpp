// One register_*() call per topic.
#pragma once

#include <pybind11/pybind11.h>

namespace henderson {

void register_errors(pybind11::module_& m);
void register_results(pybind11::module_& m);
void register_problem(pybind11::module_& m);

}  // namespace henderson
