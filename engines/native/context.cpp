// Connects the tensors of one call to a program and runs it; see context.h.
#include "context.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "batch.h"
#include "core/buffer.h"
#include "core/error.h"
#include "engines/in_process/context.h"
#include "float_environment.h"

namespace sidecall::native {
namespace {

class NativeContext final : public InProcessContext {
 public:
  NativeContext(const Plan& plan, bool has_refusals)
      : plan_(plan),
        has_refusals_(has_refusals),
        batch_(plan),
        inputs_(plan.graph().inputs.size()),
        outputs_(plan.graph().outputs.size()) {}

  void allocate_input(int32_t input, const Dims& dims) override {
    Input& slot = inputs_[static_cast<size_t>(input)];
    const int32_t dtype = spec(input).dtype;
    // Everything that can fail comes first. After a failure the old shape and memory still fit
    // together.
    Dims copy = dims;
    if (dtype == SIDECALL_DTYPE_STRING) {
      const auto count = static_cast<size_t>(count_elements(dims));
      std::vector<Text> texts(count, plan_.graph().vocabulary.find(""));
      std::vector<std::string> bytes(count);
      slot.texts.swap(texts);
      slot.bytes.swap(bytes);
      set_input(&slot, std::move(copy), slot.texts.data());
      return;
    }
    slot.buffer.reserve(count_bytes(dtype, dims));
    set_input(&slot, std::move(copy), slot.buffer.data());
  }

  void* input_data(int32_t input) override {
    return inputs_[static_cast<size_t>(input)].buffer.data();
  }

  // A string of the vocabulary becomes a view of the vocabulary's copy. Only other strings are
  // copied.
  void set_string(int32_t input, int64_t element, std::string_view value) override {
    Input& slot = inputs_[static_cast<size_t>(input)];
    if (value.size() > UINT32_MAX)
      throw Error(SIDECALL_OUT_OF_RANGE, "input '" + spec(input).name +
                                             "': expected strings of less than 4 GiB, got more");
    Text text = plan_.graph().vocabulary.find(value);
    if (text.id == kNotInVocabulary) {
      std::string& copy = slot.bytes[static_cast<size_t>(element)];
      copy.assign(value);
      text.data = copy.data();
    }
    slot.texts[static_cast<size_t>(element)] = text;
  }

  void borrow_input(int32_t input, const void* data, const Dims& dims) override {
    Input& slot = inputs_[static_cast<size_t>(input)];
    set_input(&slot, Dims(dims), const_cast<void*>(data));  // no step writes to an input
  }

  void* shape_output(int32_t output, const Dims* dims, void* data) override {
    Output& slot = outputs_[static_cast<size_t>(output)];
    const int32_t dtype = plan_.graph().outputs[static_cast<size_t>(output)].dtype;
    // Everything that can fail comes first, as in allocate_input().
    Dims expected = dims != nullptr ? *dims : Dims();
    const bool is_known = dims != nullptr && dtype != SIDECALL_DTYPE_STRING;
    if (is_known && data == nullptr) {
      slot.buffer.reserve(count_bytes(dtype, expected));
      data = slot.buffer.data();
    }
    // A new address needs no new layout.
    if (is_known && is_prepared_ && slot.is_expected && slot.expected == expected) {
      slot.data = data;
      batch_.set_output(static_cast<size_t>(output), data);
      return data;
    }
    slot.is_expected = dims != nullptr;
    slot.expected = std::move(expected);
    slot.data = is_known ? data : nullptr;
    is_prepared_ = false;
    return slot.data;
  }

  const int64_t* shape_refusals(int64_t rows) override {
    Output& slot = outputs_.back();
    slot.buffer.reserve(static_cast<uint64_t>(rows) * sizeof(int64_t));
    slot.data = slot.buffer.data();
    num_refusals_ = rows;
    is_prepared_ = false;
    return static_cast<const int64_t*>(slot.data);
  }

  OutputTensor output(int32_t output) override {
    const Tensor& tensor = batch_.output(static_cast<size_t>(output));
    OutputTensor result;
    result.dims = tensor.dims;
    if (tensor.dtype != SIDECALL_DTYPE_STRING) result.data = tensor.place->data;
    return result;
  }

  uint64_t working_bytes() const noexcept override { return batch_.bytes(); }

  void read_strings(int32_t output, std::string* bytes, std::vector<int64_t>* offsets) override {
    const Tensor& tensor = batch_.output(static_cast<size_t>(output));
    const Text* texts = tensor.as<Text>();
    bytes->clear();
    offsets->resize(static_cast<size_t>(tensor.count) + 1);
    for (int64_t i = 0; i < tensor.count; ++i) {
      (*offsets)[static_cast<size_t>(i)] = static_cast<int64_t>(bytes->size());
      bytes->append(texts[i].view());
    }
    offsets->back() = static_cast<int64_t>(bytes->size());
  }

