// Looks strings up; see vocabulary.h.
#include "vocabulary.h"

#include "core/hash.h"

namespace sidecall::native {

// The index of the slot that holds the text, or of the empty slot where it belongs.
size_t Vocabulary::slot_of(std::string_view text, size_t hash) const {
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash & mask;; at = (at + 1) & mask) {
    const Slot& slot = slots_[at];
    if (slot.text.id == kNotInVocabulary || (slot.hash == hash && slot.text.view() == text))
      return at;
  }
}

// At least half of the slots stay empty, so that searches are short.
void Vocabulary::grow() {
  std::vector<Slot> old(2 * slots_.size());
  old.swap(slots_);
  for (const Slot& slot : old) {
    if (slot.text.id == kNotInVocabulary) continue;
    slots_[slot_of(slot.text.view(), slot.hash)] = slot;
  }
}

Text Vocabulary::add(std::string_view text) {
  const size_t hash = SeededHash{}(text);
  Slot& found = slots_[slot_of(text, hash)];
  if (found.text.id != kNotInVocabulary) return found.text;
  texts_.push_back(std::make_unique<std::string>(text));
  const std::string& copy = *texts_.back();
  const Text added{copy.data(), static_cast<uint32_t>(copy.size()),
                   static_cast<int32_t>(texts_.size() - 1)};
  found = {hash, added};
  if (2 * texts_.size() > slots_.size()) grow();
  return added;
}

Text Vocabulary::find(std::string_view text) const {
  const Text& found = slots_[slot_of(text, SeededHash{}(text))].text;
  if (found.id != kNotInVocabulary) return found;
  return {text.data(), static_cast<uint32_t>(text.size()), kNotInVocabulary};
}

}  // namespace sidecall::native
