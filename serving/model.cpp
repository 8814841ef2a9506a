// Answers requests of the channel with calls of core; used by server.cpp.
#include "model.h"

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/process/process_end.h"
#include "core/call/call.h"
#include "engines/shm/errors.h"

namespace sidecall {
namespace {

thread_local const shm::Request* t_request = nullptr;

struct Current {
  explicit Current(const shm::Request& request) { t_request = &request; }
  ~Current() { t_request = nullptr; }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;
};

void require_process() {
  if (is_process_ending()) throw shm::Error(SIDECALL_PEER_DIED, kProcessEnds);
}

class ModelSession final : public shm::Session {
 public:
  explicit ModelSession(std::shared_ptr<const Model> model)
      : model_(std::move(model)),
        call_(model_->signature(), model_->engine(), false, 1),
        outputs_(model_->signature().outputs.size()) {
    for (const TensorSpec& spec : model_->signature().inputs)
      has_strings_ = has_strings_ || spec.dtype == SIDECALL_DTYPE_STRING;
  }

  void handle(const shm::Request& request, shm::Response& response) override {
    const Current current(request);
    bool is_complete = false;
    const auto drop_if_incomplete = [&](void*) {
      if (is_complete) return;
      call_.clear_string_faults();
      // The engine may have made results or intermediate values that hold() did not count, because
      // only the run determines their size.
      const bool is_larger = has_late_ || call_.working_bytes() > counted_working_bytes_;
      if (is_larger && call_.has_reached_engine()) response.drop_session();
    };
    const std::unique_ptr<void, decltype(drop_if_incomplete)> guard(this, drop_if_incomplete);
    try {
      const bool is_same = is_bound_ && request.is_same_layout();
      is_bound_ = false;
      set_inputs(request, is_same);
      place_known_outputs(response, is_same);
      if (const int32_t stopped = request.stop_status())
        throw shm::Error(stopped, stop_text(stopped));
      call_.run(-1);
      place_other_outputs(response);
      hold_working_memory(response);
      require_process();
      is_bound_ = is_complete = true;
    } catch (const Error& error) {
      require_process();
      const int32_t stopped = request.stop_status();
      if (stopped != 0 &&
          (error.status() == SIDECALL_CANCELLED || error.status() == SIDECALL_TIMEOUT))
        throw shm::Error(stopped, stop_text(stopped));
      throw to_channel(error);
    }
  }

  void interrupt() noexcept override { call_.cancel(); }

 private:
  struct Output {
    Dims dims;
    void* memory = nullptr;  // the memory that it is bound to
    // Its shape follows from the inputs and it is not a string tensor, so the engine writes it
    // directly into the slot.
    bool is_known = false;
  };

  // If the layout did not change, the inputs are still bound to the slot and only strings are
  // copied.
  void set_inputs(const shm::Request& request, bool is_same) {
    if (is_same && !has_strings_) return;
    for (size_t i = 0; i < request.num_inputs(); ++i) {
      const shm::InputView& input = request.input(i);
      if (is_same && input.offsets == nullptr) continue;
      sidecall_view view = SIDECALL_VIEW_INIT;
      view.dtype = input.dtype;
      view.rank = static_cast<int32_t>(input.rank);
      view.dims = input.dims;
      view.data = const_cast<void*>(input.data);  // only read, although a view is writable
      view.data_bytes = input.bytes;
      view.offsets = input.offsets;
      call_.set_input(static_cast<int32_t>(i), view, true);
    }
  }

  void place_known_outputs(shm::Response& response, bool is_same) {
    if (!is_same) {
      call_.discard_results();
      hold_known_outputs(response);
    }
    for (size_t i = 0; i < outputs_.size(); ++i) {
      Output& output = outputs_[i];
      const auto index = static_cast<int32_t>(i);
      const int32_t dtype = model_->signature().outputs[i].dtype;
      if (!is_same) {
        sidecall_view view = SIDECALL_VIEW_INIT;
        call_.view_output(index, &view);
        output.is_known = view.rank >= 0 && dtype != SIDECALL_DTYPE_STRING;
        output.dims.assign(view.dims, view.dims + (view.rank < 0 ? 0 : view.rank));
      }
      if (!output.is_known) continue;
      void* memory =
          response.place(i, output.dims.data(), static_cast<uint32_t>(output.dims.size()));
      if (!is_same || memory != output.memory)
        call_.bind_output(index, memory, count_bytes(dtype, output.dims));
      output.memory = memory;
    }
  }

