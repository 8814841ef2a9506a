/* sidecall.hpp: the C ABI as C++17 classes that close their handles and throw errors as exceptions.
 * It adds nothing else: sidecall.h is the manual.
 *
 *   sidecall::Model model("fraud.onnx");
 *   const int32_t amount = model.feature("amount"), fraud = model.column("probabilities.fraud");
 *   sidecall::Call call(model, 1);
 *   call.set(0, amount, 12.5);
 *   call.run();
 *   double p = call.get_f64(0, fraud);
 *
 * Every method does what the function of the same name in sidecall.h does, and follows the same
 * rules on threads and lifetimes. It throws sidecall::Error where that function fails. Objects can
 * be moved but not copied. An object that was moved from may only be assigned to or destroyed.
 * Since 0.1. */
#ifndef SIDECALL_SIDECALL_HPP
#define SIDECALL_SIDECALL_HPP

#include <sidecall/binding.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <memory>
#include <ratio>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

/* The library has classes of its own with some of these names. The inline namespace keeps the two
 * apart in a program that links the static library; programs need not name it. */
namespace sidecall {
inline namespace cpp {

/* ---- Errors ---------------------------------------------------------------------------------- */

/* The error of a function of the C ABI. All copies share one record, so copying cannot fail. */
class Error : public std::exception {
 public:
  /* `faults` is a copy of the array that error.faults points to. The pointer itself is not used. */
  explicit Error(const sidecall_error &error, std::vector<sidecall_fault> faults = {})
      : record_(std::make_shared<Record>(Record{error, std::move(faults)})) {}

  /* The whole message, one line. */
  const char *what() const noexcept override { return record_->error.message; }

  /* SIDECALL_DTYPE_MISMATCH, ... */
  sidecall_status status() const noexcept { return record_->error.status; }

  /* "DTYPE_MISMATCH", ... */
  const char *status_name() const noexcept { return sidecall_status_name(status()); }

  /* True when the same call may succeed later. */
  bool retryable() const noexcept { return record_->error.retryable != 0; }

  /* The feature, input or output of the first fault; "" when the error concerns none. */
  const char *name() const noexcept { return record_->error.name; }

  /* What was expected there, and what was given: types and shapes, never a value of the data. */
  const char *expected() const noexcept { return record_->error.expected; }
  const char *got() const noexcept { return record_->error.got; }

  /* The row of the first fault, from 0; -1 when the error concerns no row. */
  int64_t row() const noexcept { return record_->error.row; }

  /* How many faults were found. */
  uint32_t num_faults() const noexcept { return record_->error.num_faults; }

  /* The faults themselves, at most kMaxFaults of them. Only errors of run, Queue::wait,
   * check_outcome, predict_json and copy_input have any. */
  const std::vector<sidecall_fault> &faults() const noexcept { return record_->faults; }

  static constexpr uint32_t kMaxFaults = 16;

 private:
  struct Record {
    sidecall_error error;
    std::vector<sidecall_fault> faults;
  };
  std::shared_ptr<const Record> record_;
};

/* ---- Spans and views ------------------------------------------------------------------------- */

/* A pointer and a count, as std::span of C++20. */
template <typename T>
class Span {
 public:
  constexpr Span() noexcept = default;
  constexpr Span(T *data, size_t size) noexcept : data_(data), size_(size) {}

  constexpr T *data() const noexcept { return data_; }
  constexpr size_t size() const noexcept { return size_; }
  constexpr bool empty() const noexcept { return size_ == 0; }
  constexpr T &operator[](size_t index) const noexcept { return data_[index]; }
  constexpr T *begin() const noexcept { return data_; }
  constexpr T *end() const noexcept { return data_ + size_; }

 private:
  T *data_ = nullptr;
  size_t size_ = 0;
};

namespace detail {

/* The SIDECALL_* element type of a C++ type. Tensors of types that C++ does not have (float16, ...)
 * are read as bytes. */
template <typename T>
constexpr int32_t dtype_of() noexcept {
  using U = std::remove_cv_t<T>;
  if constexpr (std::is_same_v<U, float>) return SIDECALL_DTYPE_FLOAT32;
  else if constexpr (std::is_same_v<U, double>) return SIDECALL_DTYPE_FLOAT64;
  else if constexpr (std::is_same_v<U, bool>) return SIDECALL_DTYPE_BOOL;
  else if constexpr (std::is_same_v<U, int8_t>) return SIDECALL_DTYPE_INT8;
  else if constexpr (std::is_same_v<U, int16_t>) return SIDECALL_DTYPE_INT16;
  else if constexpr (std::is_same_v<U, int32_t>) return SIDECALL_DTYPE_INT32;
  else if constexpr (std::is_same_v<U, int64_t>) return SIDECALL_DTYPE_INT64;
  else if constexpr (std::is_same_v<U, uint8_t>) return SIDECALL_DTYPE_UINT8;
  else if constexpr (std::is_same_v<U, uint16_t>) return SIDECALL_DTYPE_UINT16;
  else if constexpr (std::is_same_v<U, uint32_t>) return SIDECALL_DTYPE_UINT32;
  else return SIDECALL_DTYPE_UINT64;
}

template <typename T>
inline constexpr bool is_element =
    std::is_arithmetic_v<T> && !std::is_same_v<std::remove_cv_t<T>, long double>;

template <typename T>
inline constexpr bool is_time_point = false;
template <typename Duration>
inline constexpr bool is_time_point<std::chrono::time_point<std::chrono::system_clock, Duration>> =
    true;

/* Initialises an error without zeroing its whole texts. They are read only after the library has
 * filled them, and writing 1.5 KiB of zeros for each value that is set would cost measurable
 * time. */
inline void prepare(sidecall_error *error, sidecall_fault *faults = nullptr,
                    uint32_t capacity = 0) noexcept {
  error->struct_size = sizeof *error;
  error->faults = faults;
  error->faults_capacity = capacity;
  error->num_faults = 0;
  error->reserved = 0;
  error->message[0] = error->name[0] = error->expected[0] = error->got[0] = '\0';
}

/* Runs `body(err)` and throws the error that it reports. */
template <typename Body>
void check(Body body) {
  sidecall_error error;
  prepare(&error);
  const sidecall_status status = body(&error);
  if (status == SIDECALL_OK) return;
  error.status = status;
  throw Error(error);
}

/* Like check(), but also collects the faults. Their array is on the stack, so a run that succeeds
 * allocates nothing. */
template <typename Body>
void check_rows(Body body) {
  sidecall_fault faults[Error::kMaxFaults];
  sidecall_error error;
  prepare(&error, faults, Error::kMaxFaults);
  const sidecall_status status = body(&error);
  if (status == SIDECALL_OK) return;
  error.status = status;
  const uint32_t kept = error.num_faults < Error::kMaxFaults ? error.num_faults : Error::kMaxFaults;
  error.faults = nullptr;
  error.faults_capacity = 0;
  throw Error(error, std::vector<sidecall_fault>(faults, faults + kept));
}

/* Receives a text from the library and releases it. */
class Text {
 public:
  Text() noexcept = default;
  Text(const Text &) = delete;
  Text &operator=(const Text &) = delete;
  ~Text() { sidecall_text_close(text_); }
  sidecall_text **out() noexcept { return &text_; }
  std::string str() const {
    return text_ == nullptr ? std::string() : std::string(text_->data, text_->length);
  }

 private:
  sidecall_text *text_ = nullptr;
};

}  // namespace detail

/* A tensor in memory that the view does not own: it belongs to a call (Call::input, Call::output)
 * or to the caller (View::of). */
class View {
 public:
  View() noexcept = default;
  explicit View(const sidecall_view &view) noexcept : view_(view) {}

  /* The caller's elements as a tensor, for Call::copy_input and Call::bind_input. The view keeps
   * pointers to `values` and `dims`, so both must live as long as it is in use. */
  template <typename T>
  static View of(Span<const T> values, Span<const int64_t> dims) noexcept {
    static_assert(detail::is_element<T>, "bool, an integer or a floating-point type");
    return raw(detail::dtype_of<T>(), values.data(), values.size() * sizeof(T), dims);
  }

  /* The same from raw bytes, for any type: float16, int4, ... */
  static View raw(int32_t dtype, const void *data, size_t bytes,
                  Span<const int64_t> dims) noexcept {
    sidecall_view view = SIDECALL_VIEW_INIT;
    view.dtype = dtype;
    view.rank = static_cast<int32_t>(dims.size());
    view.dims = dims.data();
    view.data = const_cast<void *>(data); /* the library only reads what it is given */
    view.data_bytes = bytes;
    return View(view);
  }

  /* The same for strings: the bytes of all strings back to back. `offsets` has one entry more than
   * there are strings. */
  static View strings(std::string_view bytes, Span<const int64_t> offsets,
                      Span<const int64_t> dims) noexcept {
    View view = raw(SIDECALL_DTYPE_STRING, bytes.data(), bytes.size(), dims);
    view.view_.offsets = offsets.data();
    return view;
  }

  int32_t dtype() const noexcept { return view_.dtype; }

  /* -1 for an output whose shape is known only after a run. */
  int32_t rank() const noexcept { return view_.rank; }

  /* Empty if the rank is -1. */
  Span<const int64_t> dims() const noexcept {
    return {view_.dims, view_.rank < 0 ? 0 : static_cast<size_t>(view_.rank)};
  }

  /* The number of elements; 1 for a scalar, 0 if the rank is -1. */
  size_t size() const noexcept {
    if (view_.rank < 0) return 0;
    size_t count = 1;
    for (const int64_t dim : dims()) count *= static_cast<size_t>(dim);
    return count;
  }

  /* The memory as bytes, for any type. Empty while the tensor has no memory yet. */
  Span<unsigned char> bytes() const noexcept {
    return {static_cast<unsigned char *>(view_.data),
            view_.data == nullptr ? 0 : static_cast<size_t>(view_.data_bytes)};
  }

  /* The elements as T. Throws DTYPE_MISMATCH if T is not the type of the tensor. */
  template <typename T>
  Span<T> as() const {
    static_assert(detail::is_element<T>, "bool, an integer or a floating-point type");
    if (view_.dtype != detail::dtype_of<T>()) throw mismatch(detail::dtype_of<T>());
    return {static_cast<T *>(view_.data),
            view_.data == nullptr ? 0 : static_cast<size_t>(view_.data_bytes) / sizeof(T)};
  }

  /* Element `index` of a string tensor. The text is valid as long as the memory of the tensor.
   * Throws DTYPE_MISMATCH for other tensors. */
  std::string_view str(size_t index) const {
    if (view_.dtype != SIDECALL_DTYPE_STRING || view_.offsets == nullptr)
      throw mismatch(SIDECALL_DTYPE_STRING);
    return {static_cast<const char *>(view_.data) + view_.offsets[index],
            static_cast<size_t>(view_.offsets[index + 1] - view_.offsets[index])};
  }

  const sidecall_view &get() const noexcept { return view_; }

 private:
  Error mismatch(int32_t wanted) const {
    sidecall_error error = SIDECALL_ERROR_INIT;
    error.status = SIDECALL_DTYPE_MISMATCH;
    const std::string got = sidecall_dtype_name(view_.dtype), asked = sidecall_dtype_name(wanted);
    const std::string message = "view: expected " + got + ", got " + asked;
    got.copy(error.expected, sizeof error.expected - 1);
    asked.copy(error.got, sizeof error.got - 1);
    message.copy(error.message, sizeof error.message - 1);
    return Error(error);
  }

  sidecall_view view_ = SIDECALL_VIEW_INIT;
};

/* ---- Models ---------------------------------------------------------------------------------- */

/* sidecall_model_options, filled with the defaults. */
struct Options : sidecall_model_options {
  Options() noexcept : sidecall_model_options() { sidecall_model_options_init(this); }
};

/* An open model. Any number of threads may use it at once. */
class Model {
 public:
  /* sidecall_model_open */
  explicit Model(const std::string &uri, const Options &options = Options()) {
    detail::check([&](sidecall_error *err) {
      return sidecall_model_open(uri.c_str(), &options, &model_, err);
    });
  }

  /* sidecall_model_open_bytes */
  static Model from_bytes(const void *data, size_t length, const Options &options = Options()) {
    Model model{nullptr};
    detail::check([&](sidecall_error *err) {
      return sidecall_model_open_bytes(data, length, &options, &model.model_, err);
    });
    return model;
  }

  /* Takes ownership of a handle and closes it at the end. */
  explicit Model(sidecall_model *model) noexcept : model_(model) {}
  explicit Model(std::nullptr_t) noexcept {}

  Model(Model &&other) noexcept : model_(std::exchange(other.model_, nullptr)) {}
  Model &operator=(Model &&other) noexcept {
    std::swap(model_, other.model_);
    return *this;
  }
  Model(const Model &) = delete;
  Model &operator=(const Model &) = delete;
  ~Model() { sidecall_model_close(model_); }

  /* The contract as JSON; empty for a file without one. */
  std::string_view contract() const noexcept {
    size_t length = 0;
    const char *text = sidecall_model_contract(model_, &length);
    return text == nullptr ? std::string_view() : std::string_view(text, length);
  }

  std::string_view name() const noexcept { return text_of(sidecall_model_name(model_)); }
  std::string_view version() const noexcept { return text_of(sidecall_model_version(model_)); }
  std::string_view id() const noexcept { return text_of(sidecall_model_id(model_)); }

  /* The engine that runs the model ("native 1"), and why it was taken. */
  std::string_view engine() const noexcept { return text_of(sidecall_model_engine(model_)); }
  std::string_view engine_reason() const noexcept {
    return text_of(sidecall_model_engine_reason(model_));
  }

  /* With SIDECALL_VERIFY_WARN, why verification failed; otherwise empty. */
  std::string_view warning() const noexcept { return text_of(sidecall_model_warning(model_)); }

  /* sidecall_model_verify: the report as JSON. Throws VERIFICATION_FAILED if a row or the id
   * disagrees; call the C function to get the report in that case too. */
  std::string verify() const {
    detail::Text out;
    detail::check(
        [&](sidecall_error *err) { return sidecall_model_verify(model_, out.out(), err); });
    return out.str();
  }

  int32_t num_inputs() const noexcept { return sidecall_model_num_inputs(model_); }
  int32_t num_outputs() const noexcept { return sidecall_model_num_outputs(model_); }
  int32_t num_features() const noexcept { return sidecall_model_num_features(model_); }
  int32_t num_columns() const noexcept { return sidecall_model_num_columns(model_); }

  /* nullptr when the index is out of range. */
  const sidecall_tensor_spec *input_spec(int32_t input) const noexcept {
    return sidecall_model_input_spec(model_, input);
  }
  const sidecall_tensor_spec *output_spec(int32_t output) const noexcept {
    return sidecall_model_output_spec(model_, output);
  }
  const sidecall_feature_spec *feature_spec(int32_t feature) const noexcept {
    return sidecall_model_feature_spec(model_, feature);
  }
  const sidecall_column_spec *column_spec(int32_t column) const noexcept {
    return sidecall_model_column_spec(model_, column);
  }

  /* The index of a name (sidecall_model_find). Throws UNKNOWN_NAME. Look a name up once, not for
   * each call. */
  int32_t input(std::string_view name) const { return find(SIDECALL_KIND_INPUT, name); }
  int32_t output(std::string_view name) const { return find(SIDECALL_KIND_OUTPUT, name); }
  int32_t feature(std::string_view name) const { return find(SIDECALL_KIND_FEATURE, name); }
  int32_t column(std::string_view name) const { return find(SIDECALL_KIND_COLUMN, name); }

  /* sidecall_predict_json */
  std::string predict_json(std::string_view json) const {
    detail::Text out;
    detail::check_rows([&](sidecall_error *err) {
      return sidecall_predict_json(model_, json.data(), json.size(), out.out(), err);
    });
    return out.str();
  }

  sidecall_model *get() const noexcept { return model_; }

 private:
  static std::string_view text_of(const char *text) noexcept {
    return text == nullptr ? std::string_view() : std::string_view(text);
  }

  int32_t find(int32_t kind, std::string_view name) const {
    int32_t index = -1;
    detail::check([&](sidecall_error *err) {
      return sidecall_model_find(model_, kind, name.data(), name.size(), &index, err);
    });
    return index;
  }

  sidecall_model *model_ = nullptr;
};

/* ---- Values ---------------------------------------------------------------------------------- */

namespace detail {

/* The time in seconds and nanoseconds, of which the latter are not negative. */
template <typename TimePoint>
std::pair<int64_t, int32_t> seconds_of(const TimePoint &time) {
  static_assert(std::is_integral_v<typename TimePoint::rep> &&
                    std::ratio_greater_equal_v<typename TimePoint::period, std::nano>,
                "convert to an integral count of nanoseconds, or of a longer unit, first");
  const auto second = std::chrono::floor<std::chrono::seconds>(time);
  const auto rest = std::chrono::duration_cast<std::chrono::nanoseconds>(time - second);
  return {second.time_since_epoch().count(), static_cast<int32_t>(rest.count())};
}

}  // namespace detail

/* One value of a row, for Call::set_row and Call::get_row: missing, a float or double, an integer
 * that fits int64_t, a bool, text, or a time_point of system_clock. Keeps a pointer to the text. */
struct Value : sidecall_value {
  Value() noexcept : sidecall_value() {}
  template <typename T>
  Value(const T &value) : sidecall_value() {
    static_assert(std::is_same_v<T, bool> || !std::is_unsigned_v<T> || sizeof(T) < sizeof(int64_t),
                  "convert to int64_t first, and decide what to do with larger values");
    if constexpr (std::is_same_v<T, bool>) {
      kind = SIDECALL_VALUE_BOOL;
      i64 = value ? 1 : 0;
    } else if constexpr (std::is_floating_point_v<T>) {
      kind = SIDECALL_VALUE_F64;
      f64 = static_cast<double>(value);
    } else if constexpr (std::is_integral_v<T>) {
      kind = SIDECALL_VALUE_I64;
      i64 = static_cast<int64_t>(value);
    } else if constexpr (detail::is_time_point<T>) {
      kind = SIDECALL_VALUE_INSTANT;
      std::tie(i64, nanoseconds) = detail::seconds_of(value);
    } else {
      const std::string_view string(value);
      kind = SIDECALL_VALUE_STR;
      text = string.data();
      length = string.size();
    }
  }

  std::string_view str() const noexcept { return {text, length}; }
};
static_assert(sizeof(Value) == sizeof(sidecall_value), "arrays of both are the same");

/* ---- Calls ----------------------------------------------------------------------------------- */

/* A reusable workspace of one model. It belongs to one thread at a time and may outlive the Model
 * object. */
class Call {
 public:
  /* sidecall_call_open */
  explicit Call(const Model &model, int64_t rows = 1) {
    detail::check(
        [&](sidecall_error *err) { return sidecall_call_open(model.get(), rows, &call_, err); });
  }

  Call(Call &&other) noexcept : call_(std::exchange(other.call_, nullptr)) {}
  Call &operator=(Call &&other) noexcept {
    std::swap(call_, other.call_);
    return *this;
  }
  Call(const Call &) = delete;
  Call &operator=(const Call &) = delete;

  /* Waits for the engine only if a run is under way that uses memory of the caller
   * (sidecall_call_close). */
  ~Call() { sidecall_call_close(call_); }

  int64_t rows() const noexcept { return sidecall_call_rows(call_); }
  void resize(int64_t rows) {
    detail::check([&](sidecall_error *err) { return sidecall_call_resize(call_, rows, err); });
  }
  void reshape(int32_t input, Span<const int64_t> dims) {
    detail::check([&](sidecall_error *err) {
      return sidecall_call_reshape(call_, input, dims.data(), static_cast<int32_t>(dims.size()),
                                   err);
    });
  }

  /* The memory of an input, to be written by the caller. */
  View input(int32_t input) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    detail::check(
        [&](sidecall_error *err) { return sidecall_call_input(call_, input, &view, err); });
    return View(view);
  }

  /* The memory of an output; valid until the next run. */
  View output(int32_t output) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    detail::check(
        [&](sidecall_error *err) { return sidecall_call_output(call_, output, &view, err); });
    return View(view);
  }

