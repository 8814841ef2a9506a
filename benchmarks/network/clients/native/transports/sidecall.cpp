// libsidecall in process or elsewhere, by the URI. Each worker reuses one sidecall_call. A row of
// numbers is passed as one tensor; a record is passed one feature at a time.
#include <sidecall/sidecall.h>

#include <atomic>
#include <cstring>
#include <optional>
#include <random>
#include <stdexcept>
#include <utility>
#include <vector>

#include "transport.h"

namespace bench {
namespace {

constexpr uint64_t kBindBytes =
    // inputs of this size or more are bound without a copy, as sidecall_call_copy_input advises
    16384;

struct ModelCloser {
  void operator()(sidecall_model* model) const { sidecall_model_close(model); }
};
struct CallCloser {
  void operator()(sidecall_call* call) const { sidecall_call_close(call); }
};
using Model = std::unique_ptr<sidecall_model, ModelCloser>;
using Call = std::unique_ptr<sidecall_call, CallCloser>;

class KeptCall : public Caller {
 public:
  KeptCall(const sidecall_model* model, const Workload& workload, int64_t rows)
      : workload_(workload), rows_(rows) {
    sidecall_call* opened = nullptr;
    check(sidecall_call_open(model, rows, &opened, &err_));
    call_.reset(opened);
  }

 protected:
  void check(sidecall_status status) const {
    if (status != SIDECALL_OK) throw std::runtime_error(err_.message);
  }
  void run() { check(sidecall_call_run(call_.get(), -1, &err_)); }

  const Workload& workload_;
  const int64_t rows_;
  Call call_;
  sidecall_error err_ = SIDECALL_ERROR_INIT;
};

class TensorCall : public KeptCall {
 public:
  TensorCall(const sidecall_model* model, const Workload& workload, int64_t rows)
      : KeptCall(model, workload, rows) {
    dims_.assign(1, rows);
    dims_.insert(dims_.end(), workload.input_dims.begin(), workload.input_dims.end());
    check(sidecall_call_input(call_.get(), 0, &input_, &err_));
    std::memset(input_.data, 0, input_.data_bytes);
    bind_ = input_.dtype == SIDECALL_DTYPE_FLOAT32 && input_.data_bytes >= kBindBytes;
    outputs_.assign(static_cast<size_t>(sidecall_model_num_outputs(model)), SIDECALL_VIEW_INIT);
    run();
    ask_for_outputs();
  }

  void call(int64_t first_row, Answer& answer) override {
    give(workload_.row(first_row));
    run();
    if (rows_ > 1) ask_for_outputs();  // large outputs may be at another address after each run
    for (const sidecall_view& output : outputs_) take(output, answer);
  }

 private:
  void ask_for_outputs() {
    for (size_t i = 0; i < outputs_.size(); ++i)
      check(sidecall_call_output(call_.get(), static_cast<int32_t>(i), &outputs_[i], &err_));
  }

  void give(const float* values) {
    const size_t count = static_cast<size_t>(rows_ * workload_.row_values);
    if (bind_) {
      sidecall_view view = SIDECALL_VIEW_INIT;
      view.dtype = SIDECALL_DTYPE_FLOAT32;
      view.rank = static_cast<int32_t>(dims_.size());
      view.dims = dims_.data();
      view.data = const_cast<float*>(values);
      view.data_bytes = count * sizeof(float);
      check(sidecall_call_bind_input(call_.get(), 0, &view, &err_));
    } else if (input_.dtype == SIDECALL_DTYPE_FLOAT32) {
      std::memcpy(input_.data, values, count * sizeof(float));
    } else if (input_.dtype == SIDECALL_DTYPE_FLOAT64) {
      // A Python server's scikit-learn model has this type.
      for (size_t i = 0; i < count; ++i)
        static_cast<double*>(input_.data)[i] = static_cast<double>(values[i]);
    } else {
      throw std::runtime_error("sidecall: expected a float input");
    }
  }

  static void take(const sidecall_view& output, Answer& answer) {
    if (output.dtype == SIDECALL_DTYPE_INT64) {
      const auto* values = static_cast<const int64_t*>(output.data);
      answer.labels.insert(answer.labels.end(), values,
                           values + output.data_bytes / sizeof *values);
    } else if (output.dtype == SIDECALL_DTYPE_FLOAT32) {
      const auto* values = static_cast<const float*>(output.data);
      answer.numbers.insert(answer.numbers.end(), values,
                            values + output.data_bytes / sizeof *values);
    } else if (output.dtype == SIDECALL_DTYPE_FLOAT64) {
      const auto* values = static_cast<const double*>(output.data);
      for (size_t i = 0; i < output.data_bytes / sizeof *values; ++i)
        answer.numbers.push_back(static_cast<float>(values[i]));
    } else {
      throw std::runtime_error(std::string("sidecall: cannot read an output of ") +
                               sidecall_dtype_name(output.dtype));
    }
  }

