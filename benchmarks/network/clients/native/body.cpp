// The binary body, and the function that makes a body by its name.
#include "body.h"

#include <cstring>
#include <stdexcept>

namespace bench {
namespace {

class BinaryBody : public Body {
 public:
  BinaryBody(const Workload& workload, int64_t rows) : workload_(workload), rows_(rows) {
    if (workload.is_record)
      throw std::runtime_error("body binary: expected a tensor, got a record");
  }

  void encode(int64_t first_row, std::string& request) override {
    request.append(reinterpret_cast<const char*>(workload_.row(first_row)),
                   static_cast<size_t>(rows_ * workload_.row_values) * sizeof(float));
  }

  void decode(std::string& response, Answer& answer) override {
    const char* from = response.data();
    const char* end = from + response.size();
    for (const Output& output : workload_.outputs) {
      const size_t count = static_cast<size_t>(rows_ * output.row_values);
      if (output.dtype == "int64") {
        from = read<int64_t>(from, end, count, answer.labels);
      } else if (output.dtype == "float64") {
        from = read<double>(from, end, count, answer.numbers);
      } else {
        from = read<float>(from, end, count, answer.numbers);
      }
    }
    if (from != end)
      throw std::runtime_error("body binary: expected fewer than " +
                               std::to_string(response.size()) + " bytes");
  }

 private:
  template <class Element, class Kept>
  static const char* read(const char* from, const char* end, size_t count, std::vector<Kept>& to) {
    if (static_cast<size_t>(end - from) < count * sizeof(Element))
      throw std::runtime_error("body binary: expected more bytes, got a short answer");
    const size_t before = to.size();
    to.resize(before + count);
    if constexpr (std::is_same_v<Element, Kept>) {
      std::memcpy(to.data() + before, from, count * sizeof(Element));
    } else {
      for (size_t i = 0; i < count; ++i) {
        Element value;
        std::memcpy(&value, from + i * sizeof value, sizeof value);
        to[before + i] = static_cast<Kept>(value);
      }
    }
    return from + count * sizeof(Element);
  }

  const Workload& workload_;
  int64_t rows_;
};

}  // namespace

std::unique_ptr<Body> make_body(const std::string& name, const Workload& workload, int64_t rows) {
  if (name == "json") return make_json_body(workload, rows);
  if (name == "binary") return std::make_unique<BinaryBody>(workload, rows);
#ifdef BENCH_HAS_PROTOBUF
  if (name == "protobuf") return make_protobuf_body(workload, rows);
#endif
  throw std::runtime_error("body '" + name + "' was not built");
}

}  // namespace bench
