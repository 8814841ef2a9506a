// Fuzzes whole model files, which the official protobuf runtime reads too. Both must accept a file
// and find the same in it, or both must refuse it. sidecall is stricter in these rules only:
// - every field is known and has its own wire type (`follows_rules`);
// - singular fields, and the members of a oneof, occur at most once (`follows_rules`);
// - numbers are in their shortest form and fit their type; enums have a known value;
// - text is UTF-8, except for the values of StringStringEntryProto;
// - `location`, `offset` and `length` occur at most once in external_data (`names_once`);
// - there is a graph, and each key of metadata_props occurs once (`is_model`);
// - external data lie in the model's folder.
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "core/artifact/onnx_file.h"
#include "onnx-ml.pb.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/model_folder.h"

namespace {

namespace pb = google::protobuf;
using pb::FieldDescriptor;
using pb::internal::WireFormat;
using pb::internal::WireFormatLite;

// ---- The rules of the wire format, checked with the official descriptors ----

class Wire {
 public:
  explicit Wire(std::string_view bytes)
      : bytes_(bytes),
        in_(reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<int>(bytes.size())) {}

  bool is_at_end() const { return position() == bytes_.size(); }

  bool read_number(uint64_t* value) {
    const size_t begin = position();
    if (!in_.ReadVarint64(value)) return false;
    std::array<uint8_t, 10> shortest{};
    const uint8_t* const end =
        pb::io::CodedOutputStream::WriteVarint64ToArray(*value, shortest.data());
    return bytes_.substr(begin, position() - begin) ==
           std::string_view(reinterpret_cast<const char*>(shortest.data()),
                            static_cast<size_t>(end - shortest.data()));
  }

  bool read_bytes(uint64_t length, std::string_view* bytes) {
    if (length > bytes_.size() - position()) return false;
    *bytes = bytes_.substr(position(), length);
    return in_.Skip(static_cast<int>(length));
  }

 private:
  size_t position() const { return static_cast<size_t>(in_.CurrentPosition()); }
  std::string_view bytes_;
  pb::io::CodedInputStream in_;
};

bool fits(const FieldDescriptor& field, uint64_t value) {
  const auto number = static_cast<int64_t>(value);
  if (field.type() == FieldDescriptor::TYPE_INT32) return number == static_cast<int32_t>(number);
  if (field.type() != FieldDescriptor::TYPE_ENUM) return true;
  return number == static_cast<int32_t>(number) &&
         field.enum_type()->FindValueByNumber(static_cast<int32_t>(number)) != nullptr;
}

bool read_value(const FieldDescriptor& field, Wire* wire) {
  uint64_t value = 0;
  std::string_view bytes;
  switch (WireFormat::WireTypeForFieldType(field.type())) {
    case WireFormatLite::WIRETYPE_VARINT:
      return wire->read_number(&value) && fits(field, value);
    case WireFormatLite::WIRETYPE_FIXED32:
      return wire->read_bytes(4, &bytes);
    case WireFormatLite::WIRETYPE_FIXED64:
      return wire->read_bytes(8, &bytes);
    default:
      return false;
  }
}

bool follows_rules(const pb::Descriptor& type, std::string_view message);

bool read_payload(const FieldDescriptor& field, std::string_view bytes) {
  if (field.type() == FieldDescriptor::TYPE_MESSAGE)
    return follows_rules(*field.message_type(), bytes);
  if (field.type() == FieldDescriptor::TYPE_STRING) {
    const bool is_any_text = field.full_name() == "onnx.StringStringEntryProto.value";
    return is_any_text ||
           pb::internal::IsStructurallyValidUTF8(bytes.data(), static_cast<int>(bytes.size()));
  }
  if (field.type() == FieldDescriptor::TYPE_BYTES) return true;
  Wire packed(bytes);
  while (!packed.is_at_end()) {
    if (!read_value(field, &packed)) return false;
  }
  return true;
}

bool follows_rules(const pb::Descriptor& type, std::string_view message) {
  std::set<const void*> seen;
  Wire wire(message);
  while (!wire.is_at_end()) {
    uint64_t tag = 0, length = 0;
    if (!wire.read_number(&tag) || tag > UINT32_MAX) return false;
    const FieldDescriptor* const field = type.FindFieldByNumber(static_cast<int>(tag >> 3));
    if (field == nullptr) return false;
    const void* const once = field->containing_oneof() != nullptr
                                 ? static_cast<const void*>(field->containing_oneof())
                                 : field;
    if (!field->is_repeated() && !seen.insert(once).second) return false;
    const bool has_length = (tag & 7) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
    const auto own = static_cast<uint64_t>(WireFormat::WireTypeForFieldType(field->type()));
    if ((tag & 7) != own && !(has_length && field->is_packable())) return false;
    std::string_view bytes;
    const bool is_right = has_length
                              ? wire.read_number(&length) && wire.read_bytes(length, &bytes) &&
                                    read_payload(*field, bytes)
                              : read_value(*field, &wire);
    if (!is_right) return false;
  }
  return true;
}

// ---- What the official runtime found ----

template <typename Message>
void visit(pb::Message* root, const std::function<void(Message*)>& visitor) {
  if (auto* const message = dynamic_cast<Message*>(root)) visitor(message);
  std::vector<const FieldDescriptor*> fields;
  const pb::Reflection* const reflection = root->GetReflection();
  reflection->ListFields(*root, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->type() != FieldDescriptor::TYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      visit(reflection->MutableMessage(root, field), visitor);
      continue;
    }
    for (int i = 0; i < reflection->FieldSize(*root, field); ++i)
      visit(reflection->MutableRepeatedMessage(root, field, i), visitor);
  }
}

