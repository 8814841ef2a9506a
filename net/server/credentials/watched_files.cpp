// Compares the versions of files; see watched_files.h.
#include "watched_files.h"

#include <sys/stat.h>

#include <utility>

namespace sidecall::net {
namespace {

int64_t nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1000000000 + int64_t{time.tv_nsec};
}

}  // namespace

bool FileVersion::operator==(const FileVersion& other) const {
  return is_same_file(other) && bytes == other.bytes && modified_ns == other.modified_ns &&
         changed_ns == other.changed_ns;
}

FileVersion version_of(const std::string& path) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino, static_cast<uint64_t>(status.st_size),
          nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
}

WatchedFiles::WatchedFiles(const std::vector<std::string>& paths) {
  for (const std::string& path : paths)
    if (!path.empty()) paths_.push_back(path);
  seen_ = versions();
}

bool WatchedFiles::is_due() {
  std::vector<FileVersion> now = versions();
  const bool is_stable = now == seen_;
  seen_ = std::move(now);
  return is_stable && !(seen_ == read_);
}

bool WatchedFiles::is_unchanged() const { return versions() == seen_; }

std::vector<FileVersion> WatchedFiles::versions() const {
  std::vector<FileVersion> all;
  for (const std::string& path : paths_) all.push_back(version_of(path));
  return all;
}

}  // namespace sidecall::net
