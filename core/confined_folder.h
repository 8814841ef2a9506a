// Opens and reads files of one folder, and of no other; used by external_data.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace sidecall {

// The content of a file in memory of its own: what happens to the file afterwards changes nothing.
class Content {
 public:
  Content() = default;
  explicit Content(size_t size) : data_(new char[size]), size_(size) {}
  std::string_view view() const noexcept { return {data_.get(), size_}; }
  char* data() noexcept { return data_.get(); }
  void cut(size_t size) noexcept { size_ = size; }

 private:
  std::unique_ptr<char[]> data_;
  size_t size_ = 0;
};

// A file that is open for reading, or the reason why none is.
class ConfinedFile {
 public:
  ConfinedFile(int fd, int error) noexcept;
  ~ConfinedFile();
  ConfinedFile(ConfinedFile&& other) noexcept;
  ConfinedFile& operator=(ConfinedFile&&) = delete;

  // 0 where it is open; EXDEV where the path leads out of the folder or is the folder; ENOTSUP
  // where it is not a regular file; else what the system said.
  int error() const noexcept { return error_; }

  uint64_t size() const noexcept { return size_; }
  std::pair<uint64_t, uint64_t> identity() const noexcept { return identity_; }  // device and inode

  // All of it; fewer bytes than size() where it shrank meanwhile. 0, or what the system said.
  int read(Content* content) const;

 private:
  friend class ConfinedFolder;
  int fd_;
  int error_;
  uint64_t size_ = 0;
  std::pair<uint64_t, uint64_t> identity_;
};

// A symbolic link is followed where it ends inside the folder, relative or absolute. What another
// process exchanges meanwhile can make an open fail, but never lead it outside.
class ConfinedFolder {
 public:
  // `path` is a real path. The kernel resolves where it has openat2 (Linux 5.6); elsewhere, and
  // where `use_openat2` is false (tests), each component is opened by itself.
  explicit ConfinedFolder(std::string path, bool use_openat2 = true);
  ~ConfinedFolder();
  ConfinedFolder(const ConfinedFolder&) = delete;
  ConfinedFolder& operator=(const ConfinedFolder&) = delete;

  // Opens a relative path. Does not wait for the other end of a FIFO.
  ConfinedFile open(const std::string& location) const;

 private:
  ConfinedFile open_by_component(const std::string& location) const;

  std::string path_;
  int fd_;
  int error_ = 0;  // why the folder itself is not open
  bool use_openat2_;
};

}  // namespace sidecall
