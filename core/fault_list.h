// The faults of one run, by row and feature: the first thousand are kept, all are counted. Used by call_features.cpp and call_checks.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "error.h"

namespace sidecall {

class FaultList {
 public:
  static constexpr size_t kMaxKept = 1000;

  bool is_empty() const { return total_ == 0; }
  bool is_full() const { return faults_.size() >= kMaxKept; }

  // `place` orders the faults of a row: the number of a feature, and what comes behind all features. `name` tells those of one place apart.
  bool has(int64_t row, int32_t place, const std::string& name = {}) const {
    return faults_.count({row, place, name}) != 0;
  }

  // Instead of the one at that place, where there is one. Where no room is left it is only counted.
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

  // A new one. Where no room is left, the last of all is only counted.
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

  // At least one.
  [[noreturn]] void raise(bool name_rows) const {
    std::vector<Fault> found;
    found.reserve(faults_.size());
    for (const auto& [key, fault] : faults_) found.push_back(fault);
    throw Error(std::move(found), total_, name_rows);
  }

 private:
  using Key = std::tuple<int64_t, int32_t, std::string>;
  std::map<Key, Fault> faults_;
  size_t total_ = 0;  // also of those that were not kept
};

}  // namespace sidecall
