// C++ exceptions as Python ones. The core knows indices; the words are Python's.
#include "bindings/errors.hpp"

#include <pybind11/pybind11.h>

#include "bindings/register.hpp"

namespace py = pybind11;

namespace henderson {

void register_errors(py::module_& m) {
  static py::exception<NonFinite> non_finite(m, "NonFinite", PyExc_ValueError);
  static py::exception<OutOfScale> out_of_scale(m, "OutOfScale", PyExc_ValueError);
  py::register_local_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const OutOfScale& error) {
      PyErr_SetObject(out_of_scale.ptr(), py::make_tuple(error.kind, error.index, error.row).ptr());
    } catch (const NonFinite& error) {
      PyErr_SetObject(non_finite.ptr(), py::make_tuple(error.kind, error.index, error.row).ptr());
    }
  });
}

}  // namespace henderson
