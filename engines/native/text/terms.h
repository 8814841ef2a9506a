// Tables of tokens and of sequences of tokens, which are counted in texts.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace sidecall::native {

// Gives each token a number: 0, 1, ... in the order in which they are added. Holds views of the
// tokens, not copies.
class TokenTable {
 public:
  static constexpr int32_t kUnknown = -1;

  explicit TokenTable(size_t max_tokens);

  int32_t add(std::string_view token);
  int32_t find(std::string_view token) const;
  size_t size() const { return tokens_.size(); }
  size_t longest() const { return longest_; }  // in bytes

 private:
  struct Slot {
    uint32_t hash = 0;
    int32_t token = kUnknown;
  };
  // The slot of the token, or the free slot where it belongs.
  size_t place_of(std::string_view token, uint64_t hash) const;

  std::vector<Slot> slots_;
  std::vector<std::string_view> tokens_;
  size_t longest_ = 0;
};

// The sequences of tokens (n-grams) that are counted, as a tree: a sequence is the child of the
// sequence without its last token.
class GramTable {
 public:
  // The sequences that end at the latest token of the row and can continue with the next token.
  using Active = std::vector<int32_t>;

  // `num_edges`: at least the number of tokens of all sequences, without the first of each.
  GramTable(size_t num_tokens, size_t num_edges);

  // Returns false if the sequence was added before. The column must not be negative.
  bool add(const std::vector<int32_t>& tokens, int32_t column);

  size_t longest() const { return longest_; }  // in tokens
  // Reserves memory, so that push() never allocates.
  Active make_active() const {
    Active active;
    active.reserve(longest_ + 1);
    return active;
  }

  // Moves on by one token, which may be TokenTable::kUnknown. Calls count(column) for each sequence
  // that ends here.
  template <typename Count>
  void push(int32_t token, Active* active, Count&& count) const {
    if (token < 0) {
      active->clear();
      return;
    }
    size_t kept = 0;
    for (const int32_t node : *active) {
      const int32_t child = find_child(node, token);
      if (child < 0) continue;
      const Node& found = nodes_[static_cast<size_t>(child)];
      if (found.column >= 0) count(found.column);
      if (found.has_children) (*active)[kept++] = child;
    }
    active->resize(kept);
    const Node& single = nodes_[static_cast<size_t>(token)];
    if (single.column >= 0) count(single.column);
    if (single.has_children) active->push_back(token);
  }

 private:
  struct Node {
    int32_t column = -1;  // -1: the sequence is only the beginning of others
    bool has_children = false;
  };
  struct Edge {
    int32_t node = -1;  // -1 for a free place
    int32_t token = 0;
    int32_t child = 0;
  };

  size_t place_of(int32_t node, int32_t token) const;
  int32_t find_child(int32_t node, int32_t token) const {
    const Edge& edge = edges_[place_of(node, token)];
    return edge.node < 0 ? -1 : edge.child;
  }

  std::vector<Node> nodes_;  // first one for each token
  std::vector<Edge> edges_;  // a hash table
  size_t longest_ = 0;
};

}  // namespace sidecall::native
