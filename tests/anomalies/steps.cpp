// Calls of the C API; see steps.h.
#include "steps.h"

#include <poll.h>
#include <chrono>

#include <array>
#include <cstring>

namespace anomalies {

Model open_model(Steps& steps, const std::string& uri) {
  sidecall_model_options options;
  sidecall_model_options_init(&options);
  options.allow_exec = 1;
  options.timeout_ns = kTimeout;
  options.wait_ns = kTimeout;
  sidecall_model* model = nullptr;
  const sidecall_status status = sidecall_model_open(uri.c_str(), &options, &model, steps.error());
  return own(steps, status, model, sidecall_model_close);
}

Call open_call(Steps& steps, const sidecall_model* model, int64_t rows) {
  sidecall_call* call = nullptr;
  const sidecall_status status = sidecall_call_open(model, rows, &call, steps.error());
  return own(steps, status, call, sidecall_call_close);
}

bool set_penguin(Steps& steps, sidecall_call* call, const sidecall_model* model, int64_t row) {
  if (row == 0 && !steps(sidecall_call_clear(call, steps.error()))) return false;
  const auto number = [&](const char* name, double value) {
    return steps(sidecall_call_set_f64(call, row, sidecall_model_feature(model, name), value,
                                       steps.error()));
  };
  const auto text = [&](const char* name, const char* value) {
    return steps(sidecall_call_set_str(call, row, sidecall_model_feature(model, name), value,
                                       std::strlen(value), steps.error()));
  };
  return number("bill_length_mm", 39.1) && number("bill_depth_mm", 18.7) &&
         number("flipper_length_mm", 181) && number("body_mass_g", 3750) &&
         text("island", "Torgersen") && text("sex", "male");
}

void expect_adelie(Steps& steps, sidecall_call* call) {
  const char* label = nullptr;
  size_t length = 0;
  if (steps(sidecall_call_get_str(call, 0, 0, &label, &length, steps.error())))
    steps.expect(std::string(label, length) == "Adelie", "the label is not Adelie");
}

void run_record(Steps& steps, const sidecall_model* model) {
  const Call call = open_call(steps, model, 1);
  if (steps.ok() && set_penguin(steps, call.get(), model) &&
      steps(sidecall_call_run(call.get(), kTimeout, steps.error())))
    expect_adelie(steps, call.get());
}

void run_growing(Steps& steps, const sidecall_model* model) {
  constexpr int64_t kRows = 20;
  const Call call = open_call(steps, model, 1);
  if (!steps.ok() || !set_penguin(steps, call.get(), model) ||
      !steps(sidecall_call_run(call.get(), kTimeout, steps.error())) ||
      !steps(sidecall_call_resize(call.get(), kRows, steps.error())))
    return;
  for (int64_t row = 0; row < kRows; ++row) {
    if (!set_penguin(steps, call.get(), model, row)) return;
  }
  if (steps(sidecall_call_run(call.get(), kTimeout, steps.error())))
    expect_adelie(steps, call.get());
}

void run_table(Steps& steps, const sidecall_model* model) {
  constexpr int64_t kRows = 20;
  const Call call = open_call(steps, model, kRows);
  const auto feature = [&](const char* name) { return sidecall_model_feature(model, name); };
  const auto numbers = [&](const char* name, double value) {
    std::array<double, kRows> values;
    values.fill(value);
    return steps(sidecall_call_set_feature_f64(call.get(), feature(name), values.data(), nullptr,
                                               kRows, steps.error()));
  };
  const auto texts = [&](const char* name, const char* value) {
    std::array<char, kRows * 16> data{};
    std::array<int64_t, kRows + 1> offsets{};
    const size_t length = std::strlen(value);
    for (size_t row = 0; row < kRows; ++row) {
      std::memcpy(data.data() + row * length, value, length);
      offsets[row + 1] = static_cast<int64_t>((row + 1) * length);
    }
    return steps(sidecall_call_set_feature_str(call.get(), feature(name), data.data(), data.size(),
                                               offsets.data(), nullptr, kRows, steps.error()));
  };
  sidecall_value bill[1] = {{SIDECALL_VALUE_F64, 0, 39.1, 0, nullptr, 0}};
  const int32_t named[1] = {feature("bill_length_mm")};
  std::array<const char*, kRows> labels{};
  std::array<size_t, kRows> lengths{};
  if (!steps.ok() || !numbers("bill_length_mm", 1) || !numbers("bill_depth_mm", 18.7) ||
      !numbers("flipper_length_mm", 181) || !numbers("body_mass_g", 3750) ||
      !texts("island", "Torgersen") || !texts("sex", "male") ||
      !steps(sidecall_call_set_row(call.get(), 0, named, bill, 1, steps.error())) ||
      !steps(sidecall_call_run(call.get(), kTimeout, steps.error())) ||
      !steps(sidecall_call_get_column_str(call.get(), 0, labels.data(), lengths.data(), kRows,
                                          steps.error())))
    return;
  steps.expect(std::string(labels[0], lengths[0]) == "Adelie", "the first label is not Adelie");
}

void run_json(Steps& steps, const sidecall_model* model) {
  static const char kRecord[] =
      R"({"bill_length_mm": 39.1, "bill_depth_mm": 18.7, "flipper_length_mm": 181,)"
      R"( "body_mass_g": 3750, "island": "Torgersen", "sex": "male"})";
  sidecall_text* made = nullptr;
  const sidecall_status status =
      sidecall_predict_json(model, kRecord, sizeof kRecord - 1, &made, steps.error());
  const Text text = own(steps, status, made, sidecall_text_close);
  if (steps.ok())
    steps.expect(std::string(text->data, text->length).find("\"Adelie\"") != std::string::npos,
                 "the answer does not say Adelie");
}

void run_queued(Steps& steps, const sidecall_model* model) {
  sidecall_queue* opened = nullptr;
  const sidecall_status status = sidecall_queue_open(nullptr, &opened, steps.error());
  const auto queue = own(steps, status, opened, sidecall_queue_close);
  if (!steps.ok()) return;
  sidecall_call* made = nullptr;
  const sidecall_status called = sidecall_model_take_call(model, 1, &made, steps.error());
  const auto give_back = [model](sidecall_call* call) { sidecall_model_give_call(model, call); };
  const std::unique_ptr<sidecall_call, decltype(give_back)> call(made, give_back);
  intptr_t handle = -1;
  if (!steps(called) || !set_penguin(steps, call.get(), model) ||
      !steps(sidecall_queue_submit(opened, call.get(), kTimeout, 0, nullptr, steps.error())))
    return;
  // The handle becomes readable every 10 ms, so the number of turns says nothing of the time.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < end) {
    sidecall_completion done;
    int64_t count = 0, look_ns = 0;
    if (!steps(sidecall_queue_take(opened, 0, &done, sizeof done, 1, 0, &count, steps.error())))
      return;
    if (count > 0) {
      if (steps(sidecall_call_error(call.get(), steps.error()))) expect_adelie(steps, call.get());
      return;
    }
    if (!steps(sidecall_queue_handle(opened, &handle, steps.error())) ||
        !steps(sidecall_queue_arm(opened, &look_ns, steps.error())))
      return;
    pollfd ready{static_cast<int>(handle), POLLIN, 0};
    if (look_ns < 0) poll(&ready, 1, 100);
  }
  steps.wrong("a run of a queue has no completion after 10 s");
}

