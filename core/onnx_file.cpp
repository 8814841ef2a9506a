// Walks an ONNX model (onnx.proto3 gives the field numbers); used by model.cpp.
#include "onnx_file.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <functional>
#include <optional>

#include "error.h"
#include "platform.h"
#include "protobuf.h"
#include "sha256.h"

namespace sidecall {

using protobuf::Field;
using protobuf::Malformed;
using protobuf::Reader;

namespace {

constexpr uint64_t kMaxExternalBytes = UINT64_C(1) << 40;
constexpr int kMaxGraphDepth = 64;
constexpr std::string_view kMemoryMarker = "*/_ORT_MEM_ADDR_/";  // ONNX Runtime takes the offset behind it for a pointer

std::pair<std::string, std::string> read_pair(std::string_view message) {
  std::pair<std::string, std::string> pair;
  Reader reader(message);
  for (Field field; reader.next(&field);) {
    if (field.number == 1) pair.first = field.bytes;
    if (field.number == 2) pair.second = field.bytes;
  }
  return pair;
}

struct External {
  std::string location;
  std::string offset;
  std::string length;
};

// The last field of that number in a message; nothing where there is none.
std::optional<std::string_view> find_field(std::optional<std::string_view> message, uint64_t number) {
  std::optional<std::string_view> found;
  Reader reader(message.value_or(std::string_view()));
  for (Field field; reader.next(&field);) {
    if (field.number == number && field.is_bytes) found = field.bytes;
  }
  return found;
}

// Finds every TensorProto with data_location EXTERNAL, in the order of the file. Message by message, only the fields
// that can hold a tensor further down are entered.
class ExternalFinder {
 public:
  std::vector<External> found;
  int64_t num_nodes = 0;

  void graph(std::string_view message, int depth) {
    if (depth > kMaxGraphDepth) throw Malformed{};
    each(message, [&](const Field& field) {
      if (field.number == 1) node(field.bytes, depth);
      if (field.number == 5) tensor(field.bytes);
      if (field.number == 15) sparse(field.bytes);
    });
  }

  void function(std::string_view message) {
    each(message, [&](const Field& field) {
      if (field.number == 7) node(field.bytes, 0);
      if (field.number == 11) attribute(field.bytes, 0);
    });
  }

 private:
  template <typename Visit>
  static void each(std::string_view message, Visit visit) {
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      if (field.is_bytes) visit(field);
    }
  }

  void node(std::string_view message, int depth) {
    ++num_nodes;
    each(message, [&](const Field& field) {
      if (field.number == 5) attribute(field.bytes, depth);
    });
  }

  void attribute(std::string_view message, int depth) {
    each(message, [&](const Field& field) {
      if (field.number == 5 || field.number == 10) tensor(field.bytes);
      if (field.number == 6 || field.number == 11) graph(field.bytes, depth + 1);
      if (field.number == 22 || field.number == 23) sparse(field.bytes);
    });
  }

  void sparse(std::string_view message) {
    each(message, [&](const Field& field) {
      if (field.number == 1 || field.number == 2) tensor(field.bytes);
    });
  }

  void tensor(std::string_view message) {
    External external;
    bool is_external = false;
    Reader reader(message);
    for (Field field; reader.next(&field);) {
      if (field.number == 14 && !field.is_bytes && field.value == 1) is_external = true;
      if (field.number != 13 || !field.is_bytes) continue;
      // Entries alone count: protobuf merges a message that is given in two parts, and the flag may stand in the other.
      is_external = true;
      const auto [key, value] = read_pair(field.bytes);
      if (key == "location" && !external.location.empty()) throw Malformed{};
      if (key == "location") external.location = value;
      if (key == "offset") external.offset = value;
      if (key == "length") external.length = value;
    }
    if (is_external) found.push_back(std::move(external));
  }
};

[[noreturn]] void forbid(const std::string& label, const char* why) {
  throw Error(SIDECALL_FILE_FORBIDDEN, "file '" + label + "': expected external data inside the model's folder, got " + why);
}

std::string real_path_of(const std::string& folder, const std::string& location, const std::string& label) {
  try {
    return platform::real_path(folder + "/" + location);
  } catch (const Error& error) {
    const bool absent = error.status() == SIDECALL_FILE_NOT_FOUND;
    throw Error(error.status(),
                "file '" + label + "': external data '" + location + "': " + (absent ? "no such file" : "it cannot be read"));
  }
}

std::string resolve(const External& external, const std::string& folder, const std::string& label) {
  const std::string& location = external.location;
  if (folder.empty()) forbid(label, "external data in a model that was opened from bytes");
  if (location.empty()) forbid(label, "an empty location");
  if (location.find('\0') != std::string::npos) forbid(label, "a location with a NUL");
  if (location.front() == '/') forbid(label, "an absolute path");
  if (location.compare(0, kMemoryMarker.size(), kMemoryMarker) == 0) forbid(label, "an address in memory");
  for (size_t start = 0; start <= location.size();) {
    const size_t end = std::min(location.find('/', start), location.size());
    if (location.compare(start, end - start, "..") == 0) forbid(label, "a path with '..'");
    start = end + 1;
  }
  const std::string path = real_path_of(folder, location, label);
  const std::string inside = folder == "/" ? folder : folder + "/";
  if (path.compare(0, inside.size(), inside) != 0) forbid(label, "a symbolic link that leads out of it");
  return path;
}

uint64_t parse_number(const std::string& text, const std::string& label) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty()) return 0;
  if (error != std::errc() || end != text.data() + text.size() || value > kMaxExternalBytes) {
    throw Error(SIDECALL_FILE_INVALID, "file '" + label + "': expected numbers for offset and length of external data, got other text");
  }
  return value;
}