  /* Copies a whole tensor. A float32 tensor is converted for a float64 input, and a float64 tensor
   * for a float32 input. */
  void copy_input(int32_t input, const View &view) {
    detail::check_rows([&](sidecall_error *err) {
      return sidecall_call_copy_input(call_, input, &view.get(), err);
    });
  }
  /* Lets the engine read the caller's memory. Its type must be the type of the input. */
  void bind_input(int32_t input, const View &view) {
    detail::check([&](sidecall_error *err) {
      return sidecall_call_bind_input(call_, input, &view.get(), err);
    });
  }
  void bind_output(int32_t output, void *data, size_t bytes) {
    detail::check([&](sidecall_error *err) {
      return sidecall_call_bind_output(call_, output, data, bytes, err);
    });
  }

  /* Fills a string input. `offsets` has one entry more than there are strings. */
  void set_strings(int32_t input, std::string_view bytes, Span<const int64_t> offsets) {
    const int64_t count = static_cast<int64_t>(offsets.size()) - 1;
    detail::check([&](sidecall_error *err) {
      return sidecall_call_set_strings(call_, input, bytes.data(), offsets.data(), count, err);
    });
  }

  /* After this, every input must be given again before the next run. */
  void reset() {
    detail::check([&](sidecall_error *err) { return sidecall_call_reset(call_, err); });
  }

