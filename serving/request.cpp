// Checks what a served function reads and what it returns; see request.h.
#include "request.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/json/json.h"
#include "core/text.h"
#include "model.h"
#include "shm/common/socket.h"
#include "shm/server/reporting/status.h"

using sidecall::Dims;
using sidecall::Error;
using sidecall::require;
using sidecall::TensorSpec;

namespace {

bool is_event_name(std::string_view text) {
  const auto is_plain = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), is_plain);
}

// The text itself if it is a JSON object, otherwise an object that holds it as "message".
std::string facts_of(const char* text) {
  sidecall::json::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(text);
  return !document.HasParseError() && document.IsObject()
             ? text
             : sidecall::shm::Facts().text("message", text).take();
}

void pack(sidecall_request::Input* input) {
  if (!input->is_changed) return;
  input->text.bytes.clear();
  input->text.offsets.assign(1, 0);
  for (const std::string& text : input->strings) {
    input->text.bytes += text;
    input->text.offsets.push_back(static_cast<int64_t>(input->text.bytes.size()));
  }
  input->is_changed = false;
}

}  // namespace

const TensorSpec& sidecall_request::output_spec(int32_t output) const {
  if (output < 0 || static_cast<size_t>(output) >= outputs.size())
    throw Error(SIDECALL_UNKNOWN_NAME,
                "output: expected the index of an output, got " + std::to_string(output));
  return engine.outputs()[static_cast<size_t>(output)];
}

// Checks the shape that the function gives an output: against the signature, or against the shape
// that follows from the inputs if that is known.
sidecall_request::Output& sidecall_request::shape(int32_t index, const int64_t* dims,
                                                  int32_t rank) {
  const TensorSpec& spec = output_spec(index);
  require(rank >= 0 && (rank == 0 || dims != nullptr), "dims must not be NULL");
  Output& output = outputs[static_cast<size_t>(index)];
  const Dims& wanted = output.is_known ? output.dims : spec.dims;
  const auto num_dims = static_cast<size_t>(rank);
  const bool is_free = !output.is_known && !spec.is_shaped;
  bool fits = is_free || num_dims == wanted.size();
  for (size_t i = 0; fits && i < num_dims; ++i)
    fits = dims[i] >= 0 && (is_free || wanted[i] < 0 || wanted[i] == dims[i]);
  if (!fits) {
    throw Error("output", {SIDECALL_SHAPE_MISMATCH, -1, spec.name,
                           sidecall::describe_tensor(spec.dtype, wanted, &spec.dim_names),
                           sidecall::describe_tensor(spec.dtype, Dims(dims, dims + rank))});
  }
  if (!output.is_known) output.dims.assign(dims, dims + rank);
  output.is_given = true;
  return output;
}

void sidecall_request::view_input(int32_t index, sidecall_view* view) {
  if (index < 0 || static_cast<size_t>(index) >= inputs.size())
    throw Error(SIDECALL_UNKNOWN_NAME,
                "input: expected the index of an input, got " + std::to_string(index));
  auto& input = inputs[static_cast<size_t>(index)];
  const int32_t dtype = engine.inputs()[static_cast<size_t>(index)].dtype;
  view->dtype = dtype;
  view->rank = static_cast<int32_t>(input.dims.size());
  view->flags = 0;
  view->dims = input.dims.data();
  if (dtype == SIDECALL_DTYPE_STRING) {
    pack(&input);
    view->data = input.text.bytes.data();
    view->data_bytes = input.text.bytes.size();
    view->offsets = input.text.offsets.data();
  } else {
    view->data = const_cast<void*>(input.data);  // only read, although a view is writable
    view->data_bytes = sidecall::count_bytes(dtype, input.dims);
    view->offsets = nullptr;
  }
}

