// Rewrites a model with its external data inside; see engine_input.h.
#include "engine_input.h"

#include <algorithm>
#include <unordered_map>

#include "core/error.h"
#include "protobuf.h"

namespace sidecall {
namespace {

constexpr uint64_t kExternalData = 13, kDataLocation = 14, kRawData = 9;
// The fields of TensorProto that hold data: float_data to int64_data, raw_data, double_data,
// uint64_data.
constexpr uint32_t kDataFields =
    1U << 4 | 1U << 5 | 1U << 6 | 1U << 7 | 1U << kRawData | 1U << 10 | 1U << 11;
// Smaller tensors stay in the model, because they may be shapes or axes. ONNX Runtime reads those
// before it reads initializers that are passed separately.
constexpr uint64_t kMinBesideBytes = 1024;

// The location of a tensor that is passed separately. No file can have this name, because it is
// longer than file systems allow.
const std::string& placeholder() {
  static const auto* name = new std::string(256, '-');
  return *name;
}

size_t varint_size(uint64_t value) {
  size_t size = 1;
  for (; value >= 0x80; value >>= 7) ++size;
  return size;
}

void add_varint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) *out += static_cast<char>(value | 0x80);
  *out += static_cast<char>(value);
}

void add_bytes(uint64_t number, std::string_view payload, std::string* out) {
  add_varint(number << 3 | 2, out);
  add_varint(payload.size(), out);
  *out += payload;
}

// A TensorProto without the fields that name a file, and with its data if they are inlined.
struct Rewritten {
  std::string head;       // the other fields; with inlined data also the tag and length of raw_data
  std::string_view data;  // inlined data, written after the head
};

bool can_stand_beside(const ExternalTensor& tensor, std::string_view data) {
  const bool is_main = tensor.is_in_main_graph && tensor.is_flagged && !tensor.name.empty();
  return is_main && dtype_bits(tensor.dtype) >= 8 && data.size() >= kMinBesideBytes &&
         data.size() == count_bytes(tensor.dtype, tensor.dims);
}

class Writer {
 public:
  Writer(std::string_view bytes, const OnnxContent& content, const ExternalData& data)
      : bytes_(bytes), content_(content), data_(data) {}

  // Rewrites the tensors and computes all lengths. Returns the size of the new model.
  uint64_t plan(const std::vector<bool>& is_beside) {
    tensors_.clear();
    for (size_t i = 0; i < content_.tensors.size(); ++i)
      tensors_.push_back(rewrite(content_.tensors[i], data_.of(i), is_beside[i]));
    return bytes_.size() + static_cast<uint64_t>(plan_lengths());
  }

  std::string write(uint64_t size) const {
    std::string out;
    out.reserve(size);
    std::vector<size_t> order(content_.envelopes.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
      return content_.envelopes[a].length_at < content_.envelopes[b].length_at;
    });
    size_t copied = 0;
    for (const size_t i : order) {
      const Envelope& envelope = content_.envelopes[i];
      out += bytes_.substr(copied, envelope.length_at - copied);
      add_varint(lengths_[i], &out);
      copied = envelope.begin;
      if (envelope.tensor < 0) continue;
      const Rewritten& tensor = tensors_[static_cast<size_t>(envelope.tensor)];
      out += tensor.head;
      out += tensor.data;
      copied = envelope.end;
    }
    out += bytes_.substr(copied);
    return out;
  }

 private:
  Rewritten rewrite(const ExternalTensor& tensor, std::string_view data, bool is_beside) const {
    const std::string_view message = bytes_.substr(tensor.begin, tensor.end - tensor.begin);
    Rewritten result;
    protobuf::Reader reader(message);
    for (protobuf::Field field; reader.next(&field);) {
      // Data in the message itself are used only if data_location is not EXTERNAL.
      const bool is_data = tensor.is_flagged && (kDataFields >> field.number & 1) != 0;
      if (field.number != kExternalData && field.number != kDataLocation && !is_data)
        result.head += reader.last();
    }
    if (!tensor.is_flagged) return result;
    if (is_beside) {
      std::string entry;
      add_bytes(1, "location", &entry);
      add_bytes(2, placeholder(), &entry);
      add_bytes(kExternalData, entry, &result.head);
      add_varint(kDataLocation << 3, &result.head);
      add_varint(1, &result.head);
      return result;
    }
    add_varint(kRawData << 3 | 2, &result.head);
    add_varint(data.size(), &result.head);
    result.data = data;
    return result;
  }

  // Computes the new length of each envelope, inner ones first. Returns by how many bytes the model
  // grows.
  int64_t plan_lengths() {
    lengths_.assign(content_.envelopes.size(), 0);
    struct Growth {
      size_t length_at;
      int64_t bytes;
    };
    // Envelopes whose outer envelope has not come yet, in the order of the file.
    std::vector<Growth> open;
    for (size_t i = 0; i < content_.envelopes.size(); ++i) {
      const Envelope& envelope = content_.envelopes[i];
      const size_t old_length = envelope.end - envelope.begin;
      uint64_t length = old_length;
      if (envelope.tensor >= 0) {
        const Rewritten& tensor = tensors_[static_cast<size_t>(envelope.tensor)];
        length = tensor.head.size() + tensor.data.size();
      }
      for (; !open.empty() && open.back().length_at >= envelope.begin; open.pop_back())
        length += static_cast<uint64_t>(open.back().bytes);
      lengths_[i] = length;
      const size_t old_size = old_length + (envelope.begin - envelope.length_at);
      open.push_back({envelope.length_at, static_cast<int64_t>(length + varint_size(length)) -
                                              static_cast<int64_t>(old_size)});
    }
    int64_t growth = 0;
    for (const Growth& part : open) growth += part.bytes;
    return growth;
  }

  std::string_view bytes_;
  const OnnxContent& content_;
  const ExternalData& data_;
  std::vector<Rewritten> tensors_;
  std::vector<uint64_t> lengths_;  // by envelope
};

}  // namespace

EngineInput write_engine_input(std::string_view bytes, const OnnxContent& content,
                               const ExternalData& data, const std::string& label,
                               uint64_t max_bytes) {
  EngineInput input;
  if (content.tensors.empty()) {
    input.file = bytes;
    return input;
  }
  Writer writer(bytes, content, data);
  std::vector<bool> is_beside(content.tensors.size(), false);
  uint64_t size = writer.plan(is_beside);
  if (size > max_bytes) {
    std::unordered_map<std::string_view, size_t> names;
    for (const ExternalTensor& tensor : content.tensors) ++names[tensor.name];
    for (size_t i = 0; i < is_beside.size(); ++i) {
      const ExternalTensor& tensor = content.tensors[i];
      if (names[tensor.name] > 1 || !can_stand_beside(tensor, data.of(i))) continue;
      is_beside[i] = true;
      input.initializers.push_back({tensor.name, tensor.dtype, tensor.dims, data.of(i)});
    }
    size = writer.plan(is_beside);
  }
  if (size > max_bytes) {
    throw Error(SIDECALL_FILE_TOO_LARGE,
                "file '" + label + "': expected at most " + std::to_string(max_bytes) +
                    " bytes, including all external data except large initializers of the main "
                    "graph, got " +
                    std::to_string(size));
  }
  input.written = writer.write(size);
  return input;
}

}  // namespace sidecall
