// Fuzzes a .npy file that `sidecall run` reads.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <string>

#include "command.hpp"
#include "command/formats/npy.hpp"
#include "terminal/output.hpp"
#include "tests/fuzz/check.h"

namespace {

namespace cli = sidecall::cli;

void check_array(const cli::Array& array, size_t size) {
  if (array.dtype == 0) {
    fuzz::require(array.data.empty(), "no elements of a type that tensors do not have");
    return;
  }
  int64_t elements = 1;
  for (const int64_t dim : array.dims) {
    fuzz::require(dim >= 0, "sizes");
    fuzz::require(!__builtin_mul_overflow(elements, dim, &elements),
                  "elements that can be counted");
  }
  if (array.offsets.empty()) {
    fuzz::require(array.data.size() <= size, "no more data than the file holds");
    return;
  }
  fuzz::require(array.offsets.size() == static_cast<size_t>(elements) + 1, "an offset per string");
  fuzz::require(
      array.offsets.front() == 0 && array.offsets.back() == static_cast<int64_t>(array.data.size()),
      "offsets from end to end");
  for (size_t i = 1; i < array.offsets.size(); ++i)
    fuzz::require(array.offsets[i - 1] <= array.offsets[i], "offsets that never fall");
  // A number that is not that of a character gives bytes that are not UTF-8; the library refuses
  // them.
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const int fd = memfd_create("fuzz.npy", MFD_CLOEXEC);
  static const std::string path = "/proc/self/fd/" + std::to_string(fd);
  fuzz::require(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == static_cast<ssize_t>(size),
                "a file in memory");
  try {
    check_array(cli::read_npy(path), size);
  } catch (const cli::Failure& failure) {
    const std::string message = cli::printable(failure.what());
    fuzz::require(failure.exit_code == cli::kBadInput, "the exit code of bad input");
    fuzz::require(message.find(path) != std::string::npos, "the name of the file");
    fuzz::require(sidecall::is_utf8(message) && message.find('\n') == std::string::npos,
                  "a message of one line");
  }
  return 0;
}
