// Converts single values: Python values to features through the library's setters, and elements of
// the library's views to Python values. Used by records.cpp, frames.cpp and call.cpp.
#include <sidecall/binding.h>
#include <cmath>
#include <cstring>
#include <tuple>

#include "model.h"

namespace sidecall_python {
namespace {

// numpy's scalar types. They are looked up only for a value that is not a float, str, None, bool or
// int of Python.
struct ScalarTypes {
  py::object boolean, integer, floating;
};

const ScalarTypes& scalar_types() {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<ScalarTypes> storage;
  return storage
      .call_once_and_store_result([] {
        const py::module_ numpy = py::module_::import("numpy");
        return ScalarTypes{numpy.attr("bool_"), numpy.attr("integer"), numpy.attr("floating")};
      })
      .get_stored();
}

bool is_a(PyObject* value, const py::object& type) {
  return PyObject_TypeCheck(value, reinterpret_cast<PyTypeObject*>(type.ptr())) != 0;
}

// NaN is missing for features of every type, because pandas also writes a missing string or bool as
// NaN.
sidecall_status set_float(sidecall_call* call, int64_t row, int32_t feature, double value,
                          sidecall_error* err) {
  if (std::isnan(value)) return sidecall_call_set_missing(call, row, feature, err);
  return sidecall_call_set_f64(call, row, feature, value, err);
}

sidecall_status set_integer(sidecall_call* call, int64_t row, int32_t feature, PyObject* value,
                            sidecall_error* err) {
  int overflow = 0;
  const long long integer = PyLong_AsLongLongAndOverflow(value, &overflow);
  if (overflow == 0) return sidecall_call_set_i64(call, row, feature, integer, err);
  const double number = PyLong_AsDouble(value);
  if (number == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    return sidecall_call_set_invalid(call, row, feature, "an integer beyond float64", err);
  }
  return sidecall_call_set_f64(call, row, feature, number, err);
}

// Sets a value that is not a float, str, None, bool or int of Python: a numpy scalar, pandas.NA, or
// a value of a type that is refused. The error names list, tuple and dict as JSON does: array and
// object.
sidecall_status set_other(sidecall_call* call, int64_t row, int32_t feature, PyObject* value,
                          sidecall_error* err) {
  const ScalarTypes& types = scalar_types();
  if (is_a(value, types.floating)) {
    const auto number = py::reinterpret_steal<py::object>(PyNumber_Float(value));
    if (!number) throw py::error_already_set();
    return set_float(call, row, feature, PyFloat_AS_DOUBLE(number.ptr()), err);
  }
  if (is_a(value, types.integer)) {
    const auto number = py::reinterpret_steal<py::object>(PyNumber_Index(value));
    if (!number) throw py::error_already_set();
    return set_integer(call, row, feature, number.ptr(), err);
  }
  if (is_a(value, types.boolean))
    return sidecall_call_set_bool(call, row, feature, PyObject_IsTrue(value), err);
  const std::string name = type_name(value);
  if (name == "NAType") return sidecall_call_set_missing(call, row, feature, err);  // pandas.NA
  const bool is_list = PyList_Check(value) || PyTuple_Check(value);
  return sidecall_call_set_invalid(call, row, feature,
                                   is_list               ? "array"
                                   : PyDict_Check(value) ? "object"
                                                         : name.c_str(),
                                   err);
}

// A plain number, whose unit the contract says.
sidecall_status set_epoch(sidecall_call* call, int64_t row, int32_t feature, py::object text,
                          sidecall_error* err) {
  if (!text) {  // Python refuses to write integers of thousands of digits
    PyErr_Clear();
    text = py::str("1e999");
  }
  py::object holder;
  const std::string_view digits = utf8_of(text.ptr(), &holder);
  return sidecall_call_set_epoch(call, row, feature, digits.data(), digits.size(), err);
}

// Sets a value that is not text, None or bool for a datetime feature.
sidecall_status set_datetime(sidecall_call* call, int64_t row, int32_t feature, bool has_zone,
                             PyObject* value, sidecall_error* err) {
  const ScalarTypes& types = scalar_types();
  if (PyFloat_Check(value) || is_a(value, types.floating)) {
    const py::float_ number(py::reinterpret_borrow<py::object>(value));
    const double real = PyFloat_AS_DOUBLE(number.ptr());
    if (!std::isfinite(real)) return set_float(call, row, feature, real, err);
    return set_epoch(call, row, feature, py::repr(py::float_(real)), err);
  }
  // A numpy.timedelta64 is a numpy.integer.
  const bool is_whole =
      PyLong_Check(value) || (is_a(value, types.integer) && type_name(value) != "timedelta64");
  if (is_whole) {
    constexpr int kDecimal = 10;
    return set_epoch(call, row, feature,
                     py::reinterpret_steal<py::object>(PyNumber_ToBase(value, kDecimal)), err);
  }
  if (is_a(value, types.boolean))
    return sidecall_call_set_bool(call, row, feature, PyObject_IsTrue(value), err);
  const py::object found = py::module_::import("sidecall._data.datetimes")
                               .attr("moment_of")(py::reinterpret_borrow<py::object>(value));
  if (found.is_none()) return sidecall_call_set_missing(call, row, feature, err);
  if (py::isinstance<py::str>(found)) {
    return sidecall_call_set_invalid(call, row, feature, found.cast<std::string>().c_str(), err);
  }
  const auto [seconds, nanoseconds, is_aware] = found.cast<std::tuple<int64_t, int32_t, bool>>();
  if (is_aware != has_zone) {
    return sidecall_call_set_invalid(
        call, row, feature, is_aware ? "a datetime with a zone" : "a datetime without a zone", err);
  }
  return sidecall_call_set_datetime(call, row, feature, seconds, nanoseconds, err);
}

double half_to_double(uint16_t bits) {
  char bytes[2];
  std::memcpy(bytes, &bits, sizeof bits);
  return PyFloat_Unpack2(bytes, PY_LITTLE_ENDIAN);
}

template <typename T>
T element(const sidecall_view& view, int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const char*>(view.data) + index * static_cast<int64_t>(sizeof(T)),
              sizeof(T));
  return value;
}

PyObject* number_of(const sidecall_view& view, int64_t at) {
  switch (view.dtype) {
    case SIDECALL_DTYPE_FLOAT32:
      return PyFloat_FromDouble(static_cast<double>(element<float>(view, at)));
    case SIDECALL_DTYPE_FLOAT64:
      return PyFloat_FromDouble(element<double>(view, at));
    case SIDECALL_DTYPE_FLOAT16:
      return PyFloat_FromDouble(half_to_double(element<uint16_t>(view, at)));
    case SIDECALL_DTYPE_INT64:
      return PyLong_FromLongLong(element<int64_t>(view, at));
    case SIDECALL_DTYPE_INT32:
      return PyLong_FromLong(element<int32_t>(view, at));
    case SIDECALL_DTYPE_INT16:
      return PyLong_FromLong(element<int16_t>(view, at));
    case SIDECALL_DTYPE_INT8:
      return PyLong_FromLong(element<int8_t>(view, at));
    case SIDECALL_DTYPE_UINT64:
      return PyLong_FromUnsignedLongLong(element<uint64_t>(view, at));
    case SIDECALL_DTYPE_UINT32:
      return PyLong_FromUnsignedLong(element<uint32_t>(view, at));
    case SIDECALL_DTYPE_UINT16:
      return PyLong_FromLong(element<uint16_t>(view, at));
    case SIDECALL_DTYPE_UINT8:
      return PyLong_FromLong(element<uint8_t>(view, at));
    case SIDECALL_DTYPE_BOOL:
      return PyBool_FromLong(element<uint8_t>(view, at));
    case SIDECALL_DTYPE_STRING: {
      const char* bytes = static_cast<const char*>(view.data);
      return PyUnicode_DecodeUTF8(bytes + view.offsets[at], view.offsets[at + 1] - view.offsets[at],
                                  "surrogateescape");
    }
    default:
      return nullptr;
  }
}

}  // namespace

