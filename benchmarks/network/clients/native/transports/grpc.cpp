// gRPC with generated stubs: synchronous calls, one channel for all workers, messages that are
// reused from call to call.
#include <grpcpp/grpcpp.h>
#include <prediction.grpc.pb.h>

#include <chrono>
#include <stdexcept>

#include "protobuf_messages.h"
#include "transport.h"

namespace bench {
namespace {

using prediction::Prediction;

void check(const grpc::Status& status) {
  if (!status.ok())
    throw std::runtime_error("grpc: status " +
                             std::to_string(static_cast<int>(status.error_code())) + ": " +
                             status.error_message());
}

template <class Request, class Response>
class Unary : public Caller {
 public:
  Unary(const Workload& workload, Prediction::Stub& stub) : workload_(workload), stub_(stub) {}

  Lengths lengths() const override {
    return {static_cast<int64_t>(request_.ByteSizeLong()),
            static_cast<int64_t>(response_.ByteSizeLong())};
  }

 protected:
  using Method = grpc::Status (Prediction::Stub::*)(grpc::ClientContext*, const Request&,
                                                    Response*);

  void send(Method method) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(kPatienceSeconds));
    check((stub_.*method)(&context, request_, &response_));
  }

  const Workload& workload_;
  Prediction::Stub& stub_;
  Request request_;
  Response response_;
};

class TensorUnary : public Unary<prediction::PredictRequest, prediction::PredictResponse> {
 public:
  TensorUnary(const Workload& workload, Prediction::Stub& stub, int64_t rows)
      : Unary(workload, stub), rows_(rows) {}

  void call(int64_t first_row, Answer& answer) override {
    fill(workload_, first_row, rows_, request_);
    send(&Prediction::Stub::Predict);
    read(response_, answer);
  }

 private:
  int64_t rows_;
};

class RecordUnary : public Unary<prediction::RecordRequest, prediction::RecordResponse> {
 public:
  using Unary::Unary;

  void call(int64_t first_row, Answer& answer) override {
    fill(workload_, first_row, request_);
    send(&Prediction::Stub::PredictRecord);
    read(workload_, response_, answer);
  }
};

class GrpcApproach : public Approach {
 public:
  explicit GrpcApproach(const Opening& opening) : workload_(opening.workload), rows_(opening.rows) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // each opening makes a new connection
    channel_ = grpc::CreateCustomChannel(opening.text("target"), grpc::InsecureChannelCredentials(),
                                         arguments);
    stub_ = Prediction::NewStub(channel_);
  }

  std::unique_ptr<Caller> connect() override {
    if (workload_.is_record) return std::make_unique<RecordUnary>(workload_, *stub_);
    return std::make_unique<TensorUnary>(workload_, *stub_, rows_);
  }

 private:
  const Workload& workload_;
  int64_t rows_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<Prediction::Stub> stub_;
};

const RegisterApproach kGrpc("grpc", [](const Opening& opening) -> std::unique_ptr<Approach> {
  return std::make_unique<GrpcApproach>(opening);
});

}  // namespace
}  // namespace bench
