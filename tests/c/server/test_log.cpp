// The events of a server: written as lines by a thread of their own, or taken from a queue. Both
// are bounded, and limited for each user.
#include <fcntl.h>
#include <limits.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch_all.hpp>
#include <cstring>
#include <sidecall/server.hpp>
#include <thread>

#include "function_server.h"
#include "queue/queue_fixture.h"
#include "support.h"

using support::error;
using support::fresh_address;
using support::Gate;

namespace {

constexpr int64_t kSecond = INT64_C(1000000000);

struct Pipe {
  Pipe() {
    REQUIRE(pipe2(ends, O_CLOEXEC) == 0);
    fcntl(ends[1], F_SETPIPE_SZ, 4096);
  }
  ~Pipe() {
    close_writer();
    close(ends[0]);
  }
  void close_writer() {
    if (ends[1] >= 0) close(std::exchange(ends[1], -1));
  }
  sidecall_log_lines lines(int32_t as_json, int32_t least_level = 1) const {
    return {sizeof(sidecall_log_lines), ends[1], as_json, least_level};
  }

  // How long read_all waits for the next byte, in seconds. Long, because on a busy machine a
  // process or a thread may start late.
  static constexpr int kUntilEnd = 60;

  // Reads until no byte arrives for `seconds`, or until every writer has closed the pipe.
  std::string read_all(int seconds = 1) const {
    std::string text;
    char buffer[4096];
    for (;;) {
      fd_set set;
      FD_ZERO(&set);
      FD_SET(ends[0], &set);
      timeval patience = {seconds, 0};
      if (select(ends[0] + 1, &set, nullptr, nullptr, &patience) != 1) return text;
      const ssize_t got = read(ends[0], buffer, sizeof buffer);
      if (got <= 0) return text;
      text.append(buffer, static_cast<size_t>(got));
    }
  }
  int ends[2];
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  size_t at = 0;
  for (size_t end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
    lines.push_back(text.substr(at, end - at));
  CHECK(at == text.size());  // the last line is complete
  return lines;
}

// Whether no two-byte character was cut.
bool is_utf8(const std::string& text) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (static_cast<unsigned char>(text[i]) < 0x80) continue;
    if (text[i] != '\xc3' || i + 1 == text.size() || text[++i] != '\xa9') return false;
  }
  return true;
}

size_t count(const std::vector<std::string>& lines, const std::string& part) {
  size_t found = 0;
  for (const std::string& line : lines) found += line.find(part) != std::string::npos ? 1 : 0;
  return found;
}

// Opens a connection that violates the protocol. When this function returns, the server has noticed
// the violation.
void send_garbage(const std::string& address) {
  const int client = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  sockaddr_un where{};
  where.sun_family = AF_UNIX;
  std::strncpy(where.sun_path, address.c_str() + std::strlen("shm:"), sizeof where.sun_path - 1);
  REQUIRE(connect(client, reinterpret_cast<const sockaddr*>(&where), sizeof where) == 0);
  REQUIRE(send(client, "garbage", 7, MSG_NOSIGNAL) == 7);
  timeval patience = {10, 0};
  setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  char byte = 0;
  CHECK(recv(client, &byte, 1, 0) <= 0);
  close(client);
}

int64_t number_of(const std::string& status, const std::string& name) {
  const size_t at = status.find("\"" + name + "\":");
  return at == std::string::npos ? -1 : std::atoll(status.c_str() + at + name.size() + 3);
}

// A queue that gets the events of servers.
struct Events {
  support::Queue queue;
  std::string text;  // of the events that were taken

  // The events so far, each on one line.
  const std::string& all() {
    while (true) {
      const support::Completions taken = queue.take(0);
      if (taken.empty()) return text;
      for (const sidecall_completion& one : taken) {
        REQUIRE(one.event != nullptr);
        CHECK((one.call == nullptr && one.model == nullptr));
        CHECK((one.run == 0 && one.status == SIDECALL_OK && one.flags == 0));
        text += std::string(one.event->data, one.event->length) + "\n";
        sidecall_text_close(one.event);
      }
    }
  }
};

sidecall_server_options options_with(const Events& events, int32_t level = 1) {
  sidecall_server_options options;
  sidecall_server_options_init(&options);
  options.events = events.queue.get();
  options.events_level = level;
  return options;
}