  /* Sets one feature of one row: a float or double, any integer that fits int64_t, a bool, or text
   * (sidecall_call_set_f64, _i64, _bool, _str). A time_point of system_clock is for datetime
   * features with a time zone (sidecall_call_set_instant). */
  template <typename T>
  void set(int64_t row, int32_t feature, const T &value) {
    static_assert(std::is_same_v<T, bool> || !std::is_unsigned_v<T> || sizeof(T) < sizeof(int64_t),
                  "convert to int64_t first, and decide what to do with larger values");
    detail::check([&](sidecall_error *err) -> sidecall_status {
      if constexpr (std::is_same_v<T, bool>)
        return sidecall_call_set_bool(call_, row, feature, value ? 1 : 0, err);
      else if constexpr (std::is_floating_point_v<T>)
        return sidecall_call_set_f64(call_, row, feature, static_cast<double>(value), err);
      else if constexpr (std::is_integral_v<T>)
        return sidecall_call_set_i64(call_, row, feature, static_cast<int64_t>(value), err);
      else if constexpr (detail::is_time_point<T>) {
        const auto [seconds, nanoseconds] = detail::seconds_of(value);
        return sidecall_call_set_instant(call_, row, feature, seconds, nanoseconds, err);
      } else return set_text(row, feature, std::string_view(value), err);
    });
  }
  void set_missing(int64_t row, int32_t feature) {
    detail::check(
        [&](sidecall_error *err) { return sidecall_call_set_missing(call_, row, feature, err); });
  }

