// Makes functions that Python calls without pybind11's dispatch. The dispatch would take longer
// than everything else that these functions do, except running the engine. The methods that run a
// model use this.
#pragma once

#include <pybind11/pybind11.h>

#include <exception>
#include <memory>
#include <new>

namespace sidecall_python {

namespace py = pybind11;

// Classes of the module have the metaclass `type`, as their stubs say. pybind11's own metaclass
// supports features that these classes do not use, such as static properties.
inline py::metaclass plain_type() {
  return py::metaclass(reinterpret_cast<PyObject*>(&PyType_Type));
}

// Runs the body of a fast function and converts C++ exceptions to Python exceptions.
template <typename Body>
PyObject* guard(Body body) {
  try {
    return body().release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

using FastFunction = PyObject* (*)(PyObject* self, PyObject* const* args, Py_ssize_t num_args);

inline PyMethodDef fast_method(const char* name, FastFunction function) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)),
          METH_FASTCALL, nullptr};
}

// Binds a fast function to an object. The function keeps the object alive. `method` must never be
// destroyed.
template <typename T>
py::object bind(PyMethodDef* method, const py::object& owner) {
  const auto self = py::reinterpret_steal<py::object>(PyCapsule_New(
      owner.cast<T*>(), nullptr,
      [](PyObject* capsule) { Py_DECREF(static_cast<PyObject*>(PyCapsule_GetContext(capsule))); }));
  if (!self || PyCapsule_SetContext(self.ptr(), owner.inc_ref().ptr()) != 0)
    throw py::error_already_set();
  return py::reinterpret_steal<py::object>(PyCFunction_NewEx(method, self.ptr(), nullptr));
}

template <typename T>
T* bound(PyObject* self) {
  return static_cast<T*>(PyCapsule_GetPointer(self, nullptr));
}

// Gives a new object to Python. A function must not return the std::unique_ptr itself: if pybind11
// had no memory to register the object, pybind11 would free the object, and then the
// std::unique_ptr would delete it again. So pybind11 registers an empty object first, and the
// contents are moved into it afterwards.
template <typename T>
py::object give_to_python(std::unique_ptr<T> made) {
  py::object object = py::cast(new T(), py::return_value_policy::take_ownership);
  *object.cast<T*>() = std::move(*made);
  return object;
}

inline int64_t nanoseconds(PyObject* value) {
  const long long number = PyLong_AsLongLong(value);
  if (number == -1 && PyErr_Occurred()) throw py::error_already_set();
  return number;
}

}  // namespace sidecall_python
