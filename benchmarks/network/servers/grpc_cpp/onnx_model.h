// ONNX Runtime's C API as a careful C++ programmer uses it: one thread, one session for all
// callers, no copies of the messages' values.
#pragma once

#include <prediction.pb.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

struct OrtSession;
struct OrtMemoryInfo;

// Opens, once, the library that SIDECALL_ONNXRUNTIME names. Throws std::runtime_error.
void load_onnxruntime();

class OnnxModel {
 public:
  explicit OnnxModel(const std::string& path);
  ~OnnxModel();
  OnnxModel(const OnnxModel&) = delete;
  OnnxModel& operator=(const OnnxModel&) = delete;

  // Several threads may call it at once. Throws std::runtime_error.
  void predict(const prediction::PredictRequest& request,
               prediction::PredictResponse& response) const;

 private:
  struct Output {
    std::string name;
    int type;
    std::vector<int64_t> dims;  // the dimension of rows comes first; each call sets it
  };

  OrtSession* session_ = nullptr;
  OrtMemoryInfo* memory_ = nullptr;
  std::string input_;
  std::vector<Output> outputs_;
  std::vector<const char*> output_names_;
};
