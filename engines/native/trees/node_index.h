// Finds the nodes of a tree ensemble by their ids in the file; used by ensemble.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/hash.h"

namespace sidecall::native {

// A node has an id in its tree, and the tree has an id. Usually the nodes of a tree follow each
// other, their ids are 0, 1, 2, ... in any order, and the ids of the trees increase. Then a table
// finds a node. Otherwise a hash table does, which takes longer to fill.
class NodeIndex {
 public:
  // The ids of all nodes, in the order of the file. Returns the position of a node whose ids are
  // those of an earlier one.
  std::optional<size_t> fill(const std::vector<int64_t>& trees, const std::vector<int64_t>& nodes) {
    if (fill_table(trees, nodes)) return std::nullopt;
    table_.clear();
    by_ids_.reserve(trees.size());
    for (size_t i = 0; i < trees.size(); ++i) {
      if (!by_ids_.emplace(Ids{trees[i], nodes[i]}, static_cast<int32_t>(i)).second) return i;
    }
    return std::nullopt;
  }

  // The position of a node in the file; -1 if it does not exist.
  int32_t find(int64_t tree, int64_t node) {
    if (table_.empty()) {
      const auto found = by_ids_.find(Ids{tree, node});
      return found == by_ids_.end() ? -1 : found->second;
    }
    if (trees_[last_].id != tree && !move_to(tree)) return -1;
    const Tree& found = trees_[last_];
    if (node < 0 || node >= found.num_nodes) return -1;
    return table_[static_cast<size_t>(found.begin + node)];
  }

 private:
  struct Tree {
    int64_t id, begin, num_nodes;
  };
  struct Ids {
    int64_t tree, node;
    bool operator==(const Ids& other) const { return tree == other.tree && node == other.node; }
  };
  struct IdsHash {
    size_t operator()(const Ids& ids) const {
      const std::string_view bytes(reinterpret_cast<const char*>(&ids), sizeof ids);
      return SeededHash{}(bytes);
    }
  };

  bool fill_table(const std::vector<int64_t>& trees, const std::vector<int64_t>& nodes) {
    for (size_t i = 0; i < trees.size(); ++i) {
      if (i == 0 || trees[i] != trees[i - 1]) {
        if (i != 0 && trees[i] < trees[i - 1]) return false;
        trees_.push_back({trees[i], static_cast<int64_t>(i), 0});
      }
      ++trees_.back().num_nodes;
    }
    table_.assign(trees.size(), -1);
    for (const Tree& tree : trees_) {
      for (int64_t i = tree.begin; i < tree.begin + tree.num_nodes; ++i) {
        const int64_t node = nodes[static_cast<size_t>(i)];
        if (node < 0 || node >= tree.num_nodes) return false;
        int32_t& place = table_[static_cast<size_t>(tree.begin + node)];
        if (place != -1) return false;
        place = static_cast<int32_t>(i);
      }
    }
    return true;
  }

  bool move_to(int64_t id) {
    const auto found = std::lower_bound(trees_.begin(), trees_.end(), id,
                                        [](const Tree& tree, int64_t at) { return tree.id < at; });
    if (found == trees_.end() || found->id != id) return false;
    last_ = static_cast<size_t>(found - trees_.begin());
    return true;
  }

  std::vector<Tree> trees_;  // by their ids
  // For a tree that begins at position b, element b + id has the position of the node with this id.
  std::vector<int32_t> table_;
  size_t last_ = 0;                                   // the tree of the last find()
  std::unordered_map<Ids, int32_t, IdsHash> by_ids_;  // if table_ is empty
};

}  // namespace sidecall::native
