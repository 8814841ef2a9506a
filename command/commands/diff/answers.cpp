// Runs the golden rows of the old file through both models and measures how far the answers moved;
// see diff.hpp.
#include "model/golden.hpp"
#include "pairs.hpp"

namespace sidecall::cli {
namespace {

Call open_call(const sidecall_model* model) {
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_call* call = nullptr;
  if (const sidecall_status status = sidecall_call_open(model, 1, &call, &err))
    throw Failure(exit_code_of(status), err.message);
  return Call(call);
}

}  // namespace

MovedAnswers compare_answers(const sidecall_model* before, const sidecall_model* after,
                             const Signature& old_signature,
                             const std::map<std::string, std::string>& renames) {
  MovedAnswers answers;
  const Json& features = at(old_signature.contract, "features");
  const Json& verification = at(old_signature.contract, "verification");
  const Json& columns = at(verification, "features");
  if (at(verification, "rows").IsInt64()) answers.rows = at(verification, "rows").GetInt64();
  if (answers.rows == 0 || !columns.IsArray() || !features.IsArray()) {
    answers.problem = "the old file has no golden rows";
    return answers;
  }
  answers.problem = why_not_comparable(before, after);
  if (!answers.problem.empty()) return answers;
  ColumnPairs pairs(before, after, old_signature.contract, answers.movements);
  const Call old_call = open_call(before);
  const Call new_call = open_call(after);
  for (int64_t row = 0; row < answers.rows; ++row) {
    sidecall_call_clear(old_call.get(), nullptr);
    sidecall_call_clear(new_call.get(), nullptr);
    for (rapidjson::SizeType i = 0; i < features.Size() && i < columns.Size(); ++i) {
      const std::string name = text_at(features[i], "name");
      const Json& value = columns[i][static_cast<rapidjson::SizeType>(row)];
      set_golden(before, old_call.get(), 0, sidecall_model_feature(before, name.c_str()), value);
      const auto renamed = renames.find(name);
      const int32_t feature = sidecall_model_feature(
          after, renamed == renames.end() ? name.c_str() : renamed->second.c_str());
      if (feature >= 0) set_golden(after, new_call.get(), 0, feature, value);
    }
    sidecall_error err = SIDECALL_ERROR_INIT;
    if (sidecall_call_run(old_call.get(), -1, &err)) {
      answers.problem = std::string("the old model fails on its own golden rows: ") + err.message;
      return answers;
    }
    if (sidecall_call_run(new_call.get(), -1, &err)) {
      if (answers.refused++ == 0) answers.first_refusal = err.message;
      ++answers.moved;
      continue;
    }
    answers.moved += pairs.compare(old_call.get(), new_call.get()) ? 1 : 0;
  }
  return answers;
}

}  // namespace sidecall::cli