  std::vector<int64_t> dims_;
  sidecall_view input_ = SIDECALL_VIEW_INIT;
  std::vector<sidecall_view> outputs_;
  bool bind_ = false;
};

class RecordCall : public KeptCall {
 public:
  RecordCall(const sidecall_model* model, const Workload& workload) : KeptCall(model, workload, 1) {
    for (const Field& field : workload.record(0))
      features_.push_back(find(model, SIDECALL_KIND_FEATURE, field.name));
    for (const Output& output : workload.outputs) {
      if (output.is_label()) {
        label_ = find(model, SIDECALL_KIND_COLUMN, output.name);
        continue;
      }
      for (const std::string& name : workload.class_names)
        columns_.push_back(find(model, SIDECALL_KIND_COLUMN, output.name + "." + name));
    }
  }

  void call(int64_t first_row, Answer& answer) override {
    const Record& record = workload_.record(first_row);
    for (size_t i = 0; i < record.size(); ++i) set(features_[i], record[i]);
    run();
    for (const int32_t column : columns_) {
      double value = 0;
      check(sidecall_call_get_f64(call_.get(), 0, column, &value, &err_));
      answer.numbers.push_back(static_cast<float>(value));
    }
    const char* text = nullptr;
    size_t length = 0;
    check(sidecall_call_get_str(call_.get(), 0, label_, &text, &length, &err_));
    answer.label.assign(text, length);
  }

 private:
  int32_t find(const sidecall_model* model, int32_t kind, const std::string& name) {
    int32_t index = -1;
    check(sidecall_model_find(model, kind, name.data(), name.size(), &index, &err_));
    return index;
  }

  void set(int32_t feature, const Field& field) {
    if (const auto* text = std::get_if<std::string>(&field.value))
      check(sidecall_call_set_str(call_.get(), 0, feature, text->data(), text->size(), &err_));
    else if (const auto* number = std::get_if<double>(&field.value))
      check(sidecall_call_set_f64(call_.get(), 0, feature, *number, &err_));
    else check(sidecall_call_set_missing(call_.get(), 0, feature, &err_));
  }

  std::vector<int32_t> features_;  // in the order of the record's keys
  std::vector<int32_t> columns_;   // in the order of the classes
  int32_t label_ = -1;
};

// Chooses a model for each call without knowing how busy its server is: the next one, or a random
// one.
class Choice {
 public:
  Choice(size_t count, bool is_random) : count_(count), is_random_(is_random) {}

  size_t next() {
    const uint64_t number = calls_++;
    if (!is_random_) return static_cast<size_t>(number % count_);
    std::mt19937_64 random(number);  // the calls of all threads share one sequence
    return std::uniform_int_distribution<size_t>(0, count_ - 1)(random);
  }

 private:
  const size_t count_;
  const bool is_random_;
  std::atomic<uint64_t> calls_{0};
};

class ChoosingCaller : public Caller {
 public:
  ChoosingCaller(std::vector<std::unique_ptr<Caller>> callers, Choice& choice)
      : callers_(std::move(callers)), choice_(choice) {}

  void call(int64_t first_row, Answer& answer) override {
    callers_[choice_.next()]->call(first_row, answer);
  }

 private:
  std::vector<std::unique_ptr<Caller>> callers_;
  Choice& choice_;
};

class SidecallApproach : public Approach {
 public:
  explicit SidecallApproach(const Opening& opening)
      : workload_(opening.workload), rows_(opening.rows) {
    if (!opening.has("uris")) {
      models_.push_back(open(opening.text("uri")));
      return;
    }
    const std::string choice = opening.text("choice");
    if (choice != "turns" && choice != "random")
      throw std::runtime_error("at.choice: expected turns or random, got " + choice);
    for (const std::string& uri : opening.texts("uris")) models_.push_back(open(uri));
    choice_.emplace(models_.size(), choice == "random");
  }

  std::unique_ptr<Caller> connect() override {
    std::vector<std::unique_ptr<Caller>> callers;
    for (const Model& model : models_) callers.push_back(connect(model.get()));
    if (!choice_) return std::move(callers[0]);
    return std::make_unique<ChoosingCaller>(std::move(callers), *choice_);
  }

 private:
  static Model open(const std::string& uri) {
    sidecall_error err = SIDECALL_ERROR_INIT;
    sidecall_model_options options;
    sidecall_model_options_init(&options);
    options.allow_exec = 1;
    sidecall_model* opened = nullptr;
    if (sidecall_model_open(uri.c_str(), &options, &opened, &err) != SIDECALL_OK)
      throw std::runtime_error(err.message);
    return Model(opened);
  }

  std::unique_ptr<Caller> connect(const sidecall_model* model) const {
    if (workload_.is_record) return std::make_unique<RecordCall>(model, workload_);
    return std::make_unique<TensorCall>(model, workload_, rows_);
  }

  const Workload& workload_;
  int64_t rows_;
  std::vector<Model> models_;
  std::optional<Choice> choice_;  // if there are several models
};

const RegisterApproach kSidecall("sidecall",
                                 [](const Opening& opening) -> std::unique_ptr<Approach> {
                                   return std::make_unique<SidecallApproach>(opening);
                                 });

}  // namespace
}  // namespace bench
