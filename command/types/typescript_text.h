// Writes pieces of TypeScript source: literals, property names, unions, object types. Used by
// typescript.cpp.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace sidecall::typescript {

// A string literal in single quotes. Control characters, line separators and characters that change
// the direction of text are escaped, so that the source means what an editor displays.
std::string quoted(std::string_view text);

// `text` as one line for a doc comment, changed so that it cannot end the comment.
std::string comment_text(const std::string& text);

// A union of the types without duplicates. It is on one line if it fits; otherwise each type is on
// a line of its own, indented to `depth`.
std::string union_of(std::vector<std::string> types, int depth);

std::string array_of(const std::string& type);

// An object type. Its closing brace is indented to `depth`.
class Members {
 public:
  explicit Members(int depth) : depth_(depth) {}
  // `about` becomes a doc comment unless it is empty.
  void add(const std::string& name, bool is_optional, const std::string& type,
           const std::string& about = "");
  void add_readonly(const std::string& name, const std::string& type);
  std::string text() const;

 private:
  int depth_;
  std::string text_;
};

}  // namespace sidecall::typescript
