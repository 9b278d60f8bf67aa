// The Python module: a list of what it registers.
#include <pybind11/pybind11.h>

#include "bindings/register.hpp"

PYBIND11_MODULE(HENDERSON_MODULE_NAME, m) {
  m.doc() = "Compiled core of henderson.";
  henderson::register_errors(m);
  henderson::register_results(m);
  henderson::register_problem(m);
}
