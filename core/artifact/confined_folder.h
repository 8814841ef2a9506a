// Opens and reads files of one folder and of no other; used by external_data.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace sidecall {

// The content of a file, copied to memory: later changes of the file have no effect.
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

// A file that is open for reading, or the reason why it is not.
class ConfinedFile {
 public:
  ConfinedFile(int fd, int error) noexcept;
  ~ConfinedFile();
  ConfinedFile(ConfinedFile&& other) noexcept;
  ConfinedFile& operator=(ConfinedFile&&) = delete;

  // 0 if the file is open; EXDEV if the path leads out of the folder or is the folder itself;
  // EISDIR if it names another folder; ENOTSUP if it names anything else that is not a regular
  // file; otherwise the errno of the system.
  int error() const noexcept { return error_; }

  uint64_t size() const noexcept { return size_; }
  std::pair<uint64_t, uint64_t> identity() const noexcept { return identity_; }  // device and inode

  // Reads the whole file; fewer bytes than size() if it shrank meanwhile. Returns 0, or the errno
  // of the system.
  int read(Content* content) const;

 private:
  friend class ConfinedFolder;
  int fd_;
  int error_;
  uint64_t size_ = 0;
  std::pair<uint64_t, uint64_t> identity_;
};

// A symbolic link, relative or absolute, is followed if it ends inside the folder. If another
// process replaces files meanwhile, an open can fail but never lead outside the folder.
class ConfinedFolder {
 public:
  // `path` must be a real path (without links). The kernel resolves locations if it has openat2
  // (Linux 5.6). Otherwise, and if `use_openat2` is false (in tests), each component is opened
  // separately.
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
  int error_ = 0;  // errno if the folder itself could not be opened
  bool use_openat2_;
};

}  // namespace sidecall
