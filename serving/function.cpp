// Bindings over a C function, and the functions of server.h that it asks and answers a request with.
#include "function.h"

#include <rapidjson/document.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <optional>

#include "bindings/c/guard.h"
#include "bindings/c/structs.h"
#include "core/error.h"
#include "core/text.h"
#include "model.h"
#include "shm/common/error.h"
#include "shm/server/status.h"

using sidecall::Dims;
using sidecall::Error;
using sidecall::require;
using sidecall::TensorSpec;

namespace {

// Memory of one tensor, a cache line aligned; grows, never shrinks.
class Buffer {
 public:
  void* reserve(uint64_t bytes) {
    if (lines_.size() * sizeof(Line) < bytes) lines_.resize(bytes / sizeof(Line) + 1);
    return lines_.data();
  }

 private:
  struct alignas(64) Line {
    unsigned char bytes[64];
  };
  std::vector<Line> lines_;
};

struct Text {
  std::string bytes;
  std::vector<int64_t> offsets{0};
};

}  // namespace

// What the function sees of one request, kept by the binding from call to call.
struct sidecall_request {
  struct Input {
    Dims dims;
    const void* data = nullptr;
    Buffer buffer;
    std::vector<std::string> strings;
    bool is_changed = true;  // `text` is older than `strings`
    Text text;
  };
  struct Output {
    Dims dims;
    Buffer buffer;
    void* bound = nullptr;  // the caller's memory, or nullptr for the buffer
    bool is_known = false;  // the shape follows from the inputs
    bool is_given = false;
    Text text;
  };

  explicit sidecall_request(const sidecall::FunctionEngine& served)
      : engine(served), inputs(served.inputs().size()), outputs(served.outputs().size()) {}

  const TensorSpec& output_spec(int32_t output) const {
    if (output < 0 || static_cast<size_t>(output) >= outputs.size())
      throw Error(SIDECALL_UNKNOWN_NAME, "unknown output: the index is not that of an output");
    return engine.outputs()[static_cast<size_t>(output)];
  }
  Output& shape(int32_t output, const int64_t* dims, int32_t rank);

  const sidecall::FunctionEngine& engine;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::optional<Error> failure;
  std::atomic<bool> is_interrupted{false};
};

// Checks the shape that the function gives against the signature and against what the inputs ask for.
sidecall_request::Output& sidecall_request::shape(int32_t index, const int64_t* dims, int32_t rank) {
  const TensorSpec& spec = output_spec(index);
  require(rank >= 0 && (rank == 0 || dims != nullptr), "dims must not be NULL");
  Output& output = outputs[static_cast<size_t>(index)];
  const Dims& wanted = output.is_known ? output.dims : spec.dims;
  const auto num_dims = static_cast<size_t>(rank);
  const bool is_free = !output.is_known && !spec.is_shaped;
  bool fits = is_free || num_dims == wanted.size();
  for (size_t i = 0; fits && i < num_dims; ++i) fits = dims[i] >= 0 && (is_free || wanted[i] < 0 || wanted[i] == dims[i]);
  if (!fits) {
    throw Error("output", {SIDECALL_SHAPE_MISMATCH, -1, spec.name, sidecall::describe_tensor(spec.dtype, wanted, &spec.dim_names),
                           sidecall::describe_tensor(spec.dtype, Dims(dims, dims + rank))});
  }
  if (!output.is_known) output.dims.assign(dims, dims + rank);
  output.is_given = true;
  return output;
}

namespace sidecall {
namespace {

class FunctionBinding final : public Binding {
 public:
  explicit FunctionBinding(const FunctionEngine& engine) : request_(engine) {}

  void allocate_input(int32_t index, const Dims& dims) override {
    auto& input = request_.inputs[static_cast<size_t>(index)];
    const int32_t dtype = request_.engine.inputs()[static_cast<size_t>(index)].dtype;
    input.dims = dims;
    if (dtype == SIDECALL_STRING) {
      input.strings.assign(static_cast<size_t>(count_elements(dims)), std::string());
      input.is_changed = true;
    } else {
      const uint64_t bytes = count_bytes(dtype, dims);
      input.data = std::memset(input.buffer.reserve(bytes), 0, bytes);
    }
  }

  void* input_data(int32_t index) override {
    const bool is_text = request_.engine.inputs()[static_cast<size_t>(index)].dtype == SIDECALL_STRING;
    return is_text ? nullptr : request_.inputs[static_cast<size_t>(index)].buffer.reserve(0);
  }

  void set_string(int32_t index, int64_t element, std::string_view value) override {
    auto& input = request_.inputs[static_cast<size_t>(index)];
    input.strings[static_cast<size_t>(element)] = value;
    input.is_changed = true;
  }

  void borrow_input(int32_t index, const void* data, const Dims& dims) override {
    auto& input = request_.inputs[static_cast<size_t>(index)];
    input.data = data;
    input.dims = dims;
  }