  /* Sets all features of a row, in the order of the contract (sidecall_call_set_row). */
  void set_row(int64_t row, Span<const Value> values) {
    set_values(row, nullptr, values.data(), static_cast<int64_t>(values.size()));
  }
  void set_row(int64_t row, std::initializer_list<Value> values) {
    set_values(row, nullptr, values.begin(), static_cast<int64_t>(values.size()));
  }
  void set_row(int64_t row, Span<const double> values) {
    set_numbers(row, nullptr, values.data(), static_cast<int64_t>(values.size()));
  }

  /* Sets the features with these indices; there must be as many values. */
  void set_row(int64_t row, Span<const int32_t> features, Span<const Value> values) {
    set_values(row, named(features), values.data(), count_of(features, values));
  }
  void set_row(int64_t row, Span<const int32_t> features, Span<const double> values) {
    set_numbers(row, named(features), values.data(), count_of(features, values));
  }

  /* Sets one feature of all rows (sidecall_call_set_feature_f64, _i64, _bool). `missing` is empty,
   * or has a byte for each row that is not 0 where the value is missing. */
  template <typename T>
  void set_feature(int32_t feature, Span<const T> values, Span<const uint8_t> missing = {}) {
    static_assert(
        std::is_same_v<T, double> || std::is_same_v<T, int64_t> || std::is_same_v<T, bool>,
        "double, int64_t or bool");
    const int64_t count =
        missing.empty() ? static_cast<int64_t>(values.size()) : count_of(values, missing);
    detail::check([&](sidecall_error *err) {
      if constexpr (std::is_same_v<T, double>)
        return sidecall_call_set_feature_f64(call_, feature, values.data(), flags(missing), count,
                                             err);
      else if constexpr (std::is_same_v<T, int64_t>)
        return sidecall_call_set_feature_i64(call_, feature, values.data(), flags(missing), count,
                                             err);
      else
        return sidecall_call_set_feature_bool(call_, feature,
                                              reinterpret_cast<const uint8_t *>(values.data()),
                                              flags(missing), count, err);
    });
  }

