// Wraps the objects of ONNX Runtime: the session that engine.cpp creates from a file and to which
// context.cpp runs calls.
#pragma once

#define ORT_API_MANUAL_INIT
#include <onnxruntime_c_api.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/artifact/onnx_file.h"
#include "core/engine.h"
#include "library.h"

namespace sidecall {

// If the status is not nullptr, releases it and throws ENGINE or OUT_OF_MEMORY. The text of the
// error is `what` followed by ONNX Runtime's message.
void check_ort(const OrtApi* api, OrtStatus* status, const std::string& what);

// Owns one object of ONNX Runtime. Each type has its own release function.
template <typename T>
using Owned = std::unique_ptr<T, void (*)(T*)>;

template <typename T>
Owned<T> own(T* object, void (*release)(T*)) {
  return Owned<T>(object, release);
}

class OrtEngine final : public Engine {
 public:
  OrtEngine(const OnnxFile& file, const std::string& label, const OrtLibrary& library);
  void describe(std::vector<TensorSpec>* inputs, std::vector<TensorSpec>* outputs) const override;
  void expect_refusals() override;
  std::unique_ptr<ExecutionContext> make_context(bool lends_connection) const override;
  std::string version() const override { return "onnxruntime " + library_.version; }
  std::vector<bool> readable_in_place(const OnnxFile& file) const override;

  const OrtApi* api() const { return library_.api; }
  OrtSession* session() const { return session_.get(); }
  const OrtMemoryInfo* memory() const { return memory_.get(); }
  const TensorSpec& input(int32_t i) const { return inputs_[static_cast<size_t>(i)]; }
  const TensorSpec& output(int32_t i) const { return outputs_[static_cast<size_t>(i)]; }
  size_t num_inputs() const { return inputs_.size(); }
  size_t num_outputs() const { return outputs_.size(); }
  const TensorSpec& refusals() const { return refusals_; }

 private:
  OrtSession* create_session(const OnnxFile& file, const std::string& what);
  Owned<OrtSessionOptions> make_options(const OnnxFile& file) const;
  TensorSpec read_spec(bool is_input, size_t index, const std::string& label) const;

  const OrtLibrary& library_;
  Owned<OrtSession> session_;
  Owned<OrtMemoryInfo> memory_;
  std::vector<TensorSpec> inputs_;
  std::vector<TensorSpec> outputs_;
  TensorSpec refusals_;  // expect_refusals() moves the last output here from `outputs_`
};

// Makes the context of one call: its tensors are bound once and used by every run.
std::unique_ptr<ExecutionContext> make_ort_context(const OrtEngine& engine);

}  // namespace sidecall
