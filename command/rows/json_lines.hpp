// Reads rows of JSON Lines, each a record of values by feature name; used by predict (with and
// without --stream) and by diff.
#pragma once

#include <array>

#include "source.hpp"

namespace sidecall::cli {

class JsonSource : public RowSource {
 public:
  JsonSource(const RowCall& call, const RowOptions& options);

  bool open(RowReader& reader) override;
  bool is_blank(std::string_view text) const override;
  Fill fill(RowCall& call, int64_t at, std::string_view text) override;
  std::string_view kept(int64_t at, size_t index) const override {
    return kept_[static_cast<size_t>(at) * options_.keep.size() + index];
  }
  std::vector<std::string> explain(const RowCall& call, const Row& row,
                                   const std::string& file) override;

  // Returns the status of the library for a row that has no answer; error() then has the error of
  // the library.
  sidecall_status judge(std::string_view text);
  const sidecall_error& error() const { return err_; }

 private:
  static constexpr size_t kMaxFaults = 64;
  class Handler;

  const RowCall& call_;
  const RowOptions& options_;
  std::string text_;           // a copy of the row, which the parser modifies in place
  std::vector<int32_t> seen_;  // for each feature, how often it occurs in the row
  std::vector<std::string_view> kept_;
  sidecall_error err_;
  std::array<sidecall_fault, kMaxFaults> faults_;
};

}  // namespace sidecall::cli
