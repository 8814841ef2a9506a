// A method of gRPC whose client or server may send several messages. The session of HTTP/2 calls it
// whenever a message has arrived.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace sidecall::net {

// Messages to send are returned in their frames, one after the other. If a function throws, the
// stream ends with the error.
class MessageStream {
 public:
  virtual ~MessageStream() = default;
  MessageStream(const MessageStream&) = delete;
  MessageStream& operator=(const MessageStream&) = delete;

  // Takes the next message of the client. Returns the messages to send.
  virtual std::string receive(std::string_view message) = 0;
  // The client sends no more messages. Returns whether the stream is over.
  virtual bool finish() = 0;
  // Returns what is to be sent without a message of the client. Called about once a second while
  // nothing waits to be sent, and when the server ends.
  virtual std::string update() { return {}; }

 protected:
  MessageStream() = default;
};

}  // namespace sidecall::net