sidecall_server* open_server(const std::string& address, const sidecall_server_options& options) {
  const sidecall::Model model(test_paths::model("add.onnx"));
  sidecall_server* server = nullptr;
  REQUIRE(sidecall_server_open(address.c_str(), model.get(), &options, &server, error()) ==
          SIDECALL_OK);
  return server;
}

void connect_and_run(const std::string& address) {
  const sidecall::Model model(address);
  sidecall::Call call(model, 1);
  support::give_x(call, {1, 2});
  call.run(5 * kSecond);
}

std::string status_of(const sidecall_server* server) {
  sidecall_text* text = nullptr;
  REQUIRE(sidecall_server_status(server, &text, error()) == SIDECALL_OK);
  std::string result(text->data, text->length);
  sidecall_text_close(text);
  return result;
}

}  // namespace

TEST_CASE("log lines are written as text or as JSON") {
  const auto line_of = [&](int32_t as_json, int32_t level, const char* json) {
    Pipe pipe;
    sidecall_log_lines lines = pipe.lines(as_json);
    sidecall_log_line(&lines, level, json);
    sidecall_log_flush(10 * kSecond);
    pipe.close_writer();
    return pipe.read_all();
  };
  CHECK(line_of(0, 2, R"({"event":"a.b","n":3,"text":"two words","e":""})").substr(25) ==
        "warning a.b n=3 text=\"two words\" e=\"\"\n");
  CHECK(line_of(0, 1, "{\"event\":\"x\",\"t\":\"line\\nbreak\"}").substr(25) ==
        "info x t=line\\nbreak\n");
  CHECK(line_of(0, 1, R"({"event":"x","at":["http://a:1","grpc://a:2"],"e":[]})").substr(25) ==
        "info x at=http://a:1,grpc://a:2 e=\"\"\n");
  CHECK_THAT(line_of(1, 3, R"({"event":"a"})"),
             Catch::Matchers::EndsWith("\",\"level\":\"error\",\"event\":\"a\"}\n"));
  CHECK(line_of(0, 0, R"({"event":"debug"})").empty());
  CHECK(line_of(0, 9, R"({"event":"none"})").empty());
}

TEST_CASE(
    "log lines are queued while the pipe is not read, and lines beyond the queue are counted") {
  Pipe pipe;
  sidecall_log_lines lines = pipe.lines(1);
  const std::string json = R"({"event":"filler","text":")" + std::string(500, 'x') + "\"}";
  constexpr int kLines = 3000;
  for (int i = 0; i < kLines; ++i) sidecall_log_line(&lines, 1, json.c_str());  // does not block
  std::string text;
  std::thread reader([&] { text = pipe.read_all(Pipe::kUntilEnd); });
  sidecall_log_flush(20 * kSecond);
  pipe.close_writer();
  reader.join();
  const std::vector<std::string> written = lines_of(text);
  REQUIRE(written.size() > 1024);
  // The pipe accepts some lines while others are dropped, so the count may be reported in several
  // parts. The last line is such a report.
  const std::string dropped = "\"level\":\"warning\",\"event\":\"log.dropped\",\"lines\":";
  size_t num_dropped = 0, num_reports = 0;
  for (const std::string& line : written) {
    const size_t at = line.find(dropped);
    if (at == std::string::npos) continue;
    ++num_reports;
    num_dropped += std::stoul(line.substr(at + dropped.size()));
  }
  CHECK_THAT(written.back(), Catch::Matchers::ContainsSubstring(dropped));
  CHECK(count(written, "\"event\":\"filler\"") == written.size() - num_reports);
  CHECK(written.size() - num_reports + num_dropped == kLines);
}

TEST_CASE(
    "a log flush waits for an unread pipe until its timeout, and then drops the lines that are "
    "left") {
  Pipe pipe;
  sidecall_log_lines lines = pipe.lines(0);
  const std::string json = R"({"event":"filler","text":")" + std::string(1000, 'x') + "\"}";
  for (int i = 0; i < 100; ++i) sidecall_log_line(&lines, 1, json.c_str());
  const support::Stopwatch watch;
  sidecall_log_flush(kSecond / 10);
  CHECK(watch.seconds() < 5);
  // The lines that fit into the pipe, and the line that was being written.
  const std::vector<std::string> written = lines_of(pipe.read_all());
  CHECK(written.size() >= 3);
  CHECK(written.size() <= 5);
}

