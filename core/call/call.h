// One reusable workspace for predictions. The steps of a call: give inputs (call.cpp,
// call_shapes.cpp, call_widths.cpp), set features (call_features.cpp, call_many.cpp), run
// (call_run.cpp; call_checks.cpp checks the inputs), read columns (outputs/column_reader.h).
// Error texts are the same in every language.
#pragma once

#include <sidecall/sidecall.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/text/datetime.h"
#include "core/engine.h"
#include "core/error.h"
#include "fault_list.h"
#include "outputs/column_reader.h"
#include "outputs/output_tensors.h"
#include "shape_inference.h"

namespace sidecall {

// Throws INVALID_ARGUMENT unless the timeout of a run is more than 0, or -1.
void require_timeout(int64_t timeout_ns);

class Call final : private ResultCheck {
 public:
  // The signature and the engine must outlive the call. `ignore_extra`: see SIDECALL_EXTRA_IGNORE.
  // `lends_connection`: see Engine::make_context().
  Call(const Signature& signature, const Engine& engine, bool ignore_extra, int64_t rows,
       bool lends_connection = false);
  ~Call() { context_->end_runs(); }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  const Signature& signature() const { return signature_; }

  int64_t rows() const { return rows_; }
  void resize(int64_t rows);
  void reshape(int32_t input, const int64_t* dims, int32_t rank);
  void view_input(int32_t input, sidecall_view* view);
  void give_input(int32_t input, const sidecall_view& view, bool borrow);
  [[noreturn]] void refuse_input(int32_t input, const char* got);
  void set_strings(int32_t input, const char* data, const int64_t* offsets, int64_t num_strings);
  void reset();
  void view_output(int32_t output, sidecall_view* view);
  void bind_output(int32_t output, void* data, uint64_t data_bytes);
  // Discards the results of the last run, so that view_output() shows the shapes of the next run. A
  // server needs these shapes before that run.
  void discard_results() noexcept override { outputs_.discard_results(); }
  // The shapes that the outputs of the next run will have; nullopt if only the run determines them.
  std::vector<std::optional<Dims>> expected_outputs() const {
    const std::vector<Dims> dims = input_dims();
    return infer_output_shapes(signature_, dims, common_rows(signature_, dims, rows_));
  }
  // Whether the last run() passed all checks of its inputs, so that the engine was called.
  bool has_reached_engine() const noexcept { return has_reached_engine_; }
  uint64_t working_bytes() const noexcept { return context_->working_bytes(); }
  // Frees the faults of strings that were given. The next run does not report them.
  void drop_faults() noexcept {
    for (Input& input : inputs_) input.faults.clear();
  }

  // Each set function returns what is wrong with its value or name, its refusal; nullptr if nothing
  // is. The call remembers the refusal, and the run reports it. What is returned lives until the
  // next set function. Errors that are not remembered are thrown: BUSY, UNKNOWN_NAME for feature
  // -1, INVALID_ARGUMENT, NO_CONTRACT, and the fault of a record that is not an object
  // (set_invalid).
  const Fault* set_f64(int64_t row, int32_t feature, double value);
  const Fault* set_i64(int64_t row, int32_t feature, int64_t value);
  const Fault* set_bool(int64_t row, int32_t feature, int32_t value);
  const Fault* set_str(int64_t row, int32_t feature, std::string_view value);
  const Fault* set_datetime(int64_t row, int32_t feature, const Moment& value);
  // Like set_datetime(), but a feature without a time zone refuses it.
  const Fault* set_instant(int64_t row, int32_t feature, const Moment& value);
  const Fault* set_epoch(int64_t row, int32_t feature, std::string_view number);
  const Fault* set_missing(int64_t row, int32_t feature);
  const Fault* set_invalid(int64_t row, int32_t feature, int32_t status, const char* got);
  const Fault* set_unknown(int64_t row, std::string_view name);
  // Throws the refusal, if there is one.
  void raise(const Fault* refusal) const {
    if (refusal != nullptr) throw Error({*refusal}, 1, rows_ > 1);
  }