 protected:
  Outcome execute(int64_t) override {
    const FloatEnvironment environment;
    const Interrupt interrupt(interrupted_);
    try {
      if (!is_prepared_) prepare(interrupt);
      for (size_t i = 0; i < inputs_.size(); ++i) batch_.set_input(i, inputs_[i].data);
      batch_.run(interrupt);
      for (size_t i = 0; i < outputs_.size(); ++i) keep_strings(i);
    } catch (const Interrupted&) {
      return Outcome::kInterrupted;
    }
    return Outcome::kDone;
  }

  void interrupt_engine() noexcept override { interrupted_.store(true, std::memory_order_relaxed); }
  void rearm() noexcept override { interrupted_.store(false, std::memory_order_relaxed); }

 private:
  struct Input {
    Dims dims;
    void* data = nullptr;
    Buffer buffer;                   // the elements, unless they are strings or borrowed
    std::vector<Text> texts;         // the elements of a string input
    std::vector<std::string> bytes;  // by element: its copy if it is outside the vocabulary
  };
  struct Output {
    bool is_expected = false;  // the caller gave the shape before the run, in `expected`
    Dims expected;
    void* data = nullptr;
    Buffer buffer;            // used unless the caller gave memory
    std::vector<char> bytes;  // copies of the strings outside the vocabulary
  };

  const TensorSpec& spec(int32_t input) const {
    return plan_.graph().inputs[static_cast<size_t>(input)];
  }

  void set_input(Input* slot, Dims&& dims, void* data) noexcept {
    if (slot->dims != dims) is_prepared_ = false;
    slot->dims = std::move(dims);
    slot->data = data;
  }

  void prepare(const Interrupt& interrupt) {
    std::vector<Dims> dims;
    for (const Input& input : inputs_) dims.push_back(input.dims);
    batch_.prepare(dims, interrupt);
    for (size_t i = 0; i < outputs_.size(); ++i) {
      Output& slot = outputs_[i];
      const Tensor& tensor = batch_.output(i);
      const bool is_refusals = has_refusals_ && i + 1 == outputs_.size();
      // Normally checked when the file was opened, unless the shapes were not known then.
      if (tensor.dtype != plan_.graph().outputs[i].dtype)
        throw Error(SIDECALL_ENGINE, "output '" + plan_.graph().outputs[i].name + "': expected " +
                                         dtype_name(plan_.graph().outputs[i].dtype) + ", got " +
                                         dtype_name(tensor.dtype));
      if (is_refusals) {
        check(i, tensor, tensor.count == num_refusals_, {num_refusals_});
      } else if (slot.is_expected) {
        check(i, tensor, tensor.dims == slot.expected, slot.expected);
      }
      if (slot.data == nullptr || (!slot.is_expected && !is_refusals)) {
        slot.buffer.reserve(static_cast<uint64_t>(tensor.count) * element_bytes(tensor.dtype));
        slot.data = slot.buffer.data();
      }
      batch_.set_output(i, slot.data);
    }
    is_prepared_ = true;
  }

  // An output may hold strings that the caller gave. They are copied, because the caller may give
  // others before it reads the output.
  void keep_strings(size_t output) {
    const Tensor& tensor = batch_.output(output);
    if (tensor.dtype != SIDECALL_DTYPE_STRING) return;
    Text* const texts = tensor.as<Text>();
    const auto is_foreign = [](const Text& text) { return text.id == kNotInVocabulary; };
    size_t length = 0;
    for (int64_t i = 0; i < tensor.count; ++i) length += is_foreign(texts[i]) ? texts[i].size : 0;
    if (length == 0) return;
    std::vector<char> copy(length);
    char* to = copy.data();
    for (int64_t i = 0; i < tensor.count; ++i) {
      if (!is_foreign(texts[i])) continue;
      to = std::copy_n(texts[i].data, texts[i].size, to);
      texts[i].data = to - texts[i].size;
    }
    outputs_[output].bytes.swap(copy);
  }

  void check(size_t output, const Tensor& tensor, bool fits, const Dims& expected) const {
    if (fits) return;
    throw Error(SIDECALL_ENGINE, "output '" + plan_.graph().outputs[output].name +
                                     "': expected the shape " +
                                     describe_tensor(tensor.dtype, expected) + ", got " +
                                     describe_tensor(tensor.dtype, tensor.dims));
  }

  const Plan& plan_;
  const bool has_refusals_;
  Batch batch_;
  bool is_prepared_ = false;  // batch_ was prepared for the current inputs and outputs
  std::vector<Input> inputs_;
  std::vector<Output> outputs_;  // in the order of the graph, so the refusals come last
  int64_t num_refusals_ = 0;
  std::atomic<bool> interrupted_{false};
};

}  // namespace

std::unique_ptr<ExecutionContext> make_plan_context(const Plan& plan, bool has_refusals) {
  return std::make_unique<NativeContext>(plan, has_refusals);
}

}  // namespace sidecall::native