bool is_external(const onnx::TensorProto& tensor) {
  return tensor.external_data_size() > 0 || tensor.data_location() == onnx::TensorProto::EXTERNAL;
}

// Name, type, dimensions, the entries `location`, `offset` and `length`, and whether data_location
// is EXTERNAL.
using External =
    std::tuple<std::string, int32_t, sidecall::Dims, std::string, std::string, std::string, bool>;

std::string entry_of(const onnx::TensorProto& tensor, const std::string& key) {
  for (const auto& entry : tensor.external_data())
    if (entry.key() == key) return entry.value();
  return "";
}

bool names_once(const onnx::TensorProto& tensor) {
  std::multiset<std::string> keys;
  for (const auto& entry : tensor.external_data()) keys.insert(entry.key());
  return keys.count("location") < 2 && keys.count("offset") < 2 && keys.count("length") < 2;
}

External describe(const onnx::TensorProto& tensor) {
  return {tensor.name(),
          tensor.data_type(),
          {tensor.dims().begin(), tensor.dims().end()},
          entry_of(tensor, "location"),
          entry_of(tensor, "offset"),
          entry_of(tensor, "length"),
          tensor.data_location() == onnx::TensorProto::EXTERNAL};
}

struct Expected {
  int64_t num_nodes = 0, num_tree_nodes = 0;
  std::vector<External> externals;
  bool is_valid = true;

  explicit Expected(onnx::ModelProto* model) {
    visit<onnx::NodeProto>(model, [this](const onnx::NodeProto* node) {
      ++num_nodes;
      if (node->has_op_type() && sidecall::is_tree_operator(node->op_type())) ++num_tree_nodes;
    });
    visit<onnx::TensorProto>(model, [this](const onnx::TensorProto* tensor) {
      if (!is_external(*tensor)) return;
      externals.push_back(describe(*tensor));
      is_valid = is_valid && names_once(*tensor);
    });
    std::sort(externals.begin(), externals.end());
  }
};

bool is_model(const onnx::ModelProto& model) {
  std::set<std::string> keys;
  for (const auto& entry : model.metadata_props())
    if (!keys.insert(entry.key()).second) return false;
  return model.has_graph();
}

// ---- The comparison ----

void compare_content(const sidecall::OnnxContent& content, const onnx::ModelProto& model,
                     const Expected& expected) {
  fuzz::require(content.num_nodes == expected.num_nodes, "the same nodes");
  fuzz::require(content.num_tree_nodes == expected.num_tree_nodes, "the same nodes of trees");
  std::vector<External> found;
  int64_t num_main = 0, num_expected_main = 0;
  for (const sidecall::ExternalTensor& tensor : content.tensors) {
    found.emplace_back(tensor.name, tensor.dtype, tensor.dims, tensor.location, tensor.offset,
                       tensor.length, tensor.is_flagged);
    num_main += tensor.is_in_main_graph ? 1 : 0;
  }
  std::sort(found.begin(), found.end());
  fuzz::require(found == expected.externals, "the same external data");
  for (const onnx::TensorProto& tensor : model.graph().initializer())
    num_expected_main += is_external(tensor) ? 1 : 0;
  fuzz::require(num_main == num_expected_main, "the same initializers of the main graph");
}

