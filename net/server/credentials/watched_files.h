// Notices that files were changed, so that a running server uses new tokens and certificates.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sidecall::net {

// Identifies the contents of a file. All fields are 0 if there is no file.
struct FileVersion {
  uint64_t device = 0, inode = 0, bytes = 0;
  int64_t modified_ns = 0, changed_ns = 0;

  bool operator==(const FileVersion& other) const;
  bool is_same_file(const FileVersion& other) const {
    return device == other.device && inode == other.inode;
  }
};

FileVersion version_of(const std::string& path);

// Files that belong together, such as a certificate and its key.
class WatchedFiles {
 public:
  // Empty paths are left out.
  explicit WatchedFiles(const std::vector<std::string>& paths);

  // Called about once a second. Returns whether the files should be read: whether they differ from
  // the versions that were read last, and have not changed since the previous call. So a file is
  // not read while it is being written, and a file may be absent for a moment.
  bool is_due();
  // Whether nothing changed since is_due(); otherwise only half of a file may have been read.
  bool is_unchanged() const;
  // Call this after reading the files that is_due() announced, or those of the constructor.
  void note_read() { read_ = seen_; }
  // Call this if they cannot be used: they stay due.
  void note_failure() { read_.clear(); }

  const FileVersion& seen(size_t index) const { return seen_[index]; }

 private:
  std::vector<FileVersion> versions() const;

  std::vector<std::string> paths_;
  std::vector<FileVersion> seen_;  // at the last call of is_due()
  std::vector<FileVersion> read_;
};

}  // namespace sidecall::net