std::vector<ExternalFile> confine(const std::vector<External>& externals, const std::string& folder, const std::string& label) {
  std::vector<ExternalFile> files;
  for (const External& external : externals) {
    const std::string path = resolve(external, folder, label);
    const uint64_t needed = parse_number(external.offset, label) + parse_number(external.length, label);
    const uint64_t size = platform::file_state(path).size;
    if (needed > size) {
      throw Error(SIDECALL_FILE_INVALID, "file '" + label + "': external data '" + external.location + "': expected at least " +
                                             std::to_string(needed) + " bytes, got " + std::to_string(size));
    }
    const bool known = std::any_of(files.begin(), files.end(), [&](const auto& file) { return file.location == external.location; });
    if (!known) files.push_back({external.location, path});
  }
  return files;
}

}  // namespace

OnnxFile::OnnxFile(std::string bytes, const std::string& folder, const std::string& label) : bytes_(std::move(bytes)), folder_(folder) {
  ExternalFinder externals;
  bool has_graph = false;
  try {
    Reader reader(bytes_);
    for (Field field; reader.next(&field);) {
      if (!field.is_bytes) continue;
      if (field.number == 7) {
        if (has_graph) throw Malformed{};
        has_graph = true;
        graph_at_ = static_cast<size_t>(field.bytes.data() - bytes_.data());
        graph_bytes_ = field.bytes.size();
        externals.graph(field.bytes, 0);
      }
      if (field.number == 14) add_metadata(read_pair(field.bytes), label);
      if (field.number == 25) externals.function(field.bytes);
    }
  } catch (const Malformed&) {
    throw Error(SIDECALL_FILE_INVALID, "file '" + label + "': expected an ONNX model, got other or truncated content");
  }
  if (!has_graph) throw Error(SIDECALL_FILE_INVALID, "file '" + label + "': expected an ONNX model, got content without a graph");
  num_nodes_ = externals.num_nodes;
  external_files_ = confine(externals.found, folder_, label);
}

bool OnnxFile::has_output_shape(std::string_view name) const {
  constexpr uint64_t kOutput = 12, kName = 1, kType = 2, kTensor = 1, kShape = 2;
  Reader reader(std::string_view(bytes_).substr(graph_at_, graph_bytes_));
  for (Field field; reader.next(&field);) {
    if (field.number != kOutput || !field.is_bytes || find_field(field.bytes, kName) != name) continue;
    return find_field(find_field(find_field(field.bytes, kType), kTensor), kShape).has_value();
  }
  return false;
}

void OnnxFile::add_metadata(std::pair<std::string, std::string> entry, const std::string& label) {
  if (metadata(entry.first) != nullptr) {
    throw Error(SIDECALL_FILE_INVALID, "file '" + label + "': expected each key of metadata_props once, got '" + entry.first + "' twice");
  }
  metadata_.push_back(std::move(entry));
}

const std::string* OnnxFile::metadata(std::string_view key) const {
  for (const auto& [name, value] : metadata_) {
    if (name == key) return &value;
  }
  return nullptr;
}

std::string OnnxFile::compute_id() const {
  Sha256 hash;
  hash.update(std::string_view(bytes_).substr(graph_at_, graph_bytes_));
  for (const ExternalFile& file : external_files_) hash.update(platform::read_file(file.path, kMaxExternalBytes));
  return hash.hex();
}

std::string OnnxFile::fingerprint() const {
  std::string text = std::to_string(bytes_.size()) + ":" + std::to_string(std::hash<std::string_view>{}(bytes_));
  for (const ExternalFile& file : external_files_) {
    const platform::FileState state = platform::file_state(file.path);
    text += "|" + file.path + ":" + std::to_string(state.size) + ":" + std::to_string(state.changed_ns);
  }
  return text;
}

}  // namespace sidecall
