// Reads a model file and its external data; used by model.cpp. onnx.proto defines the field
// numbers.
#include "onnx_file.h"

#include <array>
#include <optional>

#include "core/error.h"
#include "core/hash.h"
#include "protobuf.h"
#include "sha256.h"

namespace sidecall {
namespace {

using protobuf::Field;
using protobuf::Reader;

// Stands in place of the id while the id is computed.
constexpr std::string_view kBlankId =
    "0000000000000000000000000000000000000000000000000000000000000000";

// The length-delimited field with that number in a message; nullopt if there is none.
std::optional<std::string_view> find_field(std::optional<std::string_view> message,
                                           uint64_t number) {
  std::optional<std::string_view> found;
  Reader reader(message.value_or(std::string_view()));
  for (Field field; reader.next(&field);) {
    if (field.number == number) found = field.bytes;
  }
  return found;
}

}  // namespace

OnnxFile::OnnxFile(std::string bytes, const std::string& folder, const std::string& label,
                   uint64_t max_message_bytes)
    : label_(label),
      bytes_(std::move(bytes)),
      has_folder_(!folder.empty()),
      max_message_bytes_(max_message_bytes),
      content_(read_onnx(bytes_, label_)) {
  constexpr uint64_t kGraph = 7, kMetadata = 14;
  bool has_graph = false;
  Reader reader(bytes_);
  for (Field field; reader.next(&field);) {
    if (field.number == kMetadata) {
      const auto [key, value] = protobuf::read_entry(field.bytes);
      add_metadata(key, value);
    }
    if (field.number != kGraph) continue;
    has_graph = true;
    graph_ = range_of(field.bytes);
  }
  if (!has_graph)
    throw Error(SIDECALL_FILE_INVALID,
                "file '" + label + "': expected an ONNX model, got content without a graph");
  data_ = ExternalData(content_.tensors, folder, label_);
}

bool OnnxFile::has_output_shape(std::string_view name) const {
  constexpr uint64_t kOutput = 12, kName = 1, kType = 2, kTensor = 1, kShape = 2;
  Reader reader(graph());
  for (Field field; reader.next(&field);) {
    if (field.number != kOutput || find_field(field.bytes, kName).value_or("") != name) continue;
    return find_field(find_field(find_field(field.bytes, kType), kTensor), kShape).has_value();
  }
  return false;
}

void OnnxFile::add_metadata(std::string_view key, std::string_view value) {
  if (metadata(key)) {
    throw Error(SIDECALL_FILE_INVALID, "file '" + label_ +
                                           "': expected each key of metadata_props once, got '" +
                                           std::string(key) + "' twice");
  }
  metadata_.emplace_back(range_of(key), range_of(value));
}

std::optional<std::string_view> OnnxFile::metadata(std::string_view key) const {
  for (const auto& [name, value] : metadata_) {
    if (view(name) == key) return view(value);
  }
  return std::nullopt;
}

std::string OnnxFile::compute_id() const {
  Sha256 hash;
  std::string_view rest = bytes_;
  if (const auto id = metadata(kIdKey); id && id->size() == kBlankId.size()) {
    const auto begin = static_cast<size_t>(id->data() - bytes_.data());
    hash.update(rest.substr(0, begin));
    hash.update(kBlankId);
    rest.remove_prefix(begin + id->size());
  }
  hash.update(rest);
  for (const ExternalData::File& file : data_.files()) {
    const std::string_view content = file.content->view();
    std::array<char, sizeof(uint64_t)> length;
    for (size_t i = 0; i < length.size(); ++i)
      length[i] = static_cast<char>(static_cast<uint64_t>(content.size()) >> (8 * i));
    hash.update({length.data(), length.size()});
    hash.update(content);
  }
  return hash.hex();
}

std::string OnnxFile::fingerprint() const {
  const auto part = [](std::string_view bytes) {
    return std::to_string(bytes.size()) + ":" + std::to_string(SeededHash{}(bytes));
  };
  std::string text = part(bytes_);
  for (const ExternalData::File& file : data_.files()) text += "|" + part(file.content->view());
  return text;
}

}  // namespace sidecall
