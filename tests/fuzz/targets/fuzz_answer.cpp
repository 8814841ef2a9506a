// Fuzzes what a server sends to a client: handshakes, memory files, answers, faults, one-shot
// results and the status. Each call ends with outputs that match the signature, or with an error.
// frames.h describes the inputs.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "core/call/call.h"
#include "core/model.h"
#include "engines/shm/engine.h"
#include "engines/shm/errors.h"
#include "shm/client/client.h"
#include "tests/core/queued_call.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/hostile_server.h"

namespace {

constexpr size_t kMaxCalls = 6;
constexpr int64_t kMaxElements = 1 << 16;
// How long the client waits for an answer that does not come.
constexpr int64_t kTimeout = INT64_C(20) * 1000 * 1000;

// Like fuzz::run(), but allows every status of a failure, because the server may send any of them.
void run(const std::function<void()>& body) {
  try {
    body();
  } catch (const sidecall::Error& error) {
    const std::string message = error.what();
    fuzz::require(sidecall::shm::is_failure(error.status()), "the status of a failure");
    fuzz::require(!message.empty() && sidecall::is_utf8_without_nul(message), "a message in UTF-8");
    fuzz::require(message.find('\n') == std::string::npos, "a message of one line");
    fuzz::check_faults(error);
  }
}

// Whether a call for `rows` rows takes little memory in this process.
bool is_small(const std::vector<sidecall::TensorSpec>& specs, int64_t rows) {
  int64_t elements = 1;
  for (const sidecall::TensorSpec& spec : specs) {
    int64_t product = 1;
    for (const int64_t dim : spec.dims) {
      if (__builtin_mul_overflow(product, dim < 0 ? rows : dim, &product)) return false;
    }
    if (__builtin_add_overflow(elements, product, &elements)) return false;
  }
  return elements <= kMaxElements;
}

class Client {
 public:
  Client(fuzz::Server* server, const sidecall::Model& model) : server_(server), model_(model) {
    make_call();
  }

  void run(unsigned what) {
    switch (what % 8) {
      case 0:
        run_at_once();
        break;
      case 1:
        run_while_present(false);
        break;
      case 2:
        run_while_present(true);
        break;
      case 3:
        run_until_deadline();
        break;
      case 4:
        resize(1 + what / 8);
        break;
      case 5:
        resize(1500);  // outputs of this size are read in place
        break;
      case 6:
        server_->set_present(false);
        model_.predict_json(what < 128 ? "{}" : "[{}, {}]");
        break;
      default:
        // The server stays, so that the next run has a connection whose other end is open.
        server_->set_present(true);
        server_->set_rows(1);
        make_call();
    }
  }

 private:
  void make_call() {
    queued_.reset();
    call_ = std::make_unique<sidecall::Call>(model_.signature(), model_.engine(), false, 1);
    queued_.emplace(call_.get());
  }

  void resize(int64_t rows) {
    if (!is_small(model_.signature().inputs, rows) || !is_small(model_.signature().outputs, rows))
      return;
    server_->set_present(false);
    call_->resize(rows);
    server_->set_rows(rows);
  }

  void set_inputs() {
    for (size_t i = 0; i < model_.signature().inputs.size(); ++i) {
      sidecall_view view = SIDECALL_VIEW_INIT;
      const auto input = static_cast<int32_t>(i);
      call_->view_input(input, &view);
      if (view.dtype != SIDECALL_DTYPE_STRING) continue;
      int64_t elements = 1;
      for (int32_t k = 0; k < view.rank; ++k) elements *= view.dims[k];
      const std::vector<int64_t> offsets(static_cast<size_t>(elements) + 1, 0);
      call_->set_strings(input, "", offsets.data(), elements);
    }
  }

  // The server publishes its answer before the request, and has gone when the run begins.
  void run_at_once() {
    set_inputs();
    server_->answer(true);
    server_->set_present(false);
    call_->run(kTimeout);
    check_outputs();
  }

  // The answer comes after the deadline of the run, so that the next run finds it.
  void run_until_deadline() {
    set_inputs();
    server_->set_present(true);
    ::run([this] { call_->run(kTimeout / 20); });
    server_->answer(false);
  }

  // The server answers between the client's checks for an answer.
  void run_while_present(bool cancels) {
    set_inputs();
    server_->set_present(true);
    queued_->start(kTimeout);
    bool is_over = queued_->finish(0);
    if (cancels) call_->cancel();
    for (int i = 0; i < 2 && !is_over; ++i) {
      server_->answer(false);
      is_over = queued_->finish(0);
    }
    if (!is_over) {
      server_->set_present(false);
      queued_->finish(-1);
    }
    check_outputs();
  }