TEST_CASE("a long log line is shortened in the middle of its longest text and stays valid") {
  for (const int32_t as_json : {0, 1}) {
    Pipe pipe;
    fcntl(pipe.ends[1], F_SETPIPE_SZ, 65536);
    sidecall_log_lines lines = pipe.lines(as_json);
    std::string text = "begin ";
    for (int i = 0; i < 8000; ++i) text += "\xc3\xa9";
    const std::string json = R"({"event":"long","short":"kept","text":")" + text + " end\"}";
    sidecall_log_line(&lines, 3, json.c_str());
    std::string unshortenable = R"({"event":"long","numbers":[)";
    for (int i = 0; i < 4000; ++i) unshortenable += "1,";
    sidecall_log_line(&lines, 3, (unshortenable + "1]}").c_str());
    sidecall_log_flush(10 * kSecond);
    pipe.close_writer();
    const std::vector<std::string> written = lines_of(pipe.read_all());
    REQUIRE(written.size() == 2);
    CHECK(written[0].size() < PIPE_BUF);
    CHECK(written[0].size() > PIPE_BUF / 4);
    for (const char* part : {"kept", "begin ", " ... ", " end"})
      CHECK(written[0].find(part) != std::string::npos);
    CHECK(is_utf8(written[0]));
    CHECK(written[1].find("log.too_long") != std::string::npos);
  }
}

TEST_CASE("log lines of several processes do not mix") {
  Pipe pipe;
  constexpr int kProcesses = 4, kLines = 200;
  pid_t children[kProcesses];
  for (int process = 0; process < kProcesses; ++process) {
    children[process] = fork();
    if (children[process] != 0) continue;
    alarm(30);
    sidecall_log_lines lines = pipe.lines(0);
    const std::string json =
        R"({"event":"line","text":")" + std::string(1500, static_cast<char>('a' + process)) + "\"}";
    for (int i = 0; i < kLines; ++i) sidecall_log_line(&lines, 1, json.c_str());
    sidecall_log_flush(20 * kSecond);
    _exit(0);
  }
  // The reader starts only after the forks: AddressSanitizer's allocator stays locked in a child
  // that is forked while another thread allocates.
  std::string text;
  std::thread reader([&] { text = pipe.read_all(Pipe::kUntilEnd); });
  for (const pid_t child : children) waitpid(child, nullptr, 0);
  pipe.close_writer();
  reader.join();
  const std::vector<std::string> written = lines_of(text);
  CHECK(written.size() == kProcesses * kLines);
  for (const std::string& line : written) {
    const std::string body = line.substr(line.find("text=") + 5);
    CHECK(body == std::string(1500, body[0]));
  }
}

