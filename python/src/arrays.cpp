// Converts numpy arrays to and from sidecall_view, without a copy where the layout allows it; see
// arrays.h.
#include "arrays.h"

#include <array>
#include <cmath>
#include <cstring>

namespace sidecall_python {
namespace {

using Npy = py::detail::npy_api;
constexpr int kDatetime = 21, kHalf = 23;  // NPY_DATETIME, NPY_HALF; pybind11 does not name them

struct Storage {
  int32_t dtype;
  int type_num;
};

// The element type of an array is that of the first entry with the array's type number. Later
// entries with the same number are types that numpy does not have: an array of that number holds
// their raw bits.
constexpr std::array kStorage = {
    Storage{SIDECALL_DTYPE_FLOAT32, Npy::NPY_FLOAT_},
    Storage{SIDECALL_DTYPE_FLOAT64, Npy::NPY_DOUBLE_},
    Storage{SIDECALL_DTYPE_INT64, Npy::NPY_INT64_},
    Storage{SIDECALL_DTYPE_BOOL, Npy::NPY_BOOL_},
    Storage{SIDECALL_DTYPE_STRING, Npy::NPY_OBJECT_},
    Storage{SIDECALL_DTYPE_UINT8, Npy::NPY_UINT8_},
    Storage{SIDECALL_DTYPE_INT8, Npy::NPY_INT8_},
    Storage{SIDECALL_DTYPE_UINT16, Npy::NPY_UINT16_},
    Storage{SIDECALL_DTYPE_INT16, Npy::NPY_INT16_},
    Storage{SIDECALL_DTYPE_INT32, Npy::NPY_INT32_},
    Storage{SIDECALL_DTYPE_UINT32, Npy::NPY_UINT32_},
    Storage{SIDECALL_DTYPE_UINT64, Npy::NPY_UINT64_},
    Storage{SIDECALL_DTYPE_FLOAT16, kHalf},
    Storage{SIDECALL_DTYPE_INT64, Npy::NPY_LONGLONG_},
    Storage{SIDECALL_DTYPE_UINT64, Npy::NPY_ULONGLONG_},
    Storage{SIDECALL_DTYPE_STRING, Npy::NPY_UNICODE_},
    Storage{SIDECALL_DTYPE_BFLOAT16, Npy::NPY_UINT16_},
    Storage{SIDECALL_DTYPE_FLOAT8E4M3FN, Npy::NPY_UINT8_},
    Storage{SIDECALL_DTYPE_FLOAT8E4M3FNUZ, Npy::NPY_UINT8_},
    Storage{SIDECALL_DTYPE_FLOAT8E5M2, Npy::NPY_UINT8_},
    Storage{SIDECALL_DTYPE_FLOAT8E5M2FNUZ, Npy::NPY_UINT8_},
    Storage{SIDECALL_DTYPE_UINT4, Npy::NPY_UINT8_},
    Storage{SIDECALL_DTYPE_INT4, Npy::NPY_UINT8_},
};

py::object python_helper(const char* name) {
  return py::module_::import("sidecall._data.arrays").attr(name);
}

bool has_other_width(int type_num, const TensorSpec& spec) {
  const int32_t dtype = dtype_of(type_num);
  return (dtype == SIDECALL_DTYPE_FLOAT32 && spec.dtype == SIDECALL_DTYPE_FLOAT64) ||
         (dtype == SIDECALL_DTYPE_FLOAT64 && spec.dtype == SIDECALL_DTYPE_FLOAT32);
}

bool is_missing(PyObject* value) {
  return value == Py_None || (PyFloat_Check(value) && std::isnan(PyFloat_AS_DOUBLE(value))) ||
         type_name(value) == "NAType";
}

void read_strings(PyObject* array, bool takes_missing, Tensor* tensor) {
  const auto* items = reinterpret_cast<PyObject* const*>(proxy(array)->data);
  int64_t count = 1;
  for (const int64_t dim : tensor->dims) count *= dim;
  tensor->strings.offsets.reserve(static_cast<size_t>(count) + 1);
  // An entry of a new object array is NULL until it is set. numpy reads it as None.
  for (int64_t i = 0; i < count; ++i) {
    PyObject* item = items[i] == nullptr ? Py_None : items[i];
    if (!tensor->strings.append(item, takes_missing)) {
      tensor->refused = type_name(item);
      return;
    }
  }
  tensor->view.data = tensor->strings.bytes.data();
  tensor->view.data_bytes = tensor->strings.bytes.size();
  tensor->view.offsets = tensor->strings.offsets.data();
}

py::object new_array(const TensorSpec& spec, int rank, const int64_t* dims, void* data,
                     bool is_writeable) {
  Py_INCREF(spec.descr.ptr());  // the function below steals a reference
  const auto& npy = Npy::get();
  return py::reinterpret_steal<py::object>(npy.PyArray_NewFromDescr_(
      npy.PyArray_Type_, spec.descr.ptr(), rank, reinterpret_cast<const Py_intptr_t*>(dims),
      nullptr, data, data != nullptr && is_writeable ? Npy::NPY_ARRAY_WRITEABLE_ : 0, nullptr));
}

void fill_strings(const sidecall_view& view, PyObject* array, int64_t count) {
  auto** items = reinterpret_cast<PyObject**>(proxy(array)->data);
  const char* bytes = static_cast<const char*>(view.data);
  for (int64_t i = 0; i < count; ++i) {
    PyObject* text = PyUnicode_DecodeUTF8(bytes + view.offsets[i],
                                          view.offsets[i + 1] - view.offsets[i], "surrogateescape");
    if (text == nullptr) throw py::error_already_set();
    Py_XSETREF(items[i], text);
  }
}

}  // namespace

int storage_type_num(int32_t dtype) {
  for (const Storage& entry : kStorage) {
    if (entry.dtype == dtype) return entry.type_num;
  }
  raise_status(SIDECALL_UNSUPPORTED,
               "this version of the Python package knows no array for element type " +
                   std::to_string(dtype));
}

bool is_packed(int32_t dtype) {
  return dtype == SIDECALL_DTYPE_UINT4 || dtype == SIDECALL_DTYPE_INT4;
}

int32_t dtype_of(int type_num) {
  for (const Storage& entry : kStorage) {
    if (entry.type_num == type_num) return entry.dtype;
  }
  return 0;
}

bool is_datetime64(PyObject* array) { return type_num_of(array) == kDatetime; }

bool is_plain(PyObject* array) {
  constexpr int kNeeded = Npy::NPY_ARRAY_C_CONTIGUOUS_ | Npy::NPY_ARRAY_ALIGNED_;
  const char order = py::detail::array_descriptor_proxy(proxy(array)->descr)->byteorder;
  return (proxy(array)->flags & kNeeded) == kNeeded && order != '>';
}

bool is_masked(PyObject* array) {
  return Py_TYPE(array) != reinterpret_cast<PyTypeObject*>(Npy::get().PyArray_Type_) &&
         python_helper("is_masked")(py::reinterpret_borrow<py::object>(array)).cast<bool>();
}

std::string_view utf8_of(PyObject* text, py::object* holder) {
  Py_ssize_t length = 0;
  if (const char* bytes = PyUnicode_AsUTF8AndSize(text, &length))
    return {bytes, static_cast<size_t>(length)};
  PyErr_Clear();
  *holder =
      py::reinterpret_steal<py::object>(PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass"));
  if (!*holder) throw py::error_already_set();
  return {PyBytes_AS_STRING(holder->ptr()), static_cast<size_t>(PyBytes_GET_SIZE(holder->ptr()))};
}

bool Strings::append(PyObject* value, bool takes_missing) {
  if (PyUnicode_Check(value)) {
    py::object holder;
    bytes += utf8_of(value, &holder);
  } else if (PyBytes_Check(value)) {
    bytes.append(PyBytes_AS_STRING(value), static_cast<size_t>(PyBytes_GET_SIZE(value)));
  } else if (takes_missing && is_missing(value)) {
    bytes += SIDECALL_MISSING_STRING;
  } else {
    return false;
  }
  offsets.push_back(static_cast<int64_t>(bytes.size()));
  return true;
}

bool is_integer(int32_t dtype) {
  switch (dtype) {
    case SIDECALL_DTYPE_INT8:
    case SIDECALL_DTYPE_INT16:
    case SIDECALL_DTYPE_INT32:
    case SIDECALL_DTYPE_INT64:
    case SIDECALL_DTYPE_UINT8:
    case SIDECALL_DTYPE_UINT16:
    case SIDECALL_DTYPE_UINT32:
    case SIDECALL_DTYPE_UINT64:
      return true;
    default:
      return false;
  }
}

bool view_in_place(PyObject* value, const TensorSpec& spec, sidecall_view* view) {
  if (!is_array(value) || !is_plain(value) || is_packed(spec.dtype) ||
      spec.dtype == SIDECALL_DTYPE_STRING || is_masked(value))
    return false;
  const bool is_same = type_num_of(value) == spec.type_num;
  if (!is_same && !has_other_width(type_num_of(value), spec)) return false;
  const auto* array = proxy(value);
  view->dtype = is_same ? spec.dtype : dtype_of(type_num_of(value));
  view->rank = array->nd;
  view->dims = reinterpret_cast<const int64_t*>(array->dimensions);
  view->data = array->data;
  view->data_bytes = static_cast<uint64_t>(py::reinterpret_borrow<py::array>(value).nbytes());
  return true;
}

py::object converted(PyObject* value, const TensorSpec& spec) {
  auto object = py::reinterpret_borrow<py::object>(value);
  if (!spec.datetime_unit.empty() && is_array(value) && is_datetime64(value)) {
    return py::module_::import("sidecall._data.datetimes")
        .attr("tensor_of")(object, spec.text, spec.datetime_unit);
  }
  if ((spec.dtype != SIDECALL_DTYPE_FLOAT32 && spec.dtype != SIDECALL_DTYPE_FLOAT64) ||
      !is_array(value))
    return object;
  const int32_t dtype = dtype_of(type_num_of(value));
  return is_integer(dtype) || dtype == SIDECALL_DTYPE_FLOAT16 ? python_helper("as_float64")(object)
                                                              : object;
}

void read_tensor(PyObject* value, const TensorSpec& spec, Tensor* tensor) {
  tensor->array = py::reinterpret_borrow<py::object>(value);
  if (is_array(value) && is_masked(value)) {
    tensor->array = python_helper("unmasked")(tensor->array);
    if (tensor->array.is_none()) {
      tensor->refused = "a masked array";
      return;
    }
    value = tensor->array.ptr();
  }
  if (!is_array(value) || is_packed(spec.dtype)) {
    // Lists, other array-like objects, and arrays of packed bytes, whose tensor shape only the spec
    // knows.
    const py::tuple converted = python_helper("from_python")(
        tensor->array, sidecall_dtype_name(spec.dtype), py::cast(spec.dims));
    tensor->array = converted[0];
    tensor->dims = converted[1].cast<std::vector<int64_t>>();
  } else {
    if (!is_plain(value) || type_num_of(value) == Npy::NPY_UNICODE_ ||
        dtype_of(type_num_of(value)) == 0) {
      tensor->array = python_helper("plain")(tensor->array);
    }
    const auto* array = proxy(tensor->array.ptr());
    tensor->dims.assign(array->dimensions, array->dimensions + array->nd);
  }
  PyObject* array = tensor->array.ptr();
  tensor->view.dtype =
      type_num_of(array) == spec.type_num ? spec.dtype : dtype_of(type_num_of(array));
  tensor->view.rank = static_cast<int32_t>(tensor->dims.size());
  tensor->view.dims = tensor->dims.data();
  if (tensor->view.dtype == 0) {
    tensor->refused = py::str(tensor->array.attr("dtype").attr("name")).cast<std::string>();
  } else if (tensor->view.dtype == SIDECALL_DTYPE_STRING && spec.dtype == SIDECALL_DTYPE_STRING) {
    read_strings(array, spec.takes_missing, tensor);
  } else if (tensor->view.dtype != SIDECALL_DTYPE_STRING) {
    tensor->view.data = proxy(array)->data;
    tensor->view.data_bytes =
        static_cast<uint64_t>(py::reinterpret_borrow<py::array>(array).nbytes());
  }
}

py::object array_of(const sidecall_view& view, const TensorSpec& spec, const py::object& owner) {
  const int64_t packed = static_cast<int64_t>(view.data_bytes);
  const int64_t* dims = is_packed(spec.dtype) ? &packed : view.dims;
  const int rank = is_packed(spec.dtype) ? 1 : view.rank;
  py::object array = new_array(spec, rank, dims, owner ? view.data : nullptr,
                               (view.flags & SIDECALL_VIEW_READ_ONLY) == 0);
  if (!array) throw py::error_already_set();
  if (owner) {
    if (Npy::get().PyArray_SetBaseObject_(array.ptr(), owner.inc_ref().ptr()) != 0)
      throw py::error_already_set();
  } else if (view.dtype == SIDECALL_DTYPE_STRING) {
    int64_t count = 1;
    for (int i = 0; i < rank; ++i) count *= dims[i];
    fill_strings(view, array.ptr(), count);
  } else if (view.data_bytes > 0) {
    std::memcpy(proxy(array.ptr())->data, view.data, view.data_bytes);
  }
  return array;
}

}  // namespace sidecall_python