  void check_outputs() {
    const sidecall::Signature& signature = model_.signature();
    for (size_t i = 0; i < signature.outputs.size(); ++i) {
      sidecall_view view = SIDECALL_VIEW_INIT;
      call_->view_output(static_cast<int32_t>(i), &view);
      check_output(signature.outputs[i], view);
    }
    for (size_t i = 0; i < signature.columns.size(); ++i) {
      const auto column = static_cast<int32_t>(i);
      fuzz::run([&] { call_->columns().get_f64(0, column); });
      fuzz::run([&] {
        fuzz::require(call_->columns().get_str(0, column).size() <= fuzz::kResponseSlot,
                      "a short text");
      });
    }
  }

  static void check_output(const sidecall::TensorSpec& spec, const sidecall_view& view) {
    fuzz::require(view.dtype == spec.dtype, "the signature's type");
    const sidecall::Dims dims(view.dims, view.dims + view.rank);
    fuzz::require(!spec.is_shaped || dims.size() == spec.dims.size(), "the signature's rank");
    int64_t elements = 1;
    for (size_t k = 0; k < dims.size(); ++k) {
      fuzz::require(dims[k] >= 0, "a size");
      fuzz::require(!spec.is_shaped || spec.dims[k] < 0 || spec.dims[k] == dims[k],
                    "the signature's sizes");
    }
    fuzz::require(
        sidecall::shm::count_elements(dims.data(), static_cast<uint32_t>(dims.size()), &elements),
        "elements that can be counted");
    fuzz::require(view.data_bytes <= fuzz::kResponseSlot, "an output that lies in its slot");
    // Reads the whole output, so that AddressSanitizer checks its memory.
    const std::string copy(static_cast<const char*>(view.data), view.data_bytes);
    if (spec.dtype == SIDECALL_DTYPE_STRING) return check_strings(view, elements);
    uint64_t bytes = 0;
    fuzz::require(sidecall::shm::count_bytes(spec.dtype, elements, &bytes) && bytes == copy.size(),
                  "the bytes that type and shape need");
    if (spec.dtype == SIDECALL_DTYPE_BOOL)
      fuzz::require(copy.find_first_not_of(std::string("\0\1", 2)) == std::string::npos,
                    "bools of 0 and 1");
  }

  static void check_strings(const sidecall_view& view, int64_t elements) {
    fuzz::require(
        view.offsets[0] == 0 && static_cast<uint64_t>(view.offsets[elements]) == view.data_bytes,
        "offsets from end to end");
    for (int64_t k = 0; k < elements; ++k)
      fuzz::require(view.offsets[k] <= view.offsets[k + 1], "offsets that never fall");
  }

  fuzz::Server* server_;
  const sidecall::Model& model_;
  std::unique_ptr<sidecall::Call> call_;
  std::optional<fake::QueuedCall> queued_;
};

void fetch_status() {
  sidecall::with_core_errors([] {
    fuzz::HostileEndpoint endpoint;
    const std::string text = sidecall::shm::fetch_status(
        endpoint, sidecall::shm::Deadline::after(0), sidecall::shm::Deadline::after(kTimeout));
    fuzz::require(sidecall::is_utf8_without_nul(text) && text.find('{') != std::string::npos,
                  "a JSON object");
  });
}

void use_model(fuzz::Server* server) {
  sidecall_model_options options{};
  options.timeout_ns = -1;
  options.verify = SIDECALL_VERIFY_ERROR;
  const auto model = sidecall::open_remote("shm:/hostile", options);
  const sidecall::Signature& signature = model->signature();
  const std::string& id = model->id();
  fuzz::require(sidecall::is_utf8_without_nul(id), "a model id in UTF-8");
  if (!is_small(signature.inputs, 2) || !is_small(signature.outputs, 2)) return;
  Client client(server, *model);
  for (const char what : server->calls().substr(0, kMaxCalls))
    run([&] { client.run(static_cast<unsigned char>(what)); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::with_server({reinterpret_cast<const char*>(data), size}, [](fuzz::Server* server) {
    if (server->has_status()) {
      server->expect(sidecall::shm::kStatus);
      run(fetch_status);
      server->expect(sidecall::shm::kOpen);
    }
    run([server] { use_model(server); });
  });
  return 0;
}
