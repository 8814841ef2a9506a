// numpy arrays on one side, sidecall_view on the other; used by runs, calls and records.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <sidecall/sidecall.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "errors.h"

namespace sidecall_python {

static_assert(sizeof(Py_intptr_t) == sizeof(int64_t),
              "numpy's dimensions are handed over as they are");

// What numpy calls the storage of a type: 16-bit and 8-bit floats without a numpy type are unsigned integers, 4-bit types are packed bytes.
int storage_type_num(int32_t dtype);
bool is_packed(int32_t dtype);

// Signed or unsigned, of 8 to 64 bits; bool is none.
bool is_integer(int32_t dtype);

// An array's own type, or 0 where the library has none (complex, dates).
int32_t dtype_of(int type_num);

inline py::detail::PyArray_Proxy* proxy(PyObject* array) { return py::detail::array_proxy(array); }
inline bool is_array(PyObject* value) { return py::detail::npy_api::get().PyArray_Check_(value); }
// The type number stands at the same place in the descriptors of numpy 1 and 2.
inline int type_num_of(PyObject* array) {
  return py::detail::array_descriptor_proxy(proxy(array)->descr)->type_num;
}
// C order, aligned, native bytes: memory that the engine can read in place.
bool is_plain(PyObject* array);

// Python strings as the library takes them: UTF-8 back to back, and where each begins.
struct Strings {
  std::string bytes;
  std::vector<int64_t> offsets{0};

  // False for anything but str and bytes; bytes pass as they are.
  bool append(PyObject* value);
};
// The UTF-8 of a str. A lone surrogate passes as it is, for the library to refuse; `holder` then keeps the bytes.
std::string_view utf8_of(PyObject* text, py::object* holder);

// One input of a run as the library takes it, with all that must stay alive until it is taken.
struct Tensor {
  sidecall_view view = SIDECALL_VIEW_INIT;
  py::object array;
  std::vector<int64_t> dims;
  Strings strings;
  std::string
      refused;  // what the library has no type for, as Python calls it ("complex128"); then view is void
};

struct TensorSpec {
  py::str name;  // interned, so that look-ups in the caller's dict compare pointers
  std::string text;
  int32_t dtype = 0;
  int type_num = 0;
  py::object descr;
  std::vector<int64_t> dims;
  py::tuple dim_names;
};

// A float64 array of the integers, or float16 numbers, of an array for an input of float32 or float64; anything else as it is.
py::object with_floats(PyObject* value, const TensorSpec& spec);

void read_tensor(PyObject* value, const TensorSpec& spec, Tensor* tensor);

// A new array with a copy of the view, or, with an owner, an array over the view's own memory that keeps the owner alive.
py::object array_of(const sidecall_view& view, const TensorSpec& spec,
                    const py::object& owner = py::object());

}  // namespace sidecall_python