TEST_CASE("a queue gets the events of servers, also after their end, with the tag of each") {
  support::Queue queue;
  sidecall_server_options options;
  sidecall_server_options_init(&options);
  options.events = queue.get();
  CHECK(queue.arm() == -1);
  for (const uint64_t tag : {3, 4}) {
    options.events_tag = tag;
    sidecall_server_close(open_server(fresh_address(), options));
  }
  CHECK(support::is_readable(queue.handle(), 20000));
  std::vector<std::string> texts[2];
  for (const sidecall_completion& one : queue.take(0)) {
    REQUIRE((one.tag == 3 || one.tag == 4));
    REQUIRE(one.event != nullptr);
    texts[one.tag - 3].emplace_back(one.event->data, one.event->length);
    sidecall_text_close(one.event);
  }
  for (const std::vector<std::string>& lines : texts) {
    REQUIRE(lines.size() >= 2);
    CHECK(lines.front().find(R"({"time":")") == 0);
    CHECK(count(lines, R"("level":"info","event":"server.listening")") == 1);
    CHECK(lines.back().find(R"("event":"server.ended")") != std::string::npos);
    CHECK(count(lines, R"("level":"debug")") == 0);
  }
}

TEST_CASE("events are lines and completions at the same time, each with its own level") {
  const Pipe pipe;
  Events events;
  sidecall_server_options options = options_with(events, 0);
  const sidecall_log_lines lines = pipe.lines(1);
  options.log = &lines;
  const std::string address = fresh_address();
  sidecall_server* const server = open_server(address, options);
  connect_and_run(address);  // causes events of level debug
  sidecall_server_close(server);
  const std::vector<std::string> written = lines_of(pipe.read_all());
  const std::vector<std::string> taken = lines_of(events.all());
  CHECK(count(written, "debug") == 0);
  CHECK(count(taken, "debug") > 0);
  for (const std::string& line : written) CHECK(count(taken, line) == 1);
}

TEST_CASE("a queue that was closed drops the events of its servers") {
  Events events;
  sidecall_server* const server = open_server(fresh_address(), options_with(events));
  events.queue.close();
  CHECK(number_of(status_of(server), "log_dropped") == 0);
  sidecall_server_close(server);
}

TEST_CASE("a server refuses a level of events that does not exist") {
  const sidecall::Model model(test_paths::model("add.onnx"));
  const Events events;
  for (const int32_t level : {-1, 4}) {
    const sidecall_server_options options = options_with(events, level);
    sidecall_server* server = nullptr;
    CHECK(sidecall_server_open(fresh_address().c_str(), model.get(), &options, &server, error()) ==
          SIDECALL_INVALID_ARGUMENT);
    CHECK(std::string(support::last().message).find("options.events_level") != std::string::npos);
  }
}

TEST_CASE("a queue from which no program takes does not block the server") {
  const std::string address = fresh_address();
  Events events;
  sidecall_server* const server = open_server(address, options_with(events, 0));
  for (int i = 0; i < 700; ++i) connect_and_run(address);  // each causes two events of level debug
  CHECK(support::eventually([&] { return number_of(status_of(server), "log_dropped") >= 300; }));
  CHECK(lines_of(events.all()).size() == 1024);
  CHECK(events.all().find("log.dropped") == std::string::npos);
  sidecall_server_close(server);
  const std::string after = events.all().substr(events.all().find("log.dropped"));
  CHECK(number_of(after, "lines") >= 300);
  CHECK(after.find("server.ended") != std::string::npos);
}

TEST_CASE("warnings are limited for each event, and one event reports how many were left out") {
  const std::string address = fresh_address();
  Events events;
  sidecall_server* const server = open_server(address, options_with(events));
  const support::Stopwatch watch;
  for (int i = 0; i < 200; ++i) send_garbage(address);
  const auto most = static_cast<size_t>(11 + watch.seconds());
  const int64_t suppressed = number_of(status_of(server), "log_suppressed");
  sidecall_server_close(server);
  const std::vector<std::string> lines = lines_of(events.all());
  const size_t logged = count(lines, R"("event":"connection.violation")");
  CHECK(logged >= 10);
  CHECK(logged <= most);
  CHECK(suppressed == 200 - static_cast<int64_t>(logged));
  const std::string report =
      R"("event":"log.suppressed","of":"connection.violation","uid":)" + std::to_string(getuid());
  CHECK(count(lines, report) >= 1);
}

TEST_CASE(
    "errors that a handler logs are limited, and the report of the suppressed ones names the "
    "user") {
  const std::string address = fresh_address();
  Events events;
  sidecall_service service{};
  service.struct_size = sizeof service;
  service.signature = support::kDouble;
  service.signature_length = std::strlen(support::kDouble);
  service.handler = [](void*, sidecall_request* request) {
    sidecall_request_log(request, 3, "object.failed", R"({"type":"ValueError"})");
    sidecall_request_log(request, 1, "object.said", "no JSON");
    sidecall_request_log(request, 1, "not an event\"}", nullptr);
    sidecall_request_log(request, 9, "no.level", nullptr);
    sidecall_request_log(request, 1, nullptr, nullptr);
    return support::double_it(request);
  };
  const sidecall_server_options options = options_with(events);
  sidecall_server* server = nullptr;
  REQUIRE(sidecall_server_open_service(address.c_str(), &service, SIDECALL_VERIFY_ERROR, &options,
                                       &server, error()) == SIDECALL_OK);
  const sidecall::Model model(address);
  sidecall::Call call(model, 1);
  const support::Stopwatch watch;
  for (int i = 0; i < 100; ++i) {
    const double x[] = {1};
    const int64_t dims[] = {1, 1};
    call.copy_input(0, sidecall::View::of<double>({x, 1}, {dims, 2}));
    call.run(5 * kSecond);
  }
  const double seconds = watch.seconds();
  sidecall_server_close(server);
  const std::vector<std::string> lines = lines_of(events.all());
  const size_t failed = count(lines, R"("event":"object.failed","type":"ValueError"})");
  CHECK(failed >= 10);
  CHECK(failed <= static_cast<size_t>(11 + seconds));
  CHECK(count(lines, R"("event":"object.said","message":"no JSON"})") == 100);
  CHECK(count(lines, "not an event") == 0);
  CHECK(count(lines, "no.level") == 0);
  CHECK(count(lines, R"("of":"object.failed","uid":)") == 1);
}
