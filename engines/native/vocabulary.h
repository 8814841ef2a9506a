// The strings of a graph.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tensor.h"

namespace sidecall::native {

// All strings that occur in the graph, each with a position. A caller's string is looked up once,
// when it is set. Operators then compare positions instead of bytes.
class Vocabulary {
 public:
  // Returns a view of the vocabulary's copy of the string, which is made if the string is new.
  Text add(std::string_view text);
  // The same for a string that was added; otherwise a view of `text` with kNotInVocabulary.
  Text find(std::string_view text) const;
  size_t size() const { return texts_.size(); }

 private:
  // A slot of the hash table (open addressing with linear probing).
  struct Slot {
    size_t hash = 0;
    Text text;  // kNotInVocabulary if the slot is empty
  };

  size_t slot_of(std::string_view text, size_t hash) const;
  void grow();

  std::vector<Slot> slots_ = std::vector<Slot>(8);  // their number is a power of two
  std::vector<std::unique_ptr<std::string>> texts_;
};

}  // namespace sidecall::native
