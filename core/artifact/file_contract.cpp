// Compares the id in a file with its bytes; see file_contract.h.
#include "file_contract.h"

#include <map>
#include <mutex>
#include <utility>

#include "base/process/per_process.h"
#include "core/error.h"

namespace sidecall {
namespace {

[[noreturn]] void fail(const std::string& where, const char* problem) {
  throw Error(SIDECALL_FILE_INVALID,
              where + ": " + problem +
                  ": the file, or its external data, has changed since the export; copy it again, "
                  "or export the model again");
}

// The files whose bytes matched their ids in this process. The first open of a file does not
// compute its fingerprint; the second does, so that later ones need not hash the file.
class KnownFiles {
 public:
  explicit KnownFiles(uint64_t created_in) : generation(created_in) {}

  bool contains(const std::string& id, const OnnxFile& file) {
    const std::string known = fingerprint_of(id);
    return !known.empty() && known == file.fingerprint();
  }
  void add(const std::string& id, const OnnxFile& file) {
    {
      const std::lock_guard lock(mutex_);
      if (fingerprints_.try_emplace(id).second) return;
    }
    std::string fingerprint = file.fingerprint();
    const std::lock_guard lock(mutex_);
    fingerprints_[id] = std::move(fingerprint);
  }
  const uint64_t generation;

 private:
  std::string fingerprint_of(const std::string& id) {
    const std::lock_guard lock(mutex_);
    const auto found = fingerprints_.find(id);
    return found == fingerprints_.end() ? "" : found->second;
  }

  std::mutex mutex_;
  std::map<std::string, std::string> fingerprints_;  // by id; "" after the first open
};

}  // namespace

std::optional<FileContract> read_file_contract(const OnnxFile& file, const std::string& where) {
  const auto contract = file.metadata("sidecall.contract"), id = file.metadata(OnnxFile::kIdKey);
  if (!contract && !id) return std::nullopt;
  if (!contract) fail(where, "expected a contract beside the id, got none");
  if (!id) fail(where, "expected an id beside the contract, got none");
  FileContract found{std::string(*contract), std::string(*id)};
  KnownFiles& known = per_process<KnownFiles>();
  if (!known.contains(found.id, file)) {
    if (file.compute_id() != found.id) fail(where, "expected the bytes that the export wrote");
    known.add(found.id, file);
  }
  return found;
}

}  // namespace sidecall