  /* The same for texts back to back (sidecall_call_set_feature_str). `offsets` has one entry more
   * than there are rows. */
  void set_feature(int32_t feature, std::string_view bytes, Span<const int64_t> offsets,
                   Span<const uint8_t> missing = {}) {
    const auto rows = static_cast<int64_t>(offsets.size()) - 1;
    const int64_t count =
        missing.empty() || static_cast<int64_t>(missing.size()) == rows ? rows : -1;
    detail::check([&](sidecall_error *err) {
      return sidecall_call_set_feature_str(call_, feature, bytes.data(), bytes.size(),
                                           offsets.data(), flags(missing), count, err);
    });
  }

  /* Makes every feature of every row missing again. */
  void clear() {
    detail::check([&](sidecall_error *err) { return sidecall_call_clear(call_, err); });
  }

  double get_f64(int64_t row, int32_t column) const {
    double value = 0;
    detail::check([&](sidecall_error *err) {
      return sidecall_call_get_f64(call_, row, column, &value, err);
    });
    return value;
  }
  int64_t get_i64(int64_t row, int32_t column) const {
    int64_t value = 0;
    detail::check([&](sidecall_error *err) {
      return sidecall_call_get_i64(call_, row, column, &value, err);
    });
    return value;
  }

  /* The text is valid until the next run. */
  std::string_view get_str(int64_t row, int32_t column) const {
    const char *text = nullptr;
    size_t length = 0;
    detail::check([&](sidecall_error *err) {
      return sidecall_call_get_str(call_, row, column, &text, &length, err);
    });
    return {text, length};
  }

