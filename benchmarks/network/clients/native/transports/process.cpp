// Commands that read a line and write a line: one process per call (`process`), or one process that
// stays open (`stream`).
#include <stdexcept>

#include "child.h"
#include "transport.h"

namespace bench {
namespace {

using Words = std::vector<std::string>;

Words command_of(const Opening& opening) {
  if (!opening.has("command") || !opening.at["command"].IsArray() || opening.at["command"].Empty())
    throw std::runtime_error("at.command: expected a list of words");
  Words words;
  for (const auto& word : opening.at["command"].GetArray()) words.emplace_back(word.GetString());
  return words;
}

class Process : public Transport {
 public:
  explicit Process(const Words& command) : command_(command) {}

  // Includes the end of the process, because a caller of a command waits for its end.
  void call(const std::string& request, std::string& response) override {
    Child child(command_);
    child.write(request + "\n");
    child.close_input();
    if (!child.read_line(response))
      throw std::runtime_error("process: expected a line, got " + response);
    std::string more;
    while (child.read_line(more)) {
    }
    child.wait();
  }

 private:
  const Words& command_;
};

class Stream : public Transport {
 public:
  explicit Stream(const Words& command) : child_(command) {}

  void call(const std::string& request, std::string& response) override {
    child_.write(request + "\n");
    if (!child_.read_line(response)) throw std::runtime_error("stream: the command has ended");
  }

 private:
  Child child_;
};

template <class Kind>
class CommandConnector : public Connector {
 public:
  explicit CommandConnector(const Opening& opening) : command_(command_of(opening)) {}
  std::unique_ptr<Transport> connect() override { return std::make_unique<Kind>(command_); }

 private:
  Words command_;
};

template <class Kind>
std::unique_ptr<Connector> open_command(const Opening& opening) {
  return std::make_unique<CommandConnector<Kind>>(opening);
}

const RegisterTransport kProcess("process", open_command<Process>);
const RegisterTransport kStream("stream", open_command<Stream>);

}  // namespace
}  // namespace bench
