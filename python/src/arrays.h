// Converts between numpy arrays and sidecall_view; used by runs, calls, records and served
// functions.
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
              "numpy's dimensions are passed to the library unchanged");

// The numpy type number of the arrays that hold tensors of this type. 16-bit and 8-bit floats that
// numpy does not have are stored as unsigned integers, and 4-bit types as packed bytes.
int storage_type_num(int32_t dtype);
bool is_packed(int32_t dtype);

// True for signed and unsigned integers of 8 to 64 bits, but not for bool.
bool is_integer(int32_t dtype);

// The element type of an array with this numpy type number, or 0 if the library has no such type
// (complex numbers, dates).
int32_t dtype_of(int type_num);

inline py::detail::PyArray_Proxy* proxy(PyObject* array) { return py::detail::array_proxy(array); }
inline bool is_array(PyObject* value) { return py::detail::npy_api::get().PyArray_Check_(value); }
// The type number is at the same offset in the descriptors of numpy 1 and 2.
inline int type_num_of(PyObject* array) {
  return py::detail::array_descriptor_proxy(proxy(array)->descr)->type_num;
}
bool is_datetime64(PyObject* array);
// Whether the array is in C order, aligned and in native byte order, so that the engine can read
// its memory in place.
bool is_plain(PyObject* array);
// Whether the array is a numpy.ma.MaskedArray: reading its memory would ignore the mask.
bool is_masked(PyObject* array);

// Python strings in the form that the library takes: all UTF-8 bytes back to back, and the offset
// of each string.
struct Strings {
  std::string bytes;
  std::vector<int64_t> offsets{0};

  // Appends a str as UTF-8, or bytes unchanged. With `takes_missing`, appends None, NaN and
  // pandas.NA as the string that stands for a missing value. Returns false for all other objects.
  bool append(PyObject* value, bool takes_missing);
};
// The UTF-8 bytes of a str. A lone surrogate is encoded as it is, so that the library refuses it;
// `holder` then owns the bytes.
std::string_view utf8_of(PyObject* text, py::object* holder);

// One input of a run in the form that the library takes, with everything that must stay alive until
// the library has taken it.
struct Tensor {
  sidecall_view view = SIDECALL_VIEW_INIT;
  py::object array;
  std::vector<int64_t> dims;
  Strings strings;
  // Python's name of a type that the library does not have ("complex128"); `view` is then not
  // usable. Empty otherwise.
  std::string refused;
};

struct TensorSpec {
  py::str name;  // interned, so that look-ups in the caller's dict compare pointers
  std::string text;
  int32_t dtype = 0;
  bool takes_missing = false;  // an input of strings that are features of the model
  int type_num = 0;
  py::object descr;
  std::vector<int64_t> dims;
  py::tuple dim_names;
  std::string datetime_unit;  // of an input that holds datetimes: the unit that it counts
};

// Sets the view of an array that the library can read without any conversion in Python. Returns
// false for all other values; read_tensor() reads those too.
bool view_in_place(PyObject* value, const TensorSpec& spec, sidecall_view* view);

// Converts an array of integers or of float16 to float64 if the input is float32 or float64, and an
// array of datetime64 to counts if the input holds datetimes. Returns any other value unchanged.
py::object converted(PyObject* value, const TensorSpec& spec);

void read_tensor(PyObject* value, const TensorSpec& spec, Tensor* tensor);

// A new array. Without an owner it holds a copy of the view. With an owner it uses the memory of
// the view and keeps the owner alive.
py::object array_of(const sidecall_view& view, const TensorSpec& spec,
                    const py::object& owner = py::object());

}  // namespace sidecall_python
