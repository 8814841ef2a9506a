// Tables of tokens and of their sequences; see terms.h. The hashes are seeded, because files and
// texts come from strangers.
#include "terms.h"

#include <algorithm>
#include <array>

#include "core/hash.h"

namespace sidecall::native {
namespace {

// At most half of the places are used, and there is always a free one.
size_t num_places(size_t num_keys) {
  size_t places = 2;
  while (places < 2 * num_keys) places *= 2;
  return places;
}

}  // namespace

TokenTable::TokenTable(size_t max_tokens) : slots_(num_places(max_tokens)) {}

size_t TokenTable::place_of(std::string_view token, uint64_t hash) const {
  size_t at = hash & (slots_.size() - 1);
  const auto high = static_cast<uint32_t>(hash >> 32);
  for (;; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.token == kUnknown ||
        (slot.hash == high && tokens_[static_cast<size_t>(slot.token)] == token))
      return at;
  }
}

int32_t TokenTable::add(std::string_view token) {
  const uint64_t hash = SeededHash{}(token);
  Slot& slot = slots_[place_of(token, hash)];
  if (slot.token != kUnknown) return slot.token;
  slot.hash = static_cast<uint32_t>(hash >> 32);
  slot.token = static_cast<int32_t>(tokens_.size());
  tokens_.push_back(token);
  longest_ = std::max(longest_, token.size());
  return slot.token;
}

int32_t TokenTable::find(std::string_view token) const {
  return slots_[place_of(token, SeededHash{}(token))].token;
}

GramTable::GramTable(size_t num_tokens, size_t num_edges)
    : nodes_(num_tokens), edges_(num_places(num_edges)) {}

size_t GramTable::place_of(int32_t node, int32_t token) const {
  const std::array<int32_t, 2> key = {node, token};
  size_t at = SeededHash{}({reinterpret_cast<const char*>(key.data()), sizeof key});
  for (;; ++at) {
    at &= edges_.size() - 1;
    const Edge& edge = edges_[at];
    if (edge.node < 0 || (edge.node == node && edge.token == token)) return at;
  }
}

bool GramTable::add(const std::vector<int32_t>& tokens, int32_t column) {
  int32_t node = tokens[0];
  for (size_t i = 1; i < tokens.size(); ++i) {
    Edge& edge = edges_[place_of(node, tokens[i])];
    if (edge.node < 0) {
      edge = {node, tokens[i], static_cast<int32_t>(nodes_.size())};
      nodes_[static_cast<size_t>(node)].has_children = true;
      nodes_.emplace_back();
    }
    node = edge.child;
  }
  longest_ = std::max(longest_, tokens.size());
  Node& last = nodes_[static_cast<size_t>(node)];
  if (last.column >= 0) return false;
  last.column = column;
  return true;
}

}  // namespace sidecall::native
