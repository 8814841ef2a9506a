// Pieces of TypeScript source: literals, property names, unions, object types. Used by typescript.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sidecall::typescript {

// A string literal in single quotes. Controls, line separators and characters that change the direction of text are escaped, so that
// the source reads as it is.
std::string quoted(std::string_view text);

// `text` within a doc comment: one line that does not end it.
std::string comment_text(const std::string& text);

// Alternatives, each once, on one line where they fit; `depth` is that of a line of their own.
std::string union_of(std::vector<std::string> types, int depth);

std::string array_of(const std::string& type);

// An object type; its braces stand at `depth`.
class Members {
 public:
  explicit Members(int depth) : depth_(depth) {}
  // `about` becomes a doc comment, unless it is "".
  void add(const std::string& name, bool is_optional, const std::string& type,
           const std::string& about = "");
  std::string text() const;

 private:
  int depth_;
  std::string text_;
};

}  // namespace sidecall::typescript