  // Several features of a row, and one feature of all rows. They throw the first refusal after all
  // values were tried. If they throw another error than BUSY, runs fail with it too, until clear(),
  // reset() or resize(). `features` may be nullptr for all features; `missing` and `nanoseconds`
  // may be nullptr.
  void set_row(int64_t row, const int32_t* features, const sidecall_value* values, int64_t count);
  void set_row(int64_t row, const int32_t* features, const double* values, int64_t count);
  void set_feature(int32_t feature, const double* values, const uint8_t* missing, int64_t count);
  void set_feature(int32_t feature, const int64_t* values, const uint8_t* missing, int64_t count);
  void set_feature(int32_t feature, const uint8_t* bools, const uint8_t* missing, int64_t count);
  void set_feature(int32_t feature, const char* data, uint64_t data_bytes, const int64_t* offsets,
                   const uint8_t* missing, int64_t count);
  void set_feature(int32_t feature, const int64_t* seconds, const int32_t* nanoseconds,
                   const uint8_t* missing, int64_t count);
  void clear();  // forgets all values and their faults

  // Reads the results of the last run.
  ColumnReader& columns() noexcept { return columns_; }

  void run(int64_t timeout_ns);
  // How long a run will probably take in this process; INT64_MAX if that is unknown, or if it runs
  // elsewhere.
  int64_t expected_ns() const noexcept {
    return run_times_ == nullptr ? INT64_MAX : run_times_->expected(num_elements());
  }
  // Whether it uses no memory of the caller, and its inputs have the shapes of a new call.
  bool is_as_opened() const noexcept;
  int64_t num_elements() const noexcept;                   // of all inputs
  uint64_t tensor_bytes() const noexcept;                  // of the memory for inputs and outputs
  void lend_connection() noexcept;                         // the results of the last run are lost
  bool is_busy() noexcept { return context_->is_busy(); }  // never blocks
  void cancel() noexcept { context_->cancel(); }           // from any thread

  // For a queue (queue.h). reserve() throws BUSY or INVALID_ARGUMENT. Then submit_reserved(), or
  // release(), ends the reservation of the engine, and unreserve() that of the call.
  void reserve(int64_t timeout_ns);
  void release() noexcept { context_->release(); }
  void unreserve() noexcept { context_->unreserve(); }
  // Takes the outcome of the run: returns true, or throws its error. Returns false while it has
  // none.
  bool take_outcome() { return context_->take_outcome(); }
  bool holds_memory() noexcept { return context_->holds_memory(); }
  // `deadline`: of the run; it began to count when the run was submitted. `has_waited`: some time
  // ago.
  void submit_reserved(int64_t timeout_ns, Clock::time_point deadline, bool has_waited,
                       RunListener* listener, const void* line);
  int64_t default_timeout_ns() const noexcept { return context_->default_timeout_ns(); }
  void lend_connection_after_run() noexcept { context_->lend_connection(true); }
  bool is_polled() const noexcept { return context_->is_polled(); }
  bool is_connecting() const noexcept { return context_->is_connecting(); }
  bool has_news(Look look, Clock::time_point now) noexcept { return context_->has_news(look, now); }
  Clock::time_point prepare_sleep(const platform::WaitSet& set, uint64_t number) {
    return context_->prepare_sleep(set, number);
  }
  void stop_listening() noexcept { context_->stop_listening(); }
  void give_up() noexcept;  // cancels the run, and drops its outcome

  // Like ExecutionContext::leave_to_worker(), but also returns false if the engine uses memory of
  // the caller.
  bool leave_to_worker(void (*dispose)(void*), void* owner) noexcept;

 private:
  struct Input {
    Dims dims;
    void* data = nullptr;  // owned or borrowed memory that the engine reads; nullptr for strings
    bool is_given = false;
    bool is_borrowed = false;
    FaultList faults;  // of strings that were given, by feature; the next run reports them
  };

  // call.cpp
  void require_idle() { context_->require_idle(); }
  Input& input_at(int32_t input);
  void copy_strings(int32_t input, const char* data, const int64_t* offsets, int64_t count);

  // call_shapes.cpp
  void allocate(int32_t input, Dims dims);
  void place(int32_t input, Dims dims);
  void resolve_shapes();
  std::vector<Dims> input_dims() const;
  void announce(int32_t input, const Dims& dims);