void compare_file(const sidecall::OnnxFile& file, const onnx::ModelProto& model) {
  for (const auto& entry : model.metadata_props()) {
    fuzz::require(file.metadata(entry.key()) == entry.value(), "the same metadata");
  }
  std::set<std::string> names;
  for (const onnx::ValueInfoProto& output : model.graph().output()) {
    if (!names.insert(output.name()).second) continue;
    fuzz::require(file.has_output_shape(output.name()) == output.type().tensor_type().has_shape(),
                  "the same shapes of outputs");
  }
}

// Checks that the engine gets the model of the file, with the external data of its tensors inside.
void compare_engine_input(const sidecall::OnnxFile& file, onnx::ModelProto* model) {
  onnx::ModelProto given;
  const sidecall::EngineInput input = file.engine_input();
  fuzz::require(input.initializers.empty(), "nothing beside a small model");
  fuzz::require(given.ParseFromString(std::string(input.model())), "what the engine can read");
  std::vector<onnx::TensorProto*> tensors;
  visit<onnx::TensorProto>(&given, [&](onnx::TensorProto* tensor) { tensors.push_back(tensor); });
  size_t next = 0;
  visit<onnx::TensorProto>(model, [&](onnx::TensorProto* tensor) {
    onnx::TensorProto* const inlined = tensors.at(next++);
    if (!is_external(*tensor)) return;
    const bool is_flagged = tensor->data_location() == onnx::TensorProto::EXTERNAL;
    tensor->clear_external_data();
    tensor->clear_data_location();
    if (!is_flagged) return;
    fuzz::require(inlined->raw_data().find_first_not_of('w') == std::string::npos,
                  "data of the folder's own file");
    tensor->clear_float_data();
    tensor->clear_int32_data();
    tensor->clear_string_data();
    tensor->clear_int64_data();
    tensor->clear_double_data();
    tensor->clear_uint64_data();
    tensor->set_raw_data(inlined->raw_data());
  });
  fuzz::require(next == tensors.size() && given.SerializeAsString() == model->SerializeAsString(),
                "the model with its data inside");
}

// Returns the status: SIDECALL_OK if the file is accepted.
int32_t open(const std::string& bytes, const std::string& folder,
             const std::function<void(const sidecall::OnnxFile&)>& check) {
  try {
    check(sidecall::OnnxFile(bytes, folder, "fuzz"));
    return SIDECALL_OK;
  } catch (const sidecall::Error& error) {
    fuzz::check(error);
    return error.status();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::string folder = fuzz::make_folder();
  static const bool is_quiet = (pb::SetLogHandler(nullptr), true);
  fuzz::require(is_quiet, "no log");
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  onnx::ModelProto model;
  const bool is_parsed = model.ParseFromString(bytes);
  Expected expected(&model);
  const bool is_strict =
      is_parsed && expected.is_valid && follows_rules(*onnx::ModelProto::descriptor(), bytes);
  const bool is_read =
      fuzz::run([&] { compare_content(sidecall::read_onnx(bytes, "fuzz"), model, expected); });
  fuzz::require(is_read == is_strict, "the same verdict");

  const bool has_external = !expected.externals.empty();
  const int32_t status = open(bytes, "", [&](const sidecall::OnnxFile& file) {
    fuzz::require(file.engine_input().model() == bytes, "the bytes as given");
    compare_file(file, model);
  });
  fuzz::require(status == (!is_strict || !is_model(model) ? SIDECALL_FILE_INVALID
                           : has_external                 ? SIDECALL_FILE_FORBIDDEN
                                                          : SIDECALL_OK),
                "the status that the content calls for");
  if (is_strict && has_external)
    open(bytes, folder,
         [&](const sidecall::OnnxFile& file) { compare_engine_input(file, &model); });
  return 0;
}