  void* shape_output(int32_t index, const Dims* dims, void* data) override {
    auto& output = request_.outputs[static_cast<size_t>(index)];
    const int32_t dtype = request_.engine.outputs()[static_cast<size_t>(index)].dtype;
    output.is_known = dims != nullptr;
    output.bound = data;
    if (dims == nullptr) return nullptr;
    output.dims = *dims;
    if (dtype == SIDECALL_STRING) return nullptr;
    return data != nullptr ? data : output.buffer.reserve(count_bytes(dtype, *dims));
  }

  Outcome run(int64_t) override {
    for (auto& output : request_.outputs) output.is_given = false;
    request_.failure.reset();
    const sidecall_status status = request_.engine.call(&request_);
    if (status == SIDECALL_OK) return check_answer();
    if (request_.is_interrupted.load(std::memory_order_acquire)) return Outcome::kInterrupted;
    if (!shm::is_failure(status)) {
      throw Error(SIDECALL_INTERNAL, std::string("the served function failed with ") + status_name(status) +
                                         ": expected a status that tells what is wrong with the request");
    }
    if (!request_.failure || request_.failure->status() != status)
      throw Error(status, std::string("the served function failed with ") + status_name(status));
    throw Error(*request_.failure);
  }

  void interrupt() noexcept override { request_.is_interrupted.store(true, std::memory_order_release); }
  void rearm() noexcept override { request_.is_interrupted.store(false, std::memory_order_relaxed); }

  OutputTensor output(int32_t index) override {
    auto& output = request_.outputs[static_cast<size_t>(index)];
    const int32_t dtype = request_.engine.outputs()[static_cast<size_t>(index)].dtype;
    return {output.dims, dtype == SIDECALL_STRING ? nullptr : output.bound != nullptr ? output.bound : output.buffer.reserve(0)};
  }

  void read_strings(int32_t index, std::string* bytes, std::vector<int64_t>* offsets) override {
    const Text& text = request_.outputs[static_cast<size_t>(index)].text;
    *bytes = text.bytes;
    *offsets = text.offsets;
  }

 private:
  Outcome check_answer() const {
    for (size_t i = 0; i < request_.outputs.size(); ++i) {
      if (request_.outputs[i].is_given) continue;
      const TensorSpec& spec = request_.engine.outputs()[i];
      throw Error("output", {SIDECALL_ENGINE, -1, spec.name, describe_tensor(spec.dtype, spec.dims, &spec.dim_names), "nothing"});
    }
    return Outcome::kDone;
  }

