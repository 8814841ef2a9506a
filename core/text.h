// Checks and cleans text that comes from outside.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace sidecall {

// The position of the first byte that cannot occur in JSON text, or the length of the text if there
// is none. Such a byte is a control character below 0x20 other than tab, line feed and carriage
// return, or is not UTF-8. JSON allows tab, line feed and carriage return only outside strings; the
// parser must check that.
size_t find_non_json(std::string_view text) noexcept;

// What is wrong with a string value, as the text after "got" in a message; nullptr if nothing is
// wrong. NULs are refused because ONNX Runtime's own strings end at a NUL.
const char* string_fault(std::string_view text) noexcept;

// Whether a text is a number and nothing else: see read_number(), but neither NaN nor infinity.
bool is_number(std::string_view text) noexcept;

// Writes control characters as JSON does (\n, \u0007), and "?" for bytes that are not UTF-8. So a
// message stays one line of text, whatever a name or path contains.
std::string printable(const std::string& text);

// Prepares the message of another library for use inside one of our messages: line ends become
// spaces, and line ends and spaces at the end of the message are removed.
std::string one_line(std::string text);

}  // namespace sidecall