void run_tensors(Steps& steps, const sidecall_model* strings, const sidecall_model* nonzero) {
  {
    const Call call = open_call(steps, strings, 2);
    static const char kData[] = "ab\xC3\xA9";
    static const int64_t kOffsets[] = {0, 1, 4};
    if (!steps.ok() ||
        !steps(sidecall_call_set_strings(call.get(), 0, kData, kOffsets, 2, steps.error())))
      return;
    sidecall_view view = SIDECALL_VIEW_INIT;
    if (!steps(sidecall_call_run(call.get(), kTimeout, steps.error())) ||
        !steps(sidecall_call_output(call.get(), 0, &view, steps.error())))
      return;
    steps.expect(view.offsets[2] == 4 && std::memcmp(view.data, kData, 4) == 0,
                 "the strings are not those that were given");
    if (!steps(sidecall_call_resize(call.get(), 3, steps.error()))) return;
  }
  const Call call = open_call(steps, nonzero, 4);
  sidecall_view view = SIDECALL_VIEW_INIT;
  if (!steps.ok() || !steps(sidecall_call_input(call.get(), 0, &view, steps.error()))) return;
  std::memset(view.data, 0, view.data_bytes);
  if (steps(sidecall_call_run(call.get(), kTimeout, steps.error())))
    steps(sidecall_call_output(call.get(), 0, &view, steps.error()));
}

}  // namespace anomalies
