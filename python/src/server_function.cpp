// Calls a Python function for the requests of a server: converts inputs to arrays, results to
// answers and exceptions to errors. See server.h.
#include <cstring>

#include "base/text/utf8.h"
#include "gil.h"
#include "server.h"

namespace sidecall_python {
namespace {

thread_local sidecall_request* t_request = nullptr;

struct Current {
  explicit Current(sidecall_request* request) { t_request = request; }
  ~Current() { t_request = nullptr; }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;
};

// The first line of str(value), at most 300 bytes of it.
std::string first_line(const py::handle& value) {
  std::string text;
  try {
    text = py::str(value).cast<std::string>();
  } catch (py::error_already_set&) {
    return "";
  }
  text = text.substr(0, text.find('\n'));
  return text.substr(0, sidecall::cut_length(text, 300));
}

std::string text_or_empty(const py::handle& value) {
  return value.is_none() ? std::string() : value.cast<std::string>();
}

// Fails the request with one of sidecall's own exceptions: the client gets the status and all
// attributes of the exception.
sidecall_status fail_as(sidecall_request* request, const py::handle& error) {
  const auto status = error.attr("status").cast<sidecall_status>();
  const py::object row = error.attr("row");
  const std::string name = text_or_empty(error.attr("name"));
  const std::string expected = text_or_empty(error.attr("expected"));
  const std::string got = text_or_empty(error.attr("got"));
  const std::string message = first_line(error);
  sidecall_request_fail(request, status, row.is_none() ? -1 : row.cast<int64_t>(), name.c_str(),
                        expected.c_str(), got.c_str(), message.c_str());
  return status;
}

}  // namespace

sidecall_status ServedFunction::handle(void* context, sidecall_request* request) {
  auto* self = static_cast<ServedFunction*>(context);
  const WithGil scope;
  const Current current(request);
  try {
    self->answer(request);
    return SIDECALL_OK;
  } catch (py::error_already_set& error) {
    return self->fail(request, error);
  } catch (const std::bad_alloc&) {
    sidecall_request_fail(request, SIDECALL_OUT_OF_MEMORY, -1, nullptr, nullptr, nullptr,
                          "out of memory");
    return SIDECALL_OUT_OF_MEMORY;
  } catch (const std::exception& error) {
    sidecall_request_fail(request, SIDECALL_INTERNAL, -1, nullptr, nullptr, nullptr, error.what());
    return SIDECALL_INTERNAL;
  }
}

void ServedFunction::learn(const sidecall_request* request) {
  std::vector<TensorSpec> inputs, outputs;
  for (int32_t i = 0; i < sidecall_request_num_inputs(request); ++i)
    inputs.push_back(spec_of(*sidecall_request_input_spec(request, i)));
  for (int32_t i = 0; i < sidecall_request_num_outputs(request); ++i)
    outputs.push_back(spec_of(*sidecall_request_output_spec(request, i)));
  // Another thread may have filled the specs while an import in spec_of() released the GIL.
  if (is_ready_) return;
  inputs_ = std::move(inputs);
  outputs_ = std::move(outputs);
  is_ready_ = true;
}

void ServedFunction::answer(sidecall_request* request) {
  if (!is_ready_) learn(request);
  std::vector<py::object> inputs;
  inputs.reserve(inputs_.size());
  for (size_t i = 0; i < inputs_.size(); ++i) inputs.push_back(input(request, i));
  std::vector<PyObject*> arguments;
  arguments.reserve(inputs.size());
  for (const py::object& each : inputs) arguments.push_back(each.ptr());
  const auto result = py::reinterpret_steal<py::object>(
      PyObject_Vectorcall(function_.ptr(), arguments.data(), arguments.size(), nullptr));
  if (!result) throw py::error_already_set();
  // A tuple holds the outputs in order. Any other object is the value of the only output.
  if (!PyTuple_Check(result.ptr())) {
    if (outputs_.size() != 1)
      raise_status(SIDECALL_ENGINE, "the served function: expected a tuple of " +
                                        std::to_string(outputs_.size()) + " outputs, got " +
                                        type_name(result.ptr()));
    return give(request, 0, result.ptr());
  }
  const auto count = static_cast<size_t>(PyTuple_GET_SIZE(result.ptr()));
  if (count != outputs_.size())
    raise_status(SIDECALL_ENGINE, "the served function: expected " +
                                      std::to_string(outputs_.size()) + " outputs, got " +
                                      std::to_string(count));
  for (size_t i = 0; i < count; ++i)
    give(request, i, PyTuple_GET_ITEM(result.ptr(), static_cast<Py_ssize_t>(i)));
}

py::object ServedFunction::input(sidecall_request* request, size_t index) {
  CallError error;
  sidecall_view view = SIDECALL_VIEW_INIT;
  error.check(sidecall_request_input(request, static_cast<int32_t>(index), &view, error.get()));
  return array_of(view, inputs_[index]);
}

void ServedFunction::give(sidecall_request* request, size_t index, PyObject* value) {
  const auto output = static_cast<int32_t>(index);
  const TensorSpec& spec = outputs_[index];
  Tensor tensor;
  read_tensor(value, spec, &tensor);
  if (!tensor.refused.empty() || tensor.view.dtype != spec.dtype) {
    const std::string got =
        tensor.refused.empty() ? sidecall_dtype_name(tensor.view.dtype) : tensor.refused;
    raise_status(SIDECALL_ENGINE, "output '" + spec.text + "': expected " +
                                      sidecall_dtype_name(spec.dtype) + ", got " + got);
  }
  CallError error;
  if (spec.dtype == SIDECALL_DTYPE_STRING) {
    error.check(sidecall_request_set_strings(request, output, tensor.view.dims, tensor.view.rank,
                                             tensor.strings.bytes.data(),
                                             tensor.strings.offsets.data(), error.get()));
    return;
  }
  sidecall_view view = SIDECALL_VIEW_INIT;
  error.check(sidecall_request_output(request, output, tensor.view.dims, tensor.view.rank, &view,
                                      error.get()));
  if (view.data_bytes > 0) std::memcpy(view.data, tensor.view.data, view.data_bytes);
}

sidecall_status ServedFunction::fail(sidecall_request* request, py::error_already_set& error) {
  try {
    const py::object value = error.value();
    if (error.trace()) PyException_SetTraceback(value.ptr(), error.trace().ptr());
    const py::object own = py::module_::import("sidecall.errors").attr("Error");
    if (py::isinstance(value, own) && value.attr("status").cast<int>() != 0)
      return fail_as(request, value);
    const std::string text = first_line(value);
    const std::string message = "the served object failed with " + type_name(value.ptr()) +
                                (text.empty() ? "" : ": " + text);
    sidecall_request_fail(request, SIDECALL_ENGINE, -1, nullptr, nullptr, nullptr, message.c_str());
    on_error_(value);
  } catch (py::error_already_set&) {
    // A failure of on_error() must not change the answer.
  }
  return SIDECALL_ENGINE;
}

// Does nothing outside a request.
void log_event(int32_t level, const std::string& event, const std::string& facts) {
  sidecall_request_log(t_request, level, event.c_str(), facts.c_str());
}

// Returns the seconds until the deadline of the request, for the served function. Returns None
// outside a request, or if the request has no deadline.
py::object remaining_seconds() {
  const int64_t left = t_request == nullptr ? -1 : sidecall_request_remaining(t_request);
  return left < 0 ? py::object(py::none())
                  : py::object(py::float_(static_cast<double>(left) / 1e9));
}

}  // namespace sidecall_python
