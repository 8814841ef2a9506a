// Completion queues of the C ABI: part 5 of sidecall.h.
#include <sidecall/sidecall.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <utility>

#include "core/abi/guard.h"
#include "core/abi/handles.h"
#include "event.h"
#include "open_model.h"
#include "structs.h"

namespace {

constexpr int32_t kMaxCapacity = 1 << 20;
constexpr size_t kLeastCompletion = offsetof(sidecall_completion, flags) + sizeof(uint32_t);

sidecall::Queue& use(sidecall_queue* queue) {
  sidecall::require(queue != nullptr, "queue must not be NULL");
  return *queue->queue;
}

int32_t limit(const char* name, int32_t given, int32_t most) {
  if (given < 1 || given > most)
    throw sidecall::Error(SIDECALL_INVALID_ARGUMENT, std::string(name) + ": expected 1 to " +
                                                         std::to_string(most) + ", got " +
                                                         std::to_string(given));
  return given;
}

// Opens a model on the thread of a task.
class Opening final : public sidecall::Task {
 public:
  // `source`: a URI, or the bytes of a file.
  Opening(std::string source, bool is_bytes, const sidecall_model_options& options,
          sidecall_error* err)
      : source_(std::move(source)), is_bytes_(is_bytes), options_(options), error_(err) {
    keep(&options_.onnxruntime, &onnxruntime_);
    keep(&options_.onnxruntime_package, &onnxruntime_package_);
  }
  ~Opening() override { sidecall_model_close(model_); }

  void work() override {
    model_ = is_bytes_ ? sidecall::open_model_bytes(std::move(source_), options_)
                       : sidecall::open_model(source_.c_str(), options_);
  }
  sidecall_model* take_model() noexcept { return std::exchange(model_, nullptr); }
  void report(const std::exception_ptr& failure) const noexcept {
    sidecall::guard(error_, [&] { std::rethrow_exception(failure); });
  }

 private:
  static void keep(const char** text, std::string* copy) {
    if (*text == nullptr) return;
    *copy = *text;
    *text = copy->c_str();
  }

  std::string source_;
  const bool is_bytes_;
  sidecall_model_options options_;
  sidecall_error* const error_;
  std::string onnxruntime_, onnxruntime_package_;
  sidecall_model* model_ = nullptr;
};

uint64_t submit(sidecall_queue* queue, std::string source, bool is_bytes,
                const sidecall_model_options* options, int64_t timeout_ns, uint64_t tag,
                sidecall_error* model_error) {
  const auto opening = std::make_shared<Opening>(
      std::move(source), is_bytes, sidecall::read_model_options(options), model_error);
  return use(queue).submit(opening, timeout_ns, tag);
}

// The array of the caller, whose structs may have another size than ours.
struct Array {
  char* data;
  size_t item_size;
};

void put(void* context, int64_t index, const sidecall::Completion& from) {
  const Array& array = *static_cast<Array*>(context);
  sidecall_completion to{};
  to.tag = from.tag;
  to.run = from.run;
  to.call = static_cast<sidecall_call*>(from.owner);
  to.status = from.status;
  to.flags = from.flags;
  if (from.task != nullptr) {
    auto& opening = static_cast<Opening&>(*from.task);
    if (from.failure != nullptr) opening.report(from.failure);
    else if (array.item_size >= sizeof to) to.model = opening.take_model();
  }
  if (from.event != nullptr) {
    const std::unique_ptr<sidecall::Event> event(static_cast<sidecall::Event*>(from.event));
    if (array.item_size >= sizeof to) to.event = event->text.release();
  }
  char* const at = array.data + static_cast<size_t>(index) * array.item_size;
  std::memset(at, 0, array.item_size);
  std::memcpy(at, &to, std::min(array.item_size, sizeof to));
}

}  // namespace

