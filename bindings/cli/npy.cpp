// The .npy format after numpy.lib.format: a magic, a header that is a Python dict of three keys, the elements.
#include "npy.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "command.hpp"

namespace sidecall::cli {
namespace {

struct TypeName {
  int32_t dtype;
  const char* numpy;
};
constexpr TypeName kTypes[] = {{SIDECALL_FLOAT16, "<f2"}, {SIDECALL_FLOAT32, "<f4"}, {SIDECALL_FLOAT64, "<f8"}, {SIDECALL_INT8, "|i1"},
                               {SIDECALL_INT16, "<i2"},   {SIDECALL_INT32, "<i4"},   {SIDECALL_INT64, "<i8"},   {SIDECALL_UINT8, "|u1"},
                               {SIDECALL_UINT16, "<u2"},  {SIDECALL_UINT32, "<u4"},  {SIDECALL_UINT64, "<u8"},  {SIDECALL_BOOL, "|b1"}};
constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kAlignment = 64;
constexpr size_t kCharacterBytes = 4;  // of an array of str

[[noreturn]] void fail(const std::string& name, const std::string& problem) { throw Failure(kBadInput, name + ": " + problem); }

uint32_t little_endian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// The text behind `'key':` in the header, up to the comma or brace that ends it.
std::string_view value_of(const std::string& name, std::string_view header, std::string_view key) {
  const std::string quoted = "'" + std::string(key) + "':";
  size_t begin = header.find(quoted);
  if (begin == std::string_view::npos) fail(name, "expected '" + std::string(key) + "' in the header, got none");
  begin = header.find_first_not_of(' ', begin + quoted.size());
  if (begin == std::string_view::npos) fail(name, "expected a value of '" + std::string(key) + "', got none");
  const char close = header[begin] == '(' ? ')' : header[begin] == '[' ? ']' : header[begin] == '\'' ? '\'' : ',';
  const size_t end = header.find(close, begin + 1);
  if (end == std::string_view::npos) fail(name, "expected a header that ends, got a part of one");
  return header.substr(begin, end - begin + (close == ',' ? 0 : 1));
}

std::vector<int64_t> parse_shape(const std::string& name, std::string_view text) {
  std::vector<int64_t> dims;
  if (text.size() < 2 || text.front() != '(' || text.back() != ')') fail(name, "expected a shape in the header, got other text");
  text = text.substr(1, text.size() - 2);
  while (!text.empty()) {
    int64_t dim = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), dim);
    if (parsed.ec != std::errc() || dim < 0) fail(name, "expected a shape of whole numbers, got other text");
    dims.push_back(dim);
    text.remove_prefix(static_cast<size_t>(parsed.ptr - text.data()));
    text.remove_prefix(std::min(text.find_first_not_of(", "), text.size()));
  }
  return dims;
}

void append_utf8(uint32_t character, std::string* out) {
  const auto add = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
  const auto add_tail = [&](unsigned shift) { add(0x80 | (character >> shift & 0x3F)); };
  if (character < 0x80) {
    add(character);
  } else if (character < 0x800) {
    add(0xC0 | character >> 6);
    add_tail(0);
  } else if (character < 0x10000) {
    add(0xE0 | character >> 12);
    add_tail(6);
    add_tail(0);
  } else {
    add(0xF0 | (character >> 18 & 0x0F));
    add_tail(12);
    add_tail(6);
    add_tail(0);
  }
}

// UTF-32 to UTF-8. What is no character stays none, so that the library refuses it.
void take_strings(std::string_view data, size_t width, Array* array) {
  array->offsets.push_back(0);
  for (size_t at = 0; at < data.size(); at += width) {
    size_t length = width;
    while (length > 0 && little_endian(data.substr(at + length - kCharacterBytes, kCharacterBytes)) == 0) length -= kCharacterBytes;
    for (size_t i = 0; i < length; i += kCharacterBytes) append_utf8(little_endian(data.substr(at + i, kCharacterBytes)), &array->data);
    array->offsets.push_back(static_cast<int64_t>(array->data.size()));
  }
}

// The code points of a UTF-8 text that the library gave.
std::u32string to_characters(std::string_view text) {
  std::u32string characters;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) != 0x80)
      characters.push_back(byte < 0x80 ? byte : byte < 0xE0 ? byte & 0x1F : byte < 0xF0 ? byte & 0x0F : byte & 0x07);
    else if (!characters.empty()) characters.back() = characters.back() << 6 | (byte & 0x3F);
  }
  return characters;
}

std::string header_of(const std::string& type, const sidecall_view& view) {
  std::string text = "{'descr': '" + type + "', 'fortran_order': False, 'shape': (";
  for (int32_t i = 0; i < view.rank; ++i) text += (i ? ", " : "") + std::to_string(view.dims[i]);
  text += view.rank == 1 ? ",), }" : "), }";
  const size_t before = kMagic.size() + 4;
  text.append((kAlignment - (before + text.size() + 1) % kAlignment) % kAlignment, ' ');
  text += '\n';
  std::string header(kMagic);
  header += {'\x01', '\x00', static_cast<char>(text.size() & 0xFF), static_cast<char>(text.size() >> 8)};
  return header + text;
}