  // Counts what the engine is about to make for outputs of known shape: memory of its own, or one
  // std::string and one pointer for each element. The first output also counts the memory of the
  // refusals, which hold one step number for each row.
  void hold_known_outputs(shm::Response& response) {
    const std::vector<std::optional<Dims>> expected = call_.expected_output_shapes();
    has_late_ = false;
    for (size_t i = 0; i < expected.size(); ++i) {
      const int32_t dtype = model_->signature().outputs[i].dtype;
      const bool is_string = dtype == SIDECALL_DTYPE_STRING;
      has_late_ = has_late_ || is_string || !expected[i];
      if (!expected[i]) continue;
      const Dims& dims = *expected[i];
      const uint64_t bytes =
          is_string ? static_cast<uint64_t>(count_elements(dims)) * (kBytesOfString + sizeof(char*))
                    : count_bytes(dtype, dims);
      const uint64_t refusals =
          i == 0 && !dims.empty() ? static_cast<uint64_t>(dims[0]) * sizeof(int64_t) : 0;
      response.hold(i, bytes + refusals);
    }
  }

  // The engine and the call keep these outputs until the next run.
  void place_other_outputs(shm::Response& response) {
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (outputs_[i].is_known) continue;
      sidecall_view view = SIDECALL_VIEW_INIT;
      call_.view_output(static_cast<int32_t>(i), &view);
      const auto rank = static_cast<uint32_t>(view.rank);
      response.hold(i, held_bytes(view));
      if (view.dtype == SIDECALL_DTYPE_STRING) {
        response.place_strings(i, view.dims, rank, view.offsets,
                               {static_cast<const char*>(view.data), view.data_bytes});
        continue;
      }
      void* memory = response.place(i, view.dims, rank);
      if (view.data_bytes > 0) std::memcpy(memory, view.data, view.data_bytes);
    }
  }

  // Counts what the engine keeps for the next run. It is counted after the run, because only the
  // engine knows its size. If the client may not hold that much, the answer is sent nevertheless,
  // and hold() has the session closed after this request.
  void hold_working_memory(shm::Response& response) {
    counted_working_bytes_ = call_.working_bytes();
    try {
      response.hold(outputs_.size(), counted_working_bytes_);
    } catch (const shm::Error&) {
    }
  }

  // What is kept of an output after a run. Strings are kept one by one in the engine, and as one
  // text with offsets in the call.
  static uint64_t held_bytes(const sidecall_view& view) {
    if (view.dtype != SIDECALL_DTYPE_STRING) return view.data_bytes;
    return elements_of(view) * (kBytesOfString + sizeof(char*) + sizeof(int64_t)) +
           2 * view.data_bytes + kMaxKeptText;
  }

  static uint64_t elements_of(const sidecall_view& view) {
    uint64_t count = 1;
    for (int32_t i = 0; i < view.rank; ++i) count *= static_cast<uint64_t>(view.dims[i]);
    return count;
  }

  // The size of a std::string plus the header of the heap block that holds its text.
  static constexpr uint64_t kBytesOfString = sizeof(std::string) + 16;

  const std::shared_ptr<const Model> model_;
  Call call_;
  std::vector<Output> outputs_;
  uint64_t counted_working_bytes_ = 0;  // see hold_working_memory()
  bool has_strings_ = false;
  bool has_late_ = false;  // an output whose size only a run determines
  bool is_bound_ = false;  // the call is still bound to the memory of the previous request
};

}  // namespace

const shm::Request* current_request() noexcept { return t_request; }

std::unique_ptr<shm::Session> ModelHandler::open_session() {
  try {
    return std::make_unique<ModelSession>(model_);
  } catch (const Error& error) {
    require_process();
    throw to_channel(error);
  }
}

// An estimate: a call, and an IoBinding of ONNX Runtime. `make bench-reliability` compares it with
// the memory that a server takes ("many slots").
uint64_t ModelHandler::session_bytes() const noexcept {
  constexpr uint64_t kCall = 16384, kTensor = 2048;
  const Signature& signature = model_->signature();
  return kCall + kTensor * (signature.inputs.size() + signature.outputs.size());
}

}  // namespace sidecall