extern "C" {

sidecall_status sidecall_queue_open(const sidecall_queue_options* options,
                                    sidecall_queue** out_queue, sidecall_error* err) {
  if (out_queue != nullptr) *out_queue = nullptr;
  return sidecall::guard(err, [&] {
    sidecall::require(out_queue != nullptr, "out_queue must not be NULL");
    const sidecall_queue_options given =
        options == nullptr
            ? sidecall::default_queue_options()
            : sidecall::read_struct(options, sidecall::default_queue_options(), "options");
    const sidecall::QueueOptions limits{limit("capacity", given.capacity, kMaxCapacity),
                                        limit("max_started", given.max_started, kMaxCapacity)};
    *out_queue = new sidecall_queue{std::make_shared<sidecall::Queue>(limits)};
  });
}

sidecall_status sidecall_queue_submit(sidecall_queue* queue, sidecall_call* call,
                                      int64_t timeout_ns, uint64_t tag, uint64_t* out_run,
                                      sidecall_error* err) {
  if (out_run != nullptr) *out_run = 0;
  return sidecall::guard(err, [&] {
    sidecall::use(call);
    const uint64_t number = use(queue).submit(&call->run, call->model.get(), timeout_ns, tag);
    if (out_run != nullptr) *out_run = number;
  });
}

sidecall_status sidecall_queue_open_model(sidecall_queue* queue, const char* uri,
                                          const sidecall_model_options* options, int64_t timeout_ns,
                                          uint64_t tag, sidecall_error* model_error,
                                          uint64_t* out_run, sidecall_error* err) {
  if (out_run != nullptr) *out_run = 0;
  return sidecall::guard(err, [&] {
    sidecall::require(uri != nullptr, "uri must not be NULL");
    const uint64_t number = submit(queue, uri, false, options, timeout_ns, tag, model_error);
    if (out_run != nullptr) *out_run = number;
  });
}

sidecall_status sidecall_queue_open_bytes(sidecall_queue* queue, const void* data, size_t length,
                                          const sidecall_model_options* options, int64_t timeout_ns,
                                          uint64_t tag, sidecall_error* model_error,
                                          uint64_t* out_run, sidecall_error* err) {
  if (out_run != nullptr) *out_run = 0;
  return sidecall::guard(err, [&] {
    sidecall::require(data != nullptr, "data must not be NULL");
    const uint64_t number = submit(queue, std::string(static_cast<const char*>(data), length), true,
                                   options, timeout_ns, tag, model_error);
    if (out_run != nullptr) *out_run = number;
  });
}

sidecall_status sidecall_queue_take(sidecall_queue* queue, uint64_t run,
                                    sidecall_completion* completions, size_t completion_size,
                                    int64_t capacity, int64_t wait_ns, int64_t* out_count,
                                    sidecall_error* err) {
  if (out_count != nullptr) *out_count = 0;
  return sidecall::guard(err, [&] {
    sidecall::require(completions != nullptr && out_count != nullptr,
                      "completions and out_count must not be NULL");
    if (capacity < 1)
      throw sidecall::Error(SIDECALL_INVALID_ARGUMENT,
                            "capacity: expected 1 or more, got " + std::to_string(capacity));
    if (wait_ns < -1)
      throw sidecall::Error(SIDECALL_INVALID_ARGUMENT,
                            "wait_ns: expected 0 or more, or -1, got " + std::to_string(wait_ns));
    if (completion_size < kLeastCompletion || completion_size > sidecall::kLargestStruct)
      throw sidecall::Error(SIDECALL_INVALID_ARGUMENT,
                            "completion_size: expected sizeof(sidecall_completion), got " +
                                std::to_string(completion_size));
    Array array{reinterpret_cast<char*>(completions), completion_size};
    *out_count = use(queue).take(run, capacity, wait_ns, put, &array);
  });
}

sidecall_status sidecall_queue_arm(sidecall_queue* queue, int64_t* out_look_ns,
                                   sidecall_error* err) {
  if (out_look_ns != nullptr) *out_look_ns = 0;
  return sidecall::guard(err, [&] {
    sidecall::require(out_look_ns != nullptr, "out_look_ns must not be NULL");
    *out_look_ns = use(queue).arm();
  });
}

sidecall_status sidecall_queue_handle(sidecall_queue* queue, intptr_t* out_handle,
                                      sidecall_error* err) {
  if (out_handle != nullptr) *out_handle = -1;
  return sidecall::guard(err, [&] {
    sidecall::require(out_handle != nullptr, "out_handle must not be NULL");
    *out_handle = use(queue).handle();
  });
}

void sidecall_queue_cancel(sidecall_queue* queue, uint64_t run) {
  if (queue != nullptr) queue->queue->cancel(run);
}

void sidecall_queue_close(sidecall_queue* queue) {
  if (queue == nullptr) return;
  // In a forked child nothing is destroyed: threads of the parent may have used it.
  if (queue->queue->close()) delete queue;
}

sidecall_status sidecall_call_error(sidecall_call* call, sidecall_error* err) {
  return sidecall::guard(err, [&] {
    sidecall::use(call);
    call->run.rethrow_outcome();
  });
}

}  // extern "C"
