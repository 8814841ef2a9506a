// Which events of one kind and user the log of a server passes on, and which it only counts.
#include <catch2/catch_test_macros.hpp>

#include <string>
#include <utility>
#include <vector>

#include "shm/server/reporting/event_log.h"

namespace {

using sidecall::shm::EventLog;
using sidecall::shm::LogLevel;

struct Passed {
  EventLog log{[this](LogLevel, const char* event, const std::string& facts) {
    events.emplace_back(event, facts);
    return accepts;
  }};
  size_t count(const std::string& event) const {
    size_t found = 0;
    for (const auto& each : events) found += each.first == event ? 1 : 0;
    return found;
  }
  bool accepts = true;
  std::vector<std::pair<std::string, std::string>> events;
};

}  // namespace

TEST_CASE("events below a warning are not limited") {
  Passed passed;
  for (int i = 0; i < 100; ++i) passed.log.add(LogLevel::kInfo, "connection.opened", "{}", 1000);
  CHECK(passed.count("connection.opened") == 100);
  CHECK(passed.log.num_suppressed() == 0);
  CHECK(passed.log.report_due_ns() == INT64_MAX);
}

TEST_CASE("warnings that one user provokes do not use up the limits of other users and events") {
  Passed passed;
  for (int i = 0; i < 1000; ++i)
    passed.log.add(LogLevel::kWarning, "connection.violation", "{}", 1000);
  // One more event is allowed for each second that the loop takes.
  const size_t most = EventLog::kBurst + 5;
  CHECK(passed.events.size() >= EventLog::kBurst);
  CHECK(passed.events.size() <= most);
  CHECK(passed.log.num_suppressed() == 1000 - passed.events.size());
  passed.log.add(LogLevel::kWarning, "connection.violation", "{}", 1001);
  passed.log.add(LogLevel::kWarning, "connection.violation", "{}");
  passed.log.add(LogLevel::kError, "object.failed", "{}", 1000);
  CHECK(passed.events.size() <= most + 3);
  CHECK(passed.count("object.failed") == 1);
}

TEST_CASE("the number of suppressed events is reported once for each event and user") {
  Passed passed;
  for (int i = 0; i < 30; ++i) {
    passed.log.add(LogLevel::kWarning, "connection.refused", "{}", 1000);
    passed.log.add(LogLevel::kError, "server.error", "{}");
  }
  CHECK(passed.log.report_due_ns() != INT64_MAX);
  const size_t refused = 30 - passed.count("connection.refused"),
               failed = 30 - passed.count("server.error");
  passed.events.clear();
  passed.log.report();
  REQUIRE(passed.events.size() == 2);
  CHECK(passed.events[0].second ==
        R"({"of":"server.error","lines":)" + std::to_string(failed) + "}");
  CHECK(passed.events[1].second ==
        R"({"of":"connection.refused","uid":1000,"lines":)" + std::to_string(refused) + "}");
  CHECK(passed.log.report_due_ns() == INT64_MAX);
  passed.log.report();
  CHECK(passed.events.size() == 2);
}

TEST_CASE("events that the log does not accept are counted") {
  Passed passed;
  passed.accepts = false;
  for (int i = 0; i < 3; ++i) passed.log.add(LogLevel::kInfo, "connection.opened", "{}");
  CHECK(passed.log.num_dropped() == 3);
  CHECK(passed.log.num_suppressed() == 0);
}

TEST_CASE("any number of kinds of events uses bounded memory and a bounded number of lines") {
  Passed passed;
  for (int i = 0; i < 5000; ++i)
    passed.log.add(LogLevel::kWarning, "kind." + std::to_string(i), "{}", 1000);
  CHECK(passed.events.size() < 1200);
  passed.events.clear();
  passed.log.report();
  REQUIRE(passed.events.size() == 1);
  CHECK(passed.events[0].second.find(R"({"of":"other events","lines":)") == 0);
}

TEST_CASE("events are not counted if there is no log") {
  EventLog log(nullptr);
  for (int i = 0; i < 100; ++i) log.add(LogLevel::kWarning, "connection.violation", "{}", 1000);
  log.report();
  CHECK(log.num_suppressed() == 0);
  CHECK(log.num_dropped() == 0);
}
