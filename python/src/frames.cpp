// Predicts for the columns of a data frame: one loop per column, which makes no Python object per
// value for numeric columns.
#include <sidecall/binding.h>
#include <cmath>
#include <cstring>

#include "model.h"

namespace sidecall_python {
namespace {

template <typename T>
T at(PyObject* array, int64_t row) {
  T value;
  std::memcpy(&value, proxy(array)->data + row * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

template <typename T, typename Set>
void set_each(PyObject* array, const bool* mask, int64_t rows, sidecall_call* call, int32_t feature,
              Set set) {
  for (int64_t row = 0; row < rows; ++row) {
    if (mask != nullptr && mask[row]) {
      sidecall_call_set_missing(call, row, feature, nullptr);
    } else {
      set(row, at<T>(array, row));
    }
  }
}

// Columns are float64, int64, bool, object, or datetime64 in the unit of the feature. The Python
// caller has converted all other types to one of these, which changes no value.
void set_column(PyObject* array, const bool* mask, int64_t rows, sidecall_call* call,
                int32_t feature, const Feature& spec) {
  const bool is_count = is_datetime64(array);
  if (spec.is_datetime && !is_count && type_num_of(array) != py::detail::npy_api::NPY_OBJECT_) {
    // Plain numbers, each of which is set as in a record.
    const py::list values = py::reinterpret_borrow<py::object>(array).attr("tolist")();
    for (int64_t row = 0; row < rows; ++row) {
      PyObject* value = PyList_GET_ITEM(values.ptr(), static_cast<Py_ssize_t>(row));
      const bool is_missing = mask != nullptr && mask[row];
      set_value(call, row, feature, spec, is_missing ? Py_None : value, nullptr);
    }
    return;
  }
  if (is_count) {
    return set_each<int64_t>(array, mask, rows, call, feature, [&](int64_t row, int64_t value) {
      sidecall_call_set_i64(call, row, feature, value, nullptr);
    });
  }
  switch (dtype_of(type_num_of(array))) {
    case SIDECALL_DTYPE_FLOAT64:
      return set_each<double>(array, mask, rows, call, feature, [&](int64_t row, double value) {
        if (std::isnan(value)) {
          sidecall_call_set_missing(call, row, feature, nullptr);
        } else {
          sidecall_call_set_f64(call, row, feature, value, nullptr);
        }
      });
    case SIDECALL_DTYPE_INT64:
      return set_each<int64_t>(array, mask, rows, call, feature, [&](int64_t row, int64_t value) {
        sidecall_call_set_i64(call, row, feature, value, nullptr);
      });
    case SIDECALL_DTYPE_BOOL:
      return set_each<uint8_t>(array, mask, rows, call, feature, [&](int64_t row, uint8_t value) {
        sidecall_call_set_bool(call, row, feature, value, nullptr);
      });
    default:
      return set_each<PyObject*>(
          array, mask, rows, call, feature, [&](int64_t row, PyObject* value) {
            set_value(call, row, feature, spec, value == nullptr ? Py_None : value, nullptr);
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
  handle();
  if (rows == 0) refuse_no_rows();
  std::unique_ptr<Workspace> workspace = record_calls_.take_rows(handle_, rows);
  sidecall_call* const call = workspace->call();
  workspace->error().check(sidecall_call_clear(call, workspace->error().get()));
  for (const py::handle item : columns) {
    const auto [name, values, mask, refused] =
        item.cast<std::tuple<py::str, py::object, py::object, py::object>>();
    const int32_t feature = feature_of(name.ptr());
    py::object holder;
    const std::string_view text = utf8_of(name.ptr(), &holder);
    const bool* const flags =
        mask.is_none() ? nullptr : reinterpret_cast<const bool*>(proxy(mask.ptr())->data);
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
  const std::vector<sidecall_view> outputs = views(workspace.get());
  py::list result;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const sidecall_view& view = outputs[static_cast<size_t>(columns_[i].output)];
    result.append(py::make_tuple(
        columns_[i].name, read_column(call, view, rows, static_cast<int32_t>(i), columns_[i])));
  }
  if (!is_closed()) put_records(std::move(workspace), rows);
  return result;
}

}  // namespace sidecall_python
