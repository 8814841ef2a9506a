// Estimates how much memory it takes to read JSON from a client. The server and the runtime for AWS
// Lambda refuse requests that need more than they have. The estimates are upper bounds: one digit
// in the text can become a value of 16 bytes in the document, and then an element of a tensor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace sidecall {

// The bytes that it takes to parse a text into a document.
uint64_t memory_for_json(std::string_view text) noexcept;

// The bytes that it takes to read records, to run a model on them, and to write the answers.
class RecordMemory {
 public:
  // Add a tensor of the model. Its first dimension, which is the number of rows, is ignored.
  void add_input(int32_t dtype, const int64_t* dims, int32_t rank) noexcept;
  void add_output(const int64_t* dims, int32_t rank) noexcept;
  // The bytes for a text of records, without the text itself.
  uint64_t of(std::string_view json) const noexcept;

 private:
  // A column of an answer takes about 40 bytes as text, and as many for a copy, for example while
  // the text grows.
  static constexpr uint64_t kAnswer = 80;
  uint64_t bytes_of_record_ = kAnswer;
};

// The bytes that a string in an input of a model takes beside its text.
inline constexpr uint64_t kBytesOfString = 64;

}  // namespace sidecall
