// ONNX Runtime's C API as a careful C++ programmer uses it: one thread, one session for all callers, no copy in or out of messages.
#pragma once

#include <prediction.pb.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct OrtSession;
struct OrtMemoryInfo;

// Opens the library that SIDECALL_ONNXRUNTIME names, once. Throws std::runtime_error.
void load_onnxruntime();

class OnnxModel {
 public:
  explicit OnnxModel(const std::string& path);
  ~OnnxModel();
  OnnxModel(const OnnxModel&) = delete;
  OnnxModel& operator=(const OnnxModel&) = delete;

  // Any number of threads at once. Throws std::runtime_error.
  void predict(const prediction::PredictRequest& request,
               prediction::PredictResponse& response) const;

 private:
  struct Output {
    std::string name;
    int type;
    std::vector<int64_t> dims;  // rows first, whose number a call gives
  };

  OrtSession* session_ = nullptr;
  OrtMemoryInfo* memory_ = nullptr;
  std::string input_;
  std::vector<Output> outputs_;
  std::vector<const char*> output_names_;
};
