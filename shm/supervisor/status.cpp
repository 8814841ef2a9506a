// Reads the JSON that shm/server/reporting/status.cpp writes; see status.h.
#include "status.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/json/json.h"
#include "shm/common/layout.h"
#include "shm/common/segment.h"
#include "shm/common/status_json.h"
#include "shm/server/accepting/admission.h"

namespace sidecall::shm {
namespace {

constexpr uint64_t kMaxStatus = UINT64_C(16) << 20;

uint64_t number_at(const json::Value& object, const char* key) {
  const auto found = object.FindMember(key);
  return found != object.MemberEnd() && found->value.IsUint64() ? found->value.GetUint64() : 0;
}

bool true_at(const json::Value& object, const char* key) {
  const auto found = object.FindMember(key);
  return found != object.MemberEnd() && found->value.IsBool() && found->value.GetBool();
}

std::string text_at(const json::Value& object, const char* key) {
  const auto found = object.FindMember(key);
  return found != object.MemberEnd() && found->value.IsString() ? found->value.GetString() : "";
}

const json::Value* object_at(const json::Value& object, const char* key) {
  const auto found = object.FindMember(key);
  return found != object.MemberEnd() && found->value.IsObject() ? &found->value : nullptr;
}

void add_statuses(const json::Value& from, Status* sum) {
  const json::Value* statuses = object_at(from, "statuses");
  if (statuses == nullptr) return;
  for (size_t i = 0; i < kStatuses; ++i)
    sum->statuses[i] += number_at(*statuses, std::to_string(i).c_str());
}

void add_latency(const json::Value& from, Status* sum) {
  const json::Value* latency = object_at(from, "latency_ns");
  if (latency == nullptr) return;
  sum->latency_ns += number_at(*latency, "sum");
  const auto counts = latency->FindMember("counts");
  if (counts == latency->MemberEnd() || !counts->value.IsArray()) return;
  const size_t known = std::min<size_t>(kBuckets, counts->value.Size());
  for (size_t i = 0; i < known; ++i) {
    const auto& count = counts->value[static_cast<rapidjson::SizeType>(i)];
    if (count.IsUint64()) sum->latencies[i] += count.GetUint64();
  }
}

void add_clients(const json::Value& from, Status* sum) {
  const auto clients = from.FindMember("clients");
  if (clients == from.MemberEnd() || !clients->value.IsArray()) return;
  for (const auto& client : clients->value.GetArray()) {
    if (!client.IsObject()) continue;
    sum->clients.push_back({static_cast<int64_t>(number_at(client, "process")),
                            static_cast<uint32_t>(number_at(client, "uid")),
                            number_at(client, "bytes"), number_at(client, "calls")});
  }
}

using Number = uint64_t Status::*;
constexpr std::pair<const char*, Number> kLevels[] = {
    {"connections", &Status::connections},   {"half_open", &Status::half_open},
    {"in_flight", &Status::in_flight},       {"queued", &Status::queued},
    {"bytes_mapped", &Status::bytes_mapped}, {"memory_bytes", &Status::memory_bytes}};
constexpr std::pair<const char*, Number> kCounters[] = {{"accepted", &Status::accepted},
                                                        {"closed", &Status::closed},
                                                        {"refused", &Status::refused},
                                                        {"violations", &Status::violations},
                                                        {"calls", &Status::calls},
                                                        {"errors", &Status::errors},
                                                        {"one_shots", &Status::one_shots},
                                                        {"run_ns", &Status::run_ns},
                                                        {"log_suppressed", &Status::log_suppressed},
                                                        {"log_dropped", &Status::log_dropped}};

void add_levels(const json::Value& from, Status* sum) {
  for (const auto& [key, level] : kLevels) sum->*level += number_at(from, key);
  add_clients(from, sum);
}

Status read_counters(const json::Value& from) {
  Status counters;
  for (const auto& [key, counter] : kCounters) counters.*counter = number_at(from, key);
  add_statuses(from, &counters);
  add_latency(from, &counters);
  counters.instance = std::strtoull(text_at(from, "instance").c_str(), nullptr, 16);
  return counters;
}

void add_counters(const Status& from, Status* sum) {
  for (const auto& [key, counter] : kCounters) sum->*counter += from.*counter;
  for (size_t i = 0; i < kStatuses; ++i) sum->statuses[i] += from.statuses[i];
  for (size_t i = 0; i < kBuckets; ++i) sum->latencies[i] += from.latencies[i];
  sum->latency_ns += from.latency_ns;
}

}  // namespace

void CounterHistory::note(int32_t worker, const Status& counters) {
  const auto [entry, is_new] = latest_.emplace(worker, counters);
  if (is_new) return;
  // Another worker process has the same number now.
  if (entry->second.instance != counters.instance) add_counters(entry->second, &ended_);
  entry->second = counters;
}

void CounterHistory::keep_only(const std::vector<int32_t>& workers) {
  for (auto entry = latest_.begin(); entry != latest_.end();) {
    if (std::find(workers.begin(), workers.end(), entry->first) != workers.end()) {
      ++entry;
      continue;
    }
    add_counters(entry->second, &ended_);
    entry = latest_.erase(entry);
  }
}

void CounterHistory::add_to(Status* sum) const {
  add_counters(ended_, sum);
  for (const auto& [worker, counters] : latest_) add_counters(counters, sum);
}

void StatusSum::add(int32_t worker, const std::string& json) {
  if (!is_status_json(json)) return;
  json::Document document;
  document.Parse(json.data(), json.size());
  if (sum_.workers++ == 0) {
    sum_.name = text_at(document, "name");
    sum_.version = text_at(document, "version");
    sum_.model_id = text_at(document, "model_id");
    sum_.is_verified = true;
    sum_.memory_limit_bytes = number_at(document, "memory_limit_bytes");
  }
  sum_.is_ready = sum_.is_ready || true_at(document, "ready");
  sum_.is_verified = sum_.is_verified && true_at(document, "verified");
  add_levels(document, &sum_);
  memory_->note(worker, read_counters(document));
  Facts facts;
  facts.number("worker", int64_t{worker}).number("process", number_at(document, "process"));
  facts.boolean("ready", true_at(document, "ready"))
      .boolean("draining", true_at(document, "draining"));
  facts.number("uptime_ns", number_at(document, "uptime_ns"))
      .number("connections", number_at(document, "connections"));
  facts.number("in_flight", number_at(document, "in_flight"))
      .number("calls", number_at(document, "calls"));
  facts.number("errors", number_at(document, "errors"));
  each_.push_back(facts.take());
}

std::string StatusSum::json(const std::vector<int32_t>& workers, bool may_be_ready,
                            uint64_t num_hung) {
  memory_->keep_only(workers);
  memory_->add_to(&sum_);
  sum_.is_ready = sum_.is_ready && may_be_ready;
  std::string text = sum_.json();
  text.pop_back();  // removes the closing brace
  text += ",\"workers_started\":" + std::to_string(workers.size()) +
          ",\"workers_hung\":" + std::to_string(num_hung) + ",\"each\":[";
  for (size_t i = 0; i < each_.size(); ++i) text += (i == 0 ? "" : ",") + each_[i];
  return text + "]}";
}

void request_status(Socket& socket) {
  Hello hello{};
  std::memcpy(hello.magic, kMagic, sizeof kMagic);
  hello.version_min = hello.version_max = kVersion;
  hello.kind = kStatus;
  socket.send(&hello, sizeof hello);
}

std::string read_status(Socket& socket, Deadline deadline) {
  FileMessage answer{};
  const Received received = socket.receive(&answer, sizeof answer, deadline);
  const bool is_answer = received.kind == Received::kMessage && received.bytes == sizeof answer &&
                         !received.is_cut && received.num_fds == 1 &&
                         answer.kind == kStatusAnswer &&
                         std::memcmp(answer.magic, kMagic, sizeof kMagic) == 0;
  return is_answer ? read_sealed_file(received.fds[0].get(), answer.first, kMaxStatus) : "";
}

void send_status(Socket& socket, std::string_view json) {
  unsigned char buffer[sizeof(Hello) + 1];
  const Received received = socket.receive(buffer, sizeof buffer);
  if (received.kind != Received::kMessage) return;
  try {
    parse_hello(buffer, received.bytes, Limits());
  } catch (const Error& error) {
    return refuse(&socket, error.status, error.message);
  }
  FileMessage answer{};
  std::memcpy(answer.magic, kMagic, sizeof kMagic);
  answer.version = kVersion;
  answer.kind = kStatusAnswer;
  answer.first = json.size();
  const Fd file = make_sealed_file(json);
  const int fd = file.get();
  socket.send(&answer, sizeof answer, &fd, 1);
}

}  // namespace sidecall::shm