  // call_features.cpp, call_inline.h
  enum class State : uint8_t { kUnset, kSet, kRefused };  // of one feature in one row
  void require_contract() const;
  void use_row(int64_t row, int64_t rows);
  const Feature& idle_feature_at(int64_t row, int32_t feature);
  const Feature& feature_at(int64_t row, int32_t feature);
  const Feature& open_feature(int64_t row, int32_t feature);
  State& state_at(int64_t row, int32_t feature) {
    return states_[static_cast<size_t>(row) * signature_.features.size() +
                   static_cast<size_t>(feature)];
  }
  const Fault* refuse(int64_t row, int32_t index, int32_t status, const std::string& expected,
                      const char* got);
  const Fault* refuse_instant(int64_t row, int32_t index);
  const Fault* remember(int32_t index, const Fault& fault);
  const Fault* put_f64(int64_t row, int32_t index, const Feature& feature, double value);
  const Fault* put_any_f64(int64_t row, int32_t index, const Feature& feature, double value);
  const Fault* put_i64(int64_t row, int32_t index, const Feature& feature, int64_t value);
  const Fault* put_bool(int64_t row, int32_t index, const Feature& feature, int32_t value);
  const Fault* put_str(int64_t row, int32_t index, const Feature& feature, std::string_view value);
  const Fault* put_datetime(int64_t row, int32_t index, const Feature& feature,
                            const Moment& value);
  const Fault* put_missing(int64_t row, int32_t index, const Feature& feature);
  const Fault* store(int64_t row, int32_t index, const Feature& feature, double value,
                     int64_t integer);
  const Fault* store_count(int64_t row, int32_t index, const Feature& feature,
                           const DatetimeCount& count, int32_t status_if_too_fine);
  void write_number(int64_t row, const Feature& feature, double value, int64_t integer);
  template <typename T>
  static void write_at(void* data, int64_t index, T value);
  void mark_set(int64_t row, int32_t feature);
  void become_set(int64_t row, int32_t feature, State* state);
  void unset_features(int32_t input);
  void forget_records();
  void write_missing(int64_t row, const Feature& feature);
  void fill_with_missing(int32_t input);
  void check_records(FaultList* faults);

  // call_checks.cpp
  void check_bools() const;
  void check_unwritten(FaultList* faults) const;
  void check_values(FaultList* faults);
  template <typename Number>
  void check_columns(size_t input, bool is_clean, FaultList* faults);
  std::string_view check_text(int32_t input, int64_t element, std::string_view text);

  // call_widths.cpp
  void require_float32(int32_t input, const void* doubles, const Dims& dims) const;
  static void convert_width(const void* from, void* to, int32_t to_dtype, int64_t count) noexcept;

  // call_many.cpp
  class First;
  template <typename Set>
  void set_many(Set set);
  bool are_ready(int64_t row) const;
  template <typename Put>
  void put_row(int64_t row, const int32_t* features, int64_t count, First* first, Put put);
  template <typename Put>
  void put_feature(int32_t index, const uint8_t* missing, int64_t count, First* first, Put put);
  const Fault* put(int64_t row, int32_t index, const Feature& feature, const sidecall_value& value);
  const Fault* put_byte(int64_t row, int32_t index, const Feature& feature, int64_t value);
  const Fault* put_seconds(int64_t row, int32_t index, const Feature& feature, int64_t seconds,
                           int32_t nanoseconds);

  // call_run.cpp
  void prepare();
  bool borrows_memory() const noexcept;
  void run_timed(int64_t timeout_ns);
  std::exception_ptr check_results() noexcept override;

  const Signature& signature_;
  const bool ignore_extra_;
  std::unique_ptr<ExecutionContext> context_;
  const bool has_joint_layout_;  // see ExecutionContext
  RunTimes* const run_times_;    // nullptr if runs happen elsewhere
  uint32_t num_runs_ = 0;        // synchronous ones
  int64_t rows_ = 0;
  std::vector<Input> inputs_;
  OutputTensors outputs_;
  ColumnReader columns_;
  bool shapes_changed_ = true;
  bool has_reached_engine_ = false;

  bool has_records_ = false;   // clear() or a set function was called since the last reset
  std::vector<State> states_;  // rows * features, row by row
  int64_t num_set_ = 0;
  // By feature (kNoFeature for an unknown name). If a feature's fault was not kept because the list
  // is full, states_ still holds kRefused.
  FaultList faults_;
  Fault refusal_;  // what the last set function returned, if it refused
  // Why many values were not set: the run fails with it. Forgotten with the records.
  std::exception_ptr set_failure_;
};

}  // namespace sidecall