  /* Reads all columns of a row, in the order of the contract (sidecall_call_get_row). A text is
   * valid until the next run. */
  void get_row(int64_t row, Span<Value> values) const {
    detail::check([&](sidecall_error *err) {
      return sidecall_call_get_row(call_, row, nullptr, values.data(),
                                   static_cast<int64_t>(values.size()), err);
    });
  }
  void get_row(int64_t row, Span<double> values) const {
    detail::check([&](sidecall_error *err) {
      return sidecall_call_get_row_f64(call_, row, nullptr, values.data(),
                                       static_cast<int64_t>(values.size()), err);
    });
  }

  /* Reads one column of all rows (sidecall_call_get_column_f64, _i64). */
  void get_column(int32_t column, Span<double> values) const {
    detail::check([&](sidecall_error *err) {
      return sidecall_call_get_column_f64(call_, column, values.data(),
                                          static_cast<int64_t>(values.size()), err);
    });
  }
  void get_column(int32_t column, Span<int64_t> values) const {
    detail::check([&](sidecall_error *err) {
      return sidecall_call_get_column_i64(call_, column, values.data(),
                                          static_cast<int64_t>(values.size()), err);
    });
  }

  /* Runs the call once. -1 waits forever in this process. For another process -1 is the timeout
   * of its server, 30 seconds by default. */
  void run(int64_t timeout_ns = -1) {
    detail::check_rows(
        [&](sidecall_error *err) { return sidecall_call_run(call_, timeout_ns, err); });
  }