sidecall_status set_value(sidecall_call* call, int64_t row, int32_t feature, const Feature& spec,
                          PyObject* value, sidecall_error* err) {
  if (PyFloat_Check(value) && !spec.is_datetime)
    return set_float(call, row, feature, PyFloat_AS_DOUBLE(value), err);
  if (PyUnicode_Check(value)) {
    py::object holder;
    const std::string_view text = utf8_of(value, &holder);
    return sidecall_call_set_str(call, row, feature, text.data(), text.size(), err);
  }
  if (value == Py_None) return sidecall_call_set_missing(call, row, feature, err);
  if (PyBool_Check(value)) return sidecall_call_set_bool(call, row, feature, value == Py_True, err);
  if (spec.is_datetime) return set_datetime(call, row, feature, spec.has_zone, value, err);
  if (PyLong_Check(value)) return set_integer(call, row, feature, value, err);
  return set_other(call, row, feature, value, err);
}

py::object value_of(sidecall_call* call, const sidecall_view& view, int64_t row, int32_t index,
                    const Column& column) {
  int64_t width = 1;
  for (int32_t i = 1; i < view.rank; ++i) width *= view.dims[i];
  PyObject* value = number_of(view, row * width + column.column);
  if (value == nullptr && !PyErr_Occurred()) {
    // 8-bit floats and bfloat16: the library converts them, because Python has no type for them.
    CallError error;
    double number = 0;
    error.check(sidecall_call_get_f64(call, row, index, &number, error.get()));
    value = PyFloat_FromDouble(number);
  }
  if (value == nullptr) throw py::error_already_set();
  auto result = py::reinterpret_steal<py::object>(value);
  if (column.dtype == SIDECALL_DTYPE_BOOL && !PyBool_Check(value))
    result = py::bool_(PyObject_IsTrue(value) != 0);
  return result;
}

}  // namespace sidecall_python
