// Records with libsidecall in process. The contract handles strings, categories and missing values,
// for which raw ONNX Runtime has no counterpart.
#pragma once

#include <prediction.pb.h>
#include <sidecall/sidecall.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

class RecordModel {
 public:
  explicit RecordModel(const std::string& path);
  // Several threads may call it at once. Throws std::runtime_error.
  void predict(const prediction::RecordRequest& request, prediction::RecordResponse& response);

 private:
  struct Closer {
    void operator()(sidecall_model* model) const { sidecall_model_close(model); }
    void operator()(sidecall_call* call) const { sidecall_call_close(call); }
  };
  using Call = std::unique_ptr<sidecall_call, Closer>;
  struct Column {
    int32_t index;
    std::string key;
  };

  Call take();
  void put_back(Call call);

  std::unique_ptr<sidecall_model, Closer> model_;
  int32_t label_ = -1;
  std::vector<Column> probabilities_;
  std::mutex mutex_;  // protects free_
  std::vector<Call> free_;
};
