// The body that uses prediction.proto, and the conversions that gRPC's transport shares with it.
#include <stdexcept>

#include "body.h"
#include "protobuf_messages.h"

namespace bench {

void fill(const Workload& workload, int64_t first_row, int64_t rows,
          prediction::PredictRequest& request) {
  const float* values = workload.row(first_row);
  request.set_model(workload.name);
  request.clear_shape();
  request.add_shape(rows);
  for (const int64_t dim : workload.input_dims) request.add_shape(dim);
  request.clear_values();
  request.mutable_values()->Add(values, values + rows * workload.row_values);
}

void fill(const Workload& workload, int64_t first_row, prediction::RecordRequest& request) {
  request.Clear();
  request.set_model(workload.name);
  auto& features = *request.mutable_features();
  for (const Field& field : workload.record(first_row)) {
    if (const auto* text = std::get_if<std::string>(&field.value))
      features[field.name].set_text(*text);
    else if (const auto* number = std::get_if<double>(&field.value))
      features[field.name].set_number(*number);
  }
}

void read(const prediction::PredictResponse& response, Answer& answer) {
  answer.labels.assign(response.label().begin(), response.label().end());
  answer.numbers.assign(response.values().begin(), response.values().end());
}

void read(const Workload& workload, const prediction::RecordResponse& response, Answer& answer) {
  answer.label = response.label();
  for (const std::string& name : workload.class_names) {
    const auto found = response.probabilities().find(name);
    if (found == response.probabilities().end())
      throw std::runtime_error("protobuf: expected a probability of " + name);
    answer.numbers.push_back(static_cast<float>(found->second));
  }
}

namespace {

class ProtobufBody : public Body {
 public:
  ProtobufBody(const Workload& workload, int64_t rows) : workload_(workload), rows_(rows) {}

  void encode(int64_t first_row, std::string& request) override {
    if (workload_.is_record) {
      fill(workload_, first_row, record_);
      record_.AppendToString(&request);
    } else {
      fill(workload_, first_row, rows_, tensor_);
      tensor_.AppendToString(&request);
    }
  }

  void decode(std::string& response, Answer& answer) override {
    if (workload_.is_record) {
      parse(response, record_answer_);
      read(workload_, record_answer_, answer);
    } else {
      parse(response, tensor_answer_);
      read(tensor_answer_, answer);
    }
  }

 private:
  template <class Message>
  static void parse(const std::string& response, Message& message) {
    if (!message.ParseFromString(response))
      throw std::runtime_error("body protobuf: expected an answer");
  }

  const Workload& workload_;
  int64_t rows_;
  prediction::PredictRequest tensor_;
  prediction::PredictResponse tensor_answer_;
  prediction::RecordRequest record_;
  prediction::RecordResponse record_answer_;
};

}  // namespace

std::unique_ptr<Body> make_protobuf_body(const Workload& workload, int64_t rows) {
  return std::make_unique<ProtobufBody>(workload, rows);
}

}  // namespace bench