  /* Throws the error of the last run of a queue, if it failed (sidecall_call_error). */
  void check_outcome() {
    detail::check_rows([&](sidecall_error *err) { return sidecall_call_error(call_, err); });
  }

  /* The only method that another thread may call. */
  void cancel() noexcept { sidecall_call_cancel(call_); }

  sidecall_call *get() const noexcept { return call_; }

 private:
  /* NULL would stand for all features. */
  static const int32_t *named(Span<const int32_t> features) noexcept {
    static constexpr int32_t kNone = 0;
    return features.empty() ? &kNone : features.data();
  }

  static const uint8_t *flags(Span<const uint8_t> missing) noexcept {
    return missing.empty() ? nullptr : missing.data();
  }

  /* The size of both; -1, which the library refuses, if they differ. */
  template <typename A, typename B>
  static int64_t count_of(Span<A> a, Span<B> b) noexcept {
    return a.size() == b.size() ? static_cast<int64_t>(a.size()) : -1;
  }

  void set_values(int64_t row, const int32_t *features, const Value *values, int64_t count) {
    detail::check([&](sidecall_error *err) {
      return sidecall_call_set_row(call_, row, features, values, count, err);
    });
  }
  void set_numbers(int64_t row, const int32_t *features, const double *values, int64_t count) {
    detail::check([&](sidecall_error *err) {
      return sidecall_call_set_row_f64(call_, row, features, values, count, err);
    });
  }

  sidecall_status set_text(int64_t row, int32_t feature, std::string_view value,
                           sidecall_error *err) {
    return sidecall_call_set_str(call_, row, feature, value.data(), value.size(), err);
  }

  sidecall_call *call_ = nullptr;
};

/* ---- Asynchronous runs ----------------------------------------------------------------------- */

/* sidecall_queue_options, filled with the defaults. */
struct QueueOptions : sidecall_queue_options {
  QueueOptions() noexcept : sidecall_queue_options() { sidecall_queue_options_init(this); }
};

/* Starts runs and collects their outcomes: part 5 of sidecall.h. Any thread may use it at any
 * time.
 *
 *   sidecall::Queue queue;
 *   const uint64_t run = queue.submit(call);
 *   ...                                       // other work
 *   queue.wait(run);                          // throws the error of the run, if it failed
 */