void sidecall_request::view_output(int32_t index, const int64_t* dims, int32_t rank,
                                   sidecall_view* view) {
  const TensorSpec& spec = output_spec(index);
  if (spec.dtype == SIDECALL_DTYPE_STRING)
    throw Error("output", {SIDECALL_DTYPE_MISMATCH, -1, spec.name,
                           "a tensor whose elements have a fixed size", "string"});
  auto& output = shape(index, dims, rank);
  output.is_given = false;  // until there is memory for it
  const uint64_t bytes = sidecall::count_bytes(spec.dtype, output.dims);
  if (output.bound == nullptr) output.buffer.reserve(bytes);
  output.is_given = true;
  view->dtype = spec.dtype;
  view->rank = rank;
  view->flags = 0;
  view->dims = output.dims.data();
  view->data = output.bound != nullptr ? output.bound : output.buffer.data();
  view->data_bytes = bytes;
  view->offsets = nullptr;
}

void sidecall_request::set_strings(int32_t index, const int64_t* dims, int32_t rank,
                                   const char* data, const int64_t* offsets) {
  const TensorSpec& spec = output_spec(index);
  if (spec.dtype != SIDECALL_DTYPE_STRING)
    throw Error("output", {SIDECALL_DTYPE_MISMATCH, -1, spec.name, sidecall::dtype_name(spec.dtype),
                           "string"});
  auto& output = shape(index, dims, rank);
  const int64_t count = sidecall::count_elements(output.dims);
  output.is_given = false;
  if (offsets[0] != 0)
    throw Error(SIDECALL_INVALID_ARGUMENT,
                "offsets: the first must be 0, got " + std::to_string(offsets[0]));
  require(data != nullptr || offsets[count] == 0, "data must not be NULL");
  for (int64_t i = 0; i < count; ++i) {
    require(offsets[i] <= offsets[i + 1],
            "offsets: expected ascending numbers, got a smaller number after a larger one");
    const std::string_view text(data + offsets[i],
                                static_cast<size_t>(offsets[i + 1] - offsets[i]));
    if (const char* fault = sidecall::string_fault(text))
      throw Error("output", {SIDECALL_INVALID_STRING, -1, spec.name, "string", fault});
  }
  output.text.bytes.assign(data == nullptr ? "" : data, static_cast<size_t>(offsets[count]));
  output.text.offsets.assign(offsets, offsets + count + 1);
  output.is_given = true;
}

int64_t sidecall_request::remaining_ns() const {
  if (is_interrupted.load(std::memory_order_acquire)) return 0;
  const sidecall::shm::Request* current = sidecall::current_request();
  if (current == nullptr) return -1;  // golden rows have no deadline
  if (!current->is_wanted()) return 0;
  const int64_t deadline = current->deadline_ns();
  return deadline < 0 ? -1 : std::max<int64_t>(deadline - sidecall::shm::now_ns(), 0);
}

void sidecall_request::fail(sidecall_status status, int64_t row, const char* name,
                            const char* expected, const char* got, const char* message) {
  const auto text = [](const char* given) { return std::string(given == nullptr ? "" : given); };
  std::string line = message == nullptr ? std::string("the served function failed with ") +
                                              sidecall::status_name(status)
                                        : sidecall::printable(sidecall::one_line(message));
  if (row < 0 && name == nullptr && expected == nullptr && got == nullptr) {
    failure.emplace(status, line);
  } else {
    failure.emplace(sidecall::Fault{status, row, text(name), text(expected), text(got)}, line);
  }
}

void sidecall_request::log(int32_t level, const char* event, const char* facts) const {
  if (!is_event_name(event)) return;
  const auto known_level = static_cast<sidecall::shm::LogLevel>(level);
  const std::string known_facts = facts == nullptr ? "{}" : facts_of(facts);
  if (const sidecall::shm::Request* current = sidecall::current_request())
    return current->log(known_level, event, known_facts);
  // This thread answers no request: golden rows are running.
  static_cast<void>(engine.log()(known_level, event, known_facts));
}
