// Predicts for the columns of a data frame: a numeric column is set with one call, which makes no
// Python object per value.
#include <sidecall/binding.h>
#include <cmath>
#include <cstring>

#include "model.h"

namespace sidecall_python {
namespace {

// The elements of a contiguous array. `copy` receives them if the array is not aligned.
template <typename T>
const T* elements_of(PyObject* array, int64_t rows, std::vector<T>* copy) {
  const char* data = proxy(array)->data;
  if (reinterpret_cast<uintptr_t>(data) % alignof(T) == 0) return reinterpret_cast<const T*>(data);
  copy->resize(static_cast<size_t>(rows));
  std::memcpy(copy->data(), data, copy->size() * sizeof(T));
  return copy->data();
}

// Numbers for a feature of any type. NaN is missing in each: pandas stores a column without values
// as NaN, whatever its values would be.
void set_numbers(PyObject* array, const uint8_t* mask, int64_t rows, sidecall_call* call,
                 int32_t feature, const Feature& spec) {
  std::vector<double> copy;
  std::vector<uint8_t> missing;
  const double* values = elements_of(array, rows, &copy);
  for (int64_t row = 0; !spec.is_number && row < rows; ++row)
    missing.push_back(std::isnan(values[row]) || (mask != nullptr && mask[row] != 0));
  sidecall_call_set_feature_f64(call, feature, values, spec.is_number ? mask : missing.data(), rows,
                                nullptr);
}

void set_integers(PyObject* array, const uint8_t* mask, int64_t rows, sidecall_call* call,
                  int32_t feature) {
  std::vector<int64_t> copy;
  sidecall_call_set_feature_i64(call, feature, elements_of(array, rows, &copy), mask, rows,
                                nullptr);
}

// `value_of` returns a borrowed reference to the value of a row, or nullptr.
template <typename ValueOf>
void set_objects(const uint8_t* mask, int64_t rows, sidecall_call* call, int32_t feature,
                 const Feature& spec, ValueOf value_of) {
  for (int64_t row = 0; row < rows; ++row) {
    PyObject* const value = mask != nullptr && mask[row] != 0 ? nullptr : value_of(row);
    set_value(call, row, feature, spec, value == nullptr ? Py_None : value, nullptr);
  }
}

// numpy takes every byte that is not 0 for True.
void set_bools(PyObject* array, const uint8_t* mask, int64_t rows, sidecall_call* call,
               int32_t feature) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(proxy(array)->data);
  std::vector<uint8_t> flags(bytes, bytes + rows);
  for (uint8_t& flag : flags) flag = flag != 0 ? 1 : 0;
  sidecall_call_set_feature_bool(call, feature, flags.data(), mask, rows, nullptr);
}

// Columns are float64, int64, bool, object, or datetime64 in the unit of the feature. The Python
// caller has converted all other types to one of these, which changes no value.
void set_column(PyObject* array, const uint8_t* mask, int64_t rows, sidecall_call* call,
                int32_t feature, const Feature& spec) {
  if (is_datetime64(array)) return set_integers(array, mask, rows, call, feature);
  const int type = type_num_of(array);
  if (spec.is_datetime && type != py::detail::npy_api::NPY_OBJECT_) {
    // Plain numbers, each of which is set as in a record.
    const py::list values = py::reinterpret_borrow<py::object>(array).attr("tolist")();
    return set_objects(mask, rows, call, feature, spec, [&](int64_t row) {
      return PyList_GET_ITEM(values.ptr(), static_cast<Py_ssize_t>(row));
    });
  }
  switch (dtype_of(type)) {
    case SIDECALL_DTYPE_FLOAT64:
      return set_numbers(array, mask, rows, call, feature, spec);
    case SIDECALL_DTYPE_INT64:
      return set_integers(array, mask, rows, call, feature);
    case SIDECALL_DTYPE_BOOL:
      return set_bools(array, mask, rows, call, feature);
    default:
      return set_objects(mask, rows, call, feature, spec, [&](int64_t row) {
        PyObject* value = nullptr;
        std::memcpy(&value, proxy(array)->data + row * static_cast<int64_t>(sizeof value),
                    sizeof value);
        return value;
      });
  }
}

// The numpy type of a column of answers. It follows the column, not the tensor: float32 stays
// float32, and bool labels are bool even if the tensor holds integers.
int column_type_num(const Column& column) {
  switch (column.dtype) {
    case SIDECALL_DTYPE_BFLOAT16:
    case SIDECALL_DTYPE_FLOAT8E4M3FN:
    case SIDECALL_DTYPE_FLOAT8E4M3FNUZ:
    case SIDECALL_DTYPE_FLOAT8E5M2:
    case SIDECALL_DTYPE_FLOAT8E5M2FNUZ:
      return storage_type_num(SIDECALL_DTYPE_FLOAT32);
    default:
      return storage_type_num(column.dtype);
  }
}

py::object read_column(sidecall_call* call, const sidecall_view& view, int64_t rows, int32_t index,
                       const Column& column) {
  const auto descr = py::reinterpret_steal<py::dtype>(
      py::detail::npy_api::get().PyArray_DescrFromType_(column_type_num(column)));
  py::array array(descr, std::vector<py::ssize_t>{static_cast<py::ssize_t>(rows)});
  char* to = proxy(array.ptr())->data;
  const auto size = static_cast<int64_t>(array.itemsize());
  const bool is_copied = view.dtype == column.dtype && view.dtype != SIDECALL_DTYPE_STRING &&
                         sidecall_dtype_bits(view.dtype) == size * 8;
  int64_t width = 1;
  for (int32_t i = 1; i < view.rank; ++i) width *= view.dims[i];
  for (int64_t row = 0; row < rows; ++row) {
    if (is_copied) {
      std::memcpy(to + row * size,
                  static_cast<const char*>(view.data) + (row * width + column.column) * size,
                  static_cast<size_t>(size));
      continue;
    }
    py::object value = value_of(call, view, row, index, column);
    if (column.dtype == SIDECALL_DTYPE_STRING) {
      auto** items = reinterpret_cast<PyObject**>(to);
      Py_XSETREF(items[row], value.release().ptr());
    } else {
      if (PyObject_SetItem(array.ptr(), py::int_(row).ptr(), value.ptr()) != 0)
        throw py::error_already_set();
    }
  }
  return array;
}

}  // namespace

