// The faults of one run, sorted by row and feature. At most a thousand are kept; all are counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "core/error.h"

namespace sidecall {

class FaultList {
 public:
  static constexpr size_t kMaxKept = 1000;

  bool is_empty() const { return total_ == 0; }
  bool is_full() const { return faults_.size() >= kMaxKept; }

  // `place` orders the faults of a row: the index of a feature, or a larger number for faults that
  // come after all features. `name` distinguishes faults at the same place.
  bool has(int64_t row, int32_t place, const std::string& name = {}) const {
    return faults_.count({row, place, name}) != 0;
  }

  // Whether the list is full and a fault at that place would come after its last one. put() then
  // only counts the fault.
  bool is_past_end(int64_t row, int32_t place) const {
    if (!is_full()) return false;
    const auto& [last_row, last_place, name] = std::prev(faults_.end())->first;
    return std::tie(last_row, last_place) < std::tie(row, place);
  }

  // Replaces the fault at that place, if there is one. If the list is full, a new fault is only
  // counted.
  void put(int32_t place, Fault fault, std::string name = {}) {
    Key key(fault.row, place, std::move(name));
    const auto found = faults_.find(key);
    if (found != faults_.end()) {
      found->second = std::move(fault);
      return;
    }
    ++total_;
    if (!is_full()) faults_.emplace(std::move(key), std::move(fault));
  }

  // Adds a new fault. If the list is full, the fault that sorts last is dropped and only counted.
  void add(int32_t place, Fault fault) {
    ++total_;
    Key key(fault.row, place, std::string());
    if (is_full()) {
      const auto last = std::prev(faults_.end());
      if (last->first < key) return;
      faults_.erase(last);
    }
    faults_.emplace(std::move(key), std::move(fault));
  }

  void add_all(const FaultList& others) {
    for (const auto& [key, fault] : others.faults_) {
      if (faults_.count(key) == 0) add(std::get<1>(key), fault);
    }
    total_ += others.total_ - others.faults_.size();
  }

  void count() { ++total_; }

  void remove(int64_t row, int32_t place) { total_ -= faults_.erase({row, place, std::string()}); }

  void clear() {
    faults_.clear();
    total_ = 0;
  }

  // Throws all faults. There must be at least one.
  [[noreturn]] void raise(bool name_rows) const {
    std::vector<Fault> found;
    found.reserve(faults_.size());
    for (const auto& [key, fault] : faults_) found.push_back(fault);
    throw Error(std::move(found), total_, name_rows);
  }

 private:
  using Key = std::tuple<int64_t, int32_t, std::string>;
  std::map<Key, Fault> faults_;
  size_t total_ = 0;  // includes faults that were not kept
};

}  // namespace sidecall
