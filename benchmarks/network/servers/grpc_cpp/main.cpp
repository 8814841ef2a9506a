// bench-network-grpc-server: serves prediction.proto for all workloads of a folder, at the given
// addresses. Started by approaches/grpc.py.
//
// Usage: BENCH_WORKLOADS=FOLDER SIDECALL_ONNXRUNTIME=LIBRARY bench-network-grpc-server ADDRESS...
// An ADDRESS is 127.0.0.1:PORT or unix:PATH.
#include <grpcpp/grpcpp.h>
#include <prediction.grpc.pb.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "onnx_model.h"
#include "record_model.h"

namespace {

// Finds the model of a request, and turns its exceptions into a status.
template <class Models, class Request, class Response>
grpc::Status answer(const char* kind, Models& models, const Request& request, Response& response) {
  const auto found = models.find(request.model());
  if (found == models.end())
    return {grpc::StatusCode::NOT_FOUND,
            std::string("no ") + kind + " model '" + request.model() + "'"};
  try {
    found->second.predict(request, response);
  } catch (const std::exception& error) {
    return {grpc::StatusCode::INVALID_ARGUMENT, error.what()};
  }
  return grpc::Status::OK;
}

class Service final : public prediction::Prediction::Service {
 public:
  explicit Service(const std::filesystem::path& folder) {
    load_onnxruntime();
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      const std::string model = (entry.path() / "model.onnx").string();
      if (!std::filesystem::exists(model)) continue;
      if (std::filesystem::exists(entry.path() / "records.jsonl"))
        records_.try_emplace(entry.path().filename().string(), model);
      else tensors_.try_emplace(entry.path().filename().string(), model);
    }
  }

  grpc::Status Predict(grpc::ServerContext*, const prediction::PredictRequest* request,
                       prediction::PredictResponse* response) override {
    return answer("tensor", tensors_, *request, *response);
  }
  grpc::Status PredictRecord(grpc::ServerContext*, const prediction::RecordRequest* request,
                             prediction::RecordResponse* response) override {
    return answer("record", records_, *request, *response);
  }

 private:
  std::map<std::string, OnnxModel> tensors_;
  std::map<std::string, RecordModel> records_;
};

// Serves until SIGTERM or SIGINT.
int serve(const char* folder, char** addresses, int count) {
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends,
                  // gRPC's threads inherit the mask, so that sigwait receives the signals
                  nullptr);
  Service service(folder);
  grpc::ServerBuilder builder;
  std::vector<int> ports(static_cast<size_t>(count), 0);  // 0 where the server does not listen
  for (int i = 0; i < count; ++i)
    builder.AddListeningPort(addresses[i], grpc::InsecureServerCredentials(),
                             &ports[static_cast<size_t>(i)]);
  builder.RegisterService(&service);
  builder.SetMaxReceiveMessageSize(-1);
  // Measured with one client, medians of eleven rounds in us, TCP and Unix socket: 44 and 45 with
  // these options, 50 and 45 with the callback API. The callback API varies less over TCP and
  // answers 64 clients faster there (2.0 ms against 2.4 ms). gRPC's default pollers were slower
  // than both.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 2);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) {
    const auto failed = std::find(ports.begin(), ports.end(), 0) - ports.begin();
    std::fprintf(stderr, "bench-network-grpc-server: cannot listen at %s\n",
                 failed < count ? addresses[failed] : "its addresses");
    return 1;
  }
  int number = 0;
  sigwait(&ends, &number);
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const char* folder = std::getenv("BENCH_WORKLOADS");
  if (folder == nullptr || argc < 2) {
    std::fprintf(stderr, "usage: BENCH_WORKLOADS=FOLDER bench-network-grpc-server ADDRESS...\n");
    return 2;
  }
  try {
    return serve(folder, argv + 1, argc - 1);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench-network-grpc-server: %s\n", error.what());
    return 1;
  }
}