  sidecall_request request_;
};

bool is_event_name(std::string_view text) {
  const auto is_plain = [](unsigned char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= 64 && std::all_of(text.begin(), text.end(), is_plain);
}

// The text if it is a JSON object, else an object that holds it.
std::string facts_of(const char* text) {
  rapidjson::Document document;
  document.Parse<rapidjson::kParseIterativeFlag>(text);
  return !document.HasParseError() && document.IsObject() ? text : shm::Facts().text("message", text).take();
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

void view_input(sidecall_request* request, int32_t index, sidecall_view* view) {
  if (index < 0 || static_cast<size_t>(index) >= request->inputs.size())
    throw Error(SIDECALL_UNKNOWN_NAME, "unknown input: the index is not that of an input");
  auto& input = request->inputs[static_cast<size_t>(index)];
  const int32_t dtype = request->engine.inputs()[static_cast<size_t>(index)].dtype;
  view->dtype = dtype;
  view->rank = static_cast<int32_t>(input.dims.size());
  view->flags = 0;
  view->dims = input.dims.data();
  if (dtype == SIDECALL_STRING) {
    pack(&input);
    view->data = input.text.bytes.data();
    view->data_bytes = input.text.bytes.size();
    view->offsets = input.text.offsets.data();
  } else {
    view->data = const_cast<void*>(input.data);  // read-only memory; a view serves both directions
    view->data_bytes = count_bytes(dtype, input.dims);
    view->offsets = nullptr;
  }
}

void view_output(sidecall_request* request, int32_t index, const int64_t* dims, int32_t rank, sidecall_view* view) {
  const TensorSpec& spec = request->output_spec(index);
  if (spec.dtype == SIDECALL_STRING)
    throw Error("output", {SIDECALL_DTYPE_MISMATCH, -1, spec.name, "a tensor of fixed size elements", "string"});
  auto& output = request->shape(index, dims, rank);
  const uint64_t bytes = count_bytes(spec.dtype, output.dims);
  view->dtype = spec.dtype;
  view->rank = rank;
  view->flags = 0;
  view->dims = output.dims.data();
  view->data = output.bound != nullptr ? output.bound : output.buffer.reserve(bytes);
  view->data_bytes = bytes;
  view->offsets = nullptr;
}

}  // namespace

void FunctionEngine::describe(std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs) const {
  *inputs = tensors_.inputs;
  *outputs = tensors_.outputs;
}

std::unique_ptr<Binding> FunctionEngine::bind(bool) const { return std::make_unique<FunctionBinding>(*this); }

}  // namespace sidecall

using sidecall::guard;

extern "C" {

int32_t sidecall_request_num_inputs(const sidecall_request* request) {
  return request == nullptr ? 0 : static_cast<int32_t>(request->inputs.size());
}
int32_t sidecall_request_num_outputs(const sidecall_request* request) {
  return request == nullptr ? 0 : static_cast<int32_t>(request->outputs.size());
}

const sidecall_tensor_spec* sidecall_request_input_spec(const sidecall_request* request, int32_t input) {
  const bool exists = input >= 0 && input < sidecall_request_num_inputs(request);
  return exists ? &request->engine.specs().inputs[static_cast<size_t>(input)] : nullptr;
}
const sidecall_tensor_spec* sidecall_request_output_spec(const sidecall_request* request, int32_t output) {
  const bool exists = output >= 0 && output < sidecall_request_num_outputs(request);
  return exists ? &request->engine.specs().outputs[static_cast<size_t>(output)] : nullptr;
}

sidecall_status sidecall_request_input(sidecall_request* request, int32_t index, sidecall_view* out_view, sidecall_error* err) {
  return guard(err, [&] {
    require(request != nullptr, "request must not be NULL");
    sidecall::fill_view(out_view, [&](sidecall_view* view) { sidecall::view_input(request, index, view); });
  });
}

sidecall_status sidecall_request_output(sidecall_request* request, int32_t index, const int64_t* dims, int32_t rank,
                                        sidecall_view* out_view, sidecall_error* err) {
  return guard(err, [&] {
    require(request != nullptr, "request must not be NULL");
    sidecall::fill_view(out_view, [&](sidecall_view* view) { sidecall::view_output(request, index, dims, rank, view); });
  });
}

sidecall_status sidecall_request_set_strings(sidecall_request* request, int32_t index, const int64_t* dims, int32_t rank, const char* data,
                                             const int64_t* offsets, sidecall_error* err) {
  return guard(err, [&] {
    require(request != nullptr && offsets != nullptr, "request and offsets must not be NULL");
    const TensorSpec& spec = request->output_spec(index);
    if (spec.dtype != SIDECALL_STRING)
      throw Error("output", {SIDECALL_DTYPE_MISMATCH, -1, spec.name, sidecall::dtype_name(spec.dtype), "string"});
    auto& output = request->shape(index, dims, rank);
    const int64_t count = sidecall::count_elements(output.dims);
    output.is_given = false;
    require(offsets[0] == 0, "offsets: expected 0 first, got another number");
    require(data != nullptr || offsets[count] == 0, "data must not be NULL");
    for (int64_t i = 0; i < count; ++i) {
      require(offsets[i] <= offsets[i + 1], "offsets: expected numbers that never fall, got one that does");
      const std::string_view text(data + offsets[i], static_cast<size_t>(offsets[i + 1] - offsets[i]));
      if (const char* fault = sidecall::string_fault(text))
        throw Error("output", {SIDECALL_INVALID_STRING, -1, spec.name, "string", fault});
    }
    output.text.bytes.assign(data == nullptr ? "" : data, static_cast<size_t>(offsets[count]));
    output.text.offsets.assign(offsets, offsets + count + 1);
    output.is_given = true;
  });
}

int64_t sidecall_request_remaining(const sidecall_request* request) {
  if (request == nullptr || request->is_interrupted.load(std::memory_order_acquire)) return 0;
  const sidecall::shm::Request* current = sidecall::current_request();
  if (current == nullptr) return -1;  // golden rows
  if (!current->is_wanted()) return 0;
  const int64_t deadline = current->deadline_ns();
  return deadline < 0 ? -1 : std::max<int64_t>(deadline - sidecall::shm::now_ns(), 0);
}

void sidecall_request_fail(sidecall_request* request, sidecall_status status, int64_t row, const char* name, const char* expected,
                           const char* got, const char* message) {
  if (request == nullptr) return;
  guard(nullptr, [&] {
    const auto text = [](const char* given) { return std::string(given == nullptr ? "" : given); };
    std::string line = message == nullptr ? std::string("the served function failed with ") + sidecall::status_name(status)
                                          : sidecall::printable(sidecall::one_line(message));
    if (row < 0 && name == nullptr && expected == nullptr && got == nullptr) {
      request->failure.emplace(status, line);
    } else {
      request->failure.emplace(sidecall::Fault{status, row, text(name), text(expected), text(got)}, line);
    }
  });
}

void sidecall_request_log(sidecall_request* request, int32_t level, const char* event, const char* facts) {
  if (request == nullptr || event == nullptr || level < 0 || level > 3) return;
  guard(nullptr, [&] {
    if (!sidecall::is_event_name(event)) return;
    const auto known_level = static_cast<sidecall::shm::LogLevel>(level);
    const std::string known_facts = facts == nullptr ? "{}" : sidecall::facts_of(facts);
    if (const sidecall::shm::Request* current = sidecall::current_request()) return current->log(known_level, event, known_facts);
    static_cast<void>(request->engine.log()(known_level, event, known_facts));  // golden rows
  });
}

}  // extern "C"
