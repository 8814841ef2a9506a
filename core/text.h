// Checks of text that comes from outside.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sidecall {

bool is_utf8(std::string_view text) noexcept;

// The position of the first byte that no JSON text holds, or the length of the text: a control
// character other than tab, line feed and carriage return, or a byte that is not UTF-8. The parser
// still has to refuse these three inside strings.
size_t find_non_json(std::string_view text) noexcept;

// What is wrong with a string value, for "got ...": nullptr when nothing is. ONNX Runtime's own strings end at a NUL.
const char* string_fault(std::string_view text) noexcept;

// Control characters as JSON writes them (\n, \u0007) and a '?' for what is not UTF-8, so that a message stays one line of text
// whatever a name or path holds.
std::string printable(const std::string& text);

// A parser's words in our style: "Invalid value." becomes "invalid value".
std::string parser_words(std::string words);

// Somebody else's message as part of ours: line ends become spaces, those at the end go.
std::string one_line(std::string text);

}  // namespace sidecall