std::string strings_to_npy(const sidecall_view& view) {
  int64_t count = 1;
  for (int32_t i = 0; i < view.rank; ++i) count *= view.dims[i];
  std::vector<std::u32string> strings;
  size_t width = 1;
  for (int64_t i = 0; i < count; ++i) {
    const auto* data = static_cast<const char*>(view.data);
    strings.push_back(to_characters({data + view.offsets[i], static_cast<size_t>(view.offsets[i + 1] - view.offsets[i])}));
    width = std::max(width, strings.back().size());
  }
  std::string bytes = header_of("<U" + std::to_string(width), view);
  for (auto& string : strings) {
    string.resize(width);
    for (const char32_t character : string) {
      for (unsigned shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<char>(character >> shift & 0xFF));
    }
  }
  return bytes;
}

}  // namespace

sidecall_view Array::view() {
  sidecall_view view = SIDECALL_VIEW_INIT;
  view.dtype = dtype;
  view.rank = static_cast<int32_t>(dims.size());
  view.dims = dims.data();
  view.data = data.data();
  view.data_bytes = data.size();
  view.offsets = offsets.empty() ? nullptr : offsets.data();
  return view;
}

Array parse_npy(const std::string& name, std::string_view bytes) {
  if (bytes.size() < 10 || bytes.substr(0, kMagic.size()) != kMagic) fail(name, "expected a .npy file, got other bytes");
  const auto major = static_cast<unsigned char>(bytes[kMagic.size()]);
  if (major < 1 || major > 3) fail(name, "expected a .npy file of format 1, 2 or 3, got format " + std::to_string(major));
  const size_t length_bytes = major == 1 ? 2 : 4;
  const size_t begin = kMagic.size() + 2 + length_bytes;
  if (bytes.size() < begin) fail(name, "expected a header, got a part of one");
  const size_t length = little_endian(bytes.substr(kMagic.size() + 2, length_bytes));
  if (bytes.size() - begin < length) fail(name, "expected a header, got a part of one");
  const std::string_view header = bytes.substr(begin, length);
  const std::string_view data = bytes.substr(begin + length);

  Array array;
  array.numpy_dtype = std::string(value_of(name, header, "descr"));
  array.numpy_dtype.erase(std::remove(array.numpy_dtype.begin(), array.numpy_dtype.end(), '\''), array.numpy_dtype.end());
  array.dims = parse_shape(name, value_of(name, header, "shape"));
  if (value_of(name, header, "fortran_order") != "False" && array.dims.size() > 1)
    fail(name, "expected elements in C order, got Fortran order (numpy.ascontiguousarray turns them)");
  const auto type =
      std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeName& known) { return array.numpy_dtype == known.numpy; });
  size_t width = 0;
  if (type != std::end(kTypes)) {
    array.dtype = type->dtype;
    width = static_cast<size_t>(sidecall_dtype_bits(type->dtype)) / 8;
  } else if (array.numpy_dtype.compare(0, 2, "<U") == 0) {
    array.dtype = SIDECALL_STRING;
    std::from_chars(array.numpy_dtype.data() + 2, array.numpy_dtype.data() + array.numpy_dtype.size(), width);
    width *= kCharacterBytes;
  } else {
    return array;
  }
  size_t expected = width;
  for (const int64_t dim : array.dims) {
    if (dim != 0 && expected > SIZE_MAX / 2 / static_cast<size_t>(dim)) fail(name, "expected a shape that memory holds, got a larger one");
    expected *= static_cast<size_t>(dim);
  }
  if (data.size() != expected)
    fail(name, "expected " + std::to_string(expected) + " bytes of elements, got " + std::to_string(data.size()));
  if (array.dtype != SIDECALL_STRING) {
    array.data = std::string(data);
  } else if (width > 0) {
    take_strings(data, width, &array);
  } else {
    int64_t count = 1;
    for (const int64_t dim : array.dims) count *= dim;
    array.offsets.assign(static_cast<size_t>(count) + 1, 0);
  }
  return array;
}

std::string to_npy(const std::string& output, const sidecall_view& view) {
  if (view.dtype == SIDECALL_STRING) return strings_to_npy(view);
  const auto type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeName& known) { return view.dtype == known.dtype; });
  if (type == std::end(kTypes))
    throw Failure(kBadModel, "output '" + output + "': expected a type that .npy has, got " + sidecall_dtype_name(view.dtype));
  return header_of(type->numpy, view).append(static_cast<const char*>(view.data), view.data_bytes);
}

}  // namespace sidecall::cli
