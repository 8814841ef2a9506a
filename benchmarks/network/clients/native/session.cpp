// Opens the approach that an "open" request names and makes its first call.
#include "session.h"

#include <stdexcept>

#include "clock.h"

namespace bench {
namespace {

const rapidjson::Value kNothing;

// The same rows with the answers of another model, which has no labels.
std::unique_ptr<Workload> twin_of(const Workload& workload, const std::string& file) {
  auto twin = std::make_unique<Workload>();
  twin->num_numbers = workload.num_numbers;
  twin->tolerance = workload.tolerance;
  twin->expected = load_expected(workload.folder + "/" + file,
                                 (workload.ring + workload.max_rows) * workload.num_numbers);
  return twin;
}

}  // namespace

Session::Session(const Workload& workload, const rapidjson::Value& request) : workload_(workload) {
  if (request.HasMember("rows")) rows_ = request["rows"].GetInt64();
  if (rows_ < 1 || rows_ > workload.max_rows)
    throw std::runtime_error("rows: expected 1 to " + std::to_string(workload.max_rows));
  const rapidjson::Value& at = request.HasMember("at") ? request["at"] : kNothing;
  const Opening opening{workload, rows_,
                        request.HasMember("body") ? request["body"].GetString() : "none", at};

  const int64_t start = now_ns();
  approach_ = open_approach(request["transport"].GetString(), opening);
  Answer answer;
  caller(0).call(0, answer);
  first_answer_s_ = static_cast<double>(now_ns() - start) / 1e9;

  if (approach_->expected() != nullptr) twin_ = twin_of(workload, approach_->expected());
  if (!is_right(0, answer)) throw std::runtime_error("the first answer is wrong");
}

void Session::connect(int count) {
  for (int i = 0; i < count; ++i) caller(i);
}

Caller& Session::caller(int number) {
  // Only `connect` grows the vector, and no worker runs at that time.
  if (callers_.size() <= static_cast<size_t>(number))
    callers_.resize(static_cast<size_t>(number) + 1);
  std::unique_ptr<Caller>& found = callers_[static_cast<size_t>(number)];
  if (found == nullptr) found = approach_->connect();
  return *found;
}

Lengths Session::lengths(int number) const {
  const Caller* found = callers_[static_cast<size_t>(number)].get();
  return found == nullptr ? Lengths{} : found->lengths();
}

}  // namespace bench
