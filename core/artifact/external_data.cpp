// Confines, checks and reads external data; see external_data.h.
#include "external_data.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>

#include "core/error.h"

namespace sidecall {
namespace {

constexpr uint64_t kMaxBytes = UINT64_C(1) << 40;
// With this location, ONNX Runtime uses the offset as a pointer.
constexpr std::string_view kMemoryMarker = "*/_ORT_MEM_ADDR_/";

[[noreturn]] void forbid(const std::string& label, const char* why) {
  throw Error(SIDECALL_FILE_FORBIDDEN,
              "file '" + label + "': expected external data inside the model's folder, got " + why);
}

[[noreturn]] void fail(int32_t status, const std::string& label, const std::string& location,
                       const std::string& problem) {
  throw Error(status, "file '" + label + "': external data '" + location + "': " + problem);
}

void check_location(const std::string& location, const std::string& folder,
                    const std::string& label) {
  if (folder.empty()) forbid(label, "external data in a model that was opened from bytes");
  if (location.empty()) forbid(label, "an empty location");
  if (location.find('\0') != std::string::npos) forbid(label, "a location with a NUL");
  if (location.front() == '/') forbid(label, "an absolute path");
  if (location.compare(0, kMemoryMarker.size(), kMemoryMarker) == 0)
    forbid(label, "an address in memory");
  for (size_t start = 0; start <= location.size();) {
    const size_t end = std::min(location.find('/', start), location.size());
    if (location.compare(start, end - start, "..") == 0) forbid(label, "a path with '..'");
    start = end + 1;
  }
}

void check_error(int error, const std::string& location, const std::string& label) {
  switch (error) {
    case 0:
      return;
    case EXDEV:
      forbid(label, "the folder itself or a symbolic link that leads out of it");
    case ENOENT:
    case ENOTDIR:
      fail(SIDECALL_FILE_NOT_FOUND, label, location, "no such file");
    case EISDIR:
    case ENOTSUP:
      fail(SIDECALL_FILE_UNREADABLE, label, location, "it is not a regular file");
    default:
      fail(SIDECALL_FILE_UNREADABLE, label, location, "it cannot be read");
  }
}

uint64_t parse_number(const std::string& text, const std::string& label) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty()) return 0;
  if (error != std::errc() || end != text.data() + text.size() || value > kMaxBytes) {
    throw Error(SIDECALL_FILE_INVALID,
                "file '" + label +
                    "': offset or length of external data is not a number: export the file again");
  }
  return value;
}

// The number of bytes that type and dimensions require; nullopt if the type has no fixed size.
std::optional<uint64_t> expected_bytes(const ExternalTensor& tensor, const std::string& label) {
  if (dtype_bits(tensor.dtype) == 0) return std::nullopt;
  try {
    return count_bytes(tensor.dtype, tensor.dims);
  } catch (const Error& error) {
    fail(SIDECALL_FILE_INVALID, label, tensor.location, error.what());
  }
}

struct Range {
  uint64_t offset;
  uint64_t length;
};

// No sum here overflows: each number is at most 2^62.
Range range_of(const ExternalTensor& tensor, uint64_t size, const std::string& label) {
  const uint64_t offset = parse_number(tensor.offset, label);
  uint64_t length = parse_number(tensor.length, label);
  const std::optional<uint64_t> expected = expected_bytes(tensor, label);
  // A length of 0 means that none is given, as in ONNX Runtime. Whether a length matches type and
  // dimensions is not checked here, because ONNX Runtime checks it.
  if (length == 0) length = expected.value_or(size > offset ? size - offset : 0);
  if (offset + length > size) {
    fail(SIDECALL_FILE_INVALID, label, tensor.location,
         "expected at least " + std::to_string(offset + length) + " bytes, got " +
             std::to_string(size));
  }
  return {offset, length};
}

}  // namespace

ExternalData::ExternalData(const std::vector<ExternalTensor>& tensors, const std::string& folder,
                           const std::string& label) {
  if (tensors.empty()) return;
  std::optional<ConfinedFolder> confined;
  std::unordered_map<std::string, size_t> by_location;
  std::map<std::pair<uint64_t, uint64_t>, std::shared_ptr<const Content>> by_identity;
  for (const ExternalTensor& tensor : tensors) {
    const auto [known, is_new] = by_location.emplace(tensor.location, files_.size());
    if (is_new) {
      check_location(tensor.location, folder, label);
      if (!confined) confined.emplace(folder);
      const ConfinedFile file = confined->open(tensor.location);
      check_error(file.error(), tensor.location, label);
      range_of(tensor, file.size(), label);
      if (file.size() > kMaxBytes)
        fail(SIDECALL_FILE_TOO_LARGE, label, tensor.location, "expected at most 1 TiB, got more");
      std::shared_ptr<const Content>& content = by_identity[file.identity()];
      if (content == nullptr) {
        Content read;
        check_error(file.read(&read), tensor.location, label);
        content = std::make_shared<const Content>(std::move(read));
      }
      files_.push_back({tensor.location, content});
    }
    // Check again with the bytes that were read: the file may have shrunk since it was opened.
    const std::string_view content = files_[known->second].content->view();
    const Range range = range_of(tensor, content.size(), label);
    ranges_.push_back(content.substr(range.offset, range.length));
  }
}

}  // namespace sidecall