py::list Model::predict_columns(const py::list& columns, int64_t rows, int64_t timeout_ns) {
  const WorkspaceHandle workspace = take_rows(rows);
  sidecall_call* const call = workspace->call();
  for (const py::handle item : columns) {
    const auto [name, values, mask, refused] =
        item.cast<std::tuple<py::str, py::object, py::object, py::object>>();
    const int32_t feature = feature_of(name.ptr());
    py::object holder;
    const std::string_view text = utf8_of(name.ptr(), &holder);
    const uint8_t* const flags =
        mask.is_none() ? nullptr : reinterpret_cast<const uint8_t*>(proxy(mask.ptr())->data);
    if (feature >= 0 && refused.is_none()) {
      set_column(values.ptr(), flags, rows, call, feature, features_[static_cast<size_t>(feature)]);
      continue;
    }
    if (feature < 0) {
      // Reported once, not for each row, because no feature has the name of this column.
      sidecall_call_set_unknown(call, 0, text.data(), text.size(), nullptr);
      continue;
    }
    const auto got = refused.cast<std::string>();
    for (int64_t row = 0; row < rows; ++row)
      sidecall_call_set_invalid(call, row, feature, got.c_str(), nullptr);
  }
  workspace->run(timeout_ns);
  const std::vector<sidecall_view> outputs = views(*workspace);
  py::list result;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const sidecall_view& view = outputs[static_cast<size_t>(columns_[i].output)];
    result.append(py::make_tuple(
        columns_[i].name, read_column(call, view, rows, static_cast<int32_t>(i), columns_[i])));
  }
  return result;
}

}  // namespace sidecall_python
