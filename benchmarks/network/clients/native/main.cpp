// bench-network-client: speaks the protocol of clients/README.md on stdin and stdout. Started by
// run.py.
#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include <csignal>
#include <iostream>
#include <map>
#include <optional>
#include <stdexcept>

#include "measure.h"

namespace bench {
namespace {

using Writer = rapidjson::Writer<rapidjson::StringBuffer>;

void write_measurement(Writer& writer, const Measurement& one) {
  const auto number = [&writer](const char* name, int64_t value) {
    writer.Key(name);
    writer.Int64(value);
  };
  const auto us = [&writer](const char* name, int64_t ns) {
    writer.Key(name);
    writer.Double(static_cast<double>(ns) / 1e3);
  };
  number("calls", one.times.total());
  number("wrong", one.wrong);
  number("lost", one.lost);
  writer.Key("seconds");
  writer.Double(one.seconds);
  us("p50_us", one.times.percentile(50));
  us("p90_us", one.times.percentile(90));
  us("p99_us", one.times.percentile(99));
  us("p999_us", one.times.percentile(99.9));
  us("max_us", one.times.max());
  number("request_bytes", one.lengths.request);
  number("response_bytes", one.lengths.response);
  writer.Key("cpu_s");
  writer.Double(one.cpu_s);
  writer.Key("error");
  if (one.error.empty()) writer.Null();
  else writer.String(one.error.c_str());
}

class Client {
 public:
  // Writes the answer to one request. Throws with the reason.
  void answer(const std::string& line, Writer& writer) {
    rapidjson::Document request;
    if (request.Parse(line.c_str()).HasParseError() || !request.IsObject() ||
        !request.HasMember("do") || !request["do"].IsString())
      throw std::runtime_error("request: expected a JSON object with \"do\"");
    const std::string what = request["do"].GetString();
    writer.StartObject();
    if (what == "open") {
      session_.reset();
      session_.emplace(workload(need(request, "workload").GetString()), request);
      writer.Key("ok");
      writer.Bool(true);
      writer.Key("first_answer_s");
      writer.Double(session_->first_answer_s());
    } else if (what == "closed" || what == "open_loop") {
      if (!session_) throw std::runtime_error(what + ": expected an open request before");
      write_measurement(writer, measure(*session_, plan(request, what == "open_loop")));
    } else if (what == "close") {
      session_.reset();
      writer.Key("ok");
      writer.Bool(true);
    } else {
      throw std::runtime_error("request: expected open, closed, open_loop or close, got " + what);
    }
    writer.EndObject();
  }

 private:
  static const rapidjson::Value& need(const rapidjson::Value& request, const char* name) {
    if (!request.HasMember(name))
      throw std::runtime_error(std::string("request: '") + name + "' is missing");
    return request[name];
  }

  static Plan plan(const rapidjson::Value& request, bool is_open) {
    Plan made;
    made.clients = need(request, "clients").GetInt();
    made.seconds = need(request, "seconds").GetDouble();
    if (is_open) made.rate = need(request, "rate").GetDouble();
    if (request.HasMember("random")) made.is_random = request["random"].GetBool();
    if (request.HasMember("warm_up")) made.warm_up = request["warm_up"].GetInt64();
    if (request.HasMember("first")) made.first = request["first"].GetInt64();
    if (made.clients < 1 || made.seconds <= 0 || (is_open && made.rate <= 0))
      throw std::runtime_error("request: expected positive numbers");
    return made;
  }

  // Reads a workload only once, so that the time to the first answer is only that of the approach.
  const Workload& workload(const std::string& folder) {
    const auto found = workloads_.find(folder);
    return found != workloads_.end()
               ? found->second
               : workloads_.emplace(folder, load_workload(folder)).first->second;
  }

  std::map<std::string, Workload> workloads_;
  std::optional<Session> session_;  // declared after workloads_, because it refers to one of them
};

void serve() {
  Client client;
  for (std::string line; std::getline(std::cin, line);) {
    if (line.empty()) continue;
    rapidjson::StringBuffer said;
    Writer writer(said);
    try {
      client.answer(line, writer);
    } catch (const std::exception& error) {
      said.Clear();
      writer.Reset(said);
      writer.StartObject();
      writer.Key("error");
      writer.String(error.what());
      writer.EndObject();
    }
    std::cout << said.GetString() << '\n' << std::flush;
  }
}

}  // namespace
}  // namespace bench

int main() {
  // a closed connection then counts as a lost call and does not end the process
  std::signal(SIGPIPE, SIG_IGN);
  bench::serve();
  return 0;
}