class Queue {
 public:
  /* sidecall_queue_open */
  explicit Queue(const QueueOptions &options = QueueOptions()) {
    detail::check([&](sidecall_error *err) { return sidecall_queue_open(&options, &queue_, err); });
  }

  Queue(Queue &&other) noexcept : queue_(std::exchange(other.queue_, nullptr)) {}
  Queue &operator=(Queue &&other) noexcept {
    std::swap(queue_, other.queue_);
    return *this;
  }
  Queue(const Queue &) = delete;
  Queue &operator=(const Queue &) = delete;

  /* sidecall_queue_close */
  ~Queue() { sidecall_queue_close(queue_); }

  /* Returns the number of the run (sidecall_queue_submit). */
  uint64_t submit(Call &call, int64_t timeout_ns = -1, uint64_t tag = 0) {
    uint64_t run = 0;
    detail::check([&](sidecall_error *err) {
      return sidecall_queue_submit(queue_, call.get(), timeout_ns, tag, &run, err);
    });
    return run;
  }

  /* Opens a model without waiting, and returns a number for take() (sidecall_queue_open_model). The
   * completion has a handle for the constructor of Model; or take() fills `model_error`, which has
   * to stay valid until then. */
  uint64_t open_model(const std::string &uri, const Options &options = Options(),
                      int64_t timeout_ns = -1, uint64_t tag = 0,
                      sidecall_error *model_error = nullptr) {
    uint64_t run = 0;
    detail::check([&](sidecall_error *err) {
      return sidecall_queue_open_model(queue_, uri.c_str(), &options, timeout_ns, tag, model_error,
                                       &run, err);
    });
    return run;
  }

  /* The same for the bytes of an ONNX file, which are copied (sidecall_queue_open_bytes). */
  uint64_t open_bytes(const void *data, size_t length, const Options &options = Options(),
                      int64_t timeout_ns = -1, uint64_t tag = 0,
                      sidecall_error *model_error = nullptr) {
    uint64_t run = 0;
    detail::check([&](sidecall_error *err) {
      return sidecall_queue_open_bytes(queue_, data, length, &options, timeout_ns, tag, model_error,
                                       &run, err);
    });
    return run;
  }

  /* Takes completions of any run, and returns how many: 0 if wait_ns has passed
   * (sidecall_queue_take). Call::check_outcome throws the error of a run that failed. */
  size_t take(Span<sidecall_completion> out, int64_t wait_ns = -1) {
    return take(0, out.data(), out.size(), wait_ns);
  }

  /* Waits for the run, takes its completion, and throws its error if it failed. Returns false if
   * wait_ns has passed, and the completion is still to come. */
  bool wait(uint64_t run, int64_t wait_ns = -1) {
    sidecall_completion one;
    if (take(run, &one, 1, wait_ns) == 0) return false;
    detail::check_rows([&](sidecall_error *err) { return sidecall_call_error(one.call, err); });
    return true;
  }

  /* Nanoseconds for which an event loop must not sleep, or -1: it may (sidecall_queue_arm). */
  int64_t arm() {
    int64_t look_ns = 0;
    detail::check([&](sidecall_error *err) { return sidecall_queue_arm(queue_, &look_ns, err); });
    return look_ns;
  }

  /* sidecall_queue_handle: belongs to the queue. */
  intptr_t handle() {
    intptr_t handle = -1;
    detail::check([&](sidecall_error *err) { return sidecall_queue_handle(queue_, &handle, err); });
    return handle;
  }

  void cancel(uint64_t run) noexcept { sidecall_queue_cancel(queue_, run); }

  sidecall_queue *get() const noexcept { return queue_; }

 private:
  size_t take(uint64_t run, sidecall_completion *out, size_t room, int64_t wait_ns) {
    int64_t count = 0;
    detail::check([&](sidecall_error *err) {
      return sidecall_queue_take(queue_, run, out, sizeof *out, static_cast<int64_t>(room), wait_ns,
                                 &count, err);
    });
    return static_cast<size_t>(count);
  }

  sidecall_queue *queue_ = nullptr;
};

/* Describes the ONNX Runtime library that was found, as JSON (sidecall_engine_describe). */
inline std::string describe_engine(const Options &options = Options()) {
  detail::Text out;
  detail::check(
      [&](sidecall_error *err) { return sidecall_engine_describe(&options, out.out(), err); });
  return out.str();
}

}  // namespace cpp
}  // namespace sidecall

#endif
