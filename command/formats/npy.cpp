// Reads and writes the .npy format as in numpy.lib.format: a magic string, a header that is a
// Python dict with three keys, then the elements.
#include "npy.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "command.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"

namespace sidecall::cli {
namespace {

struct TypeName {
  int32_t dtype;
  const char* numpy;
};
constexpr TypeName kTypes[] = {{SIDECALL_DTYPE_FLOAT16, "<f2"}, {SIDECALL_DTYPE_FLOAT32, "<f4"},
                               {SIDECALL_DTYPE_FLOAT64, "<f8"}, {SIDECALL_DTYPE_INT8, "|i1"},
                               {SIDECALL_DTYPE_INT16, "<i2"},   {SIDECALL_DTYPE_INT32, "<i4"},
                               {SIDECALL_DTYPE_INT64, "<i8"},   {SIDECALL_DTYPE_UINT8, "|u1"},
                               {SIDECALL_DTYPE_UINT16, "<u2"},  {SIDECALL_DTYPE_UINT32, "<u4"},
                               {SIDECALL_DTYPE_UINT64, "<u8"},  {SIDECALL_DTYPE_BOOL, "|b1"}};
constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kAlignment = 64;
constexpr size_t kCharacterBytes = 4;  // in an array of str (UTF-32)
constexpr size_t kMaxBytes = SIZE_MAX / 2;
constexpr size_t kMaxHeader = size_t{1} << 16;  // NumPy itself reads at most 10 000 bytes
constexpr size_t kMaxRank = 64;                 // the limit of NumPy

[[noreturn]] void fail(const std::string& name, const std::string& problem) {
  throw Failure(kBadInput, name + ": " + problem);
}

// A file or pipe that is read sequentially. For a file, the size in the header is compared with the
// size of the file before memory is allocated; for a pipe, memory grows with the data that arrives.
class NpyFile {
 public:
  explicit NpyFile(const std::string& path) : name_(path == "-" ? "<stdin>" : path) {
    fd_ = path == "-" ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd_ == -1) fail(name_, error_text(errno));
  }
  ~NpyFile() {
    if (fd_ > STDERR_FILENO) ::close(fd_);
  }
  NpyFile(const NpyFile&) = delete;
  NpyFile& operator=(const NpyFile&) = delete;

  const std::string& name() const { return name_; }

  // Reads up to `most` bytes; fewer only at the end of the input. Allocates `first` bytes at first,
  // and more as data arrives.
  std::string read(size_t most, size_t first = kFirstPiece) {
    std::string bytes;
    size_t size = 0;
    while (size < most) {
      if (size == bytes.size()) bytes.resize(std::min(most, std::max(size * 2, first)));
      const ssize_t got = ::read(fd_, bytes.data() + size, bytes.size() - size);
      if (got == 0) break;
      if (got > 0) size += static_cast<size_t>(got);
      else if (errno == EAGAIN || errno == EWOULDBLOCK) wait_readable(fd_);
      else if (errno != EINTR) fail(name_, error_text(errno));
    }
    bytes.resize(size);
    return bytes;
  }

  // Reads the elements, which must be the rest of the input.
  std::string read_rest(size_t expected) {
    size_t first = kFirstPiece;
    struct stat about = {};
    const off_t position = ::lseek(fd_, 0, SEEK_CUR);
    if (position >= 0 && ::fstat(fd_, &about) == 0 && S_ISREG(about.st_mode)) {
      const size_t left =
          about.st_size > position ? static_cast<size_t>(about.st_size - position) : 0;
      if (left != expected) fail_size(expected, std::to_string(left));
      first = expected;
    }
    std::string bytes = read(expected, first);
    if (bytes.size() != expected) fail_size(expected, std::to_string(bytes.size()));
    if (!read(1).empty()) fail_size(expected, "more");
    return bytes;
  }

 private:
  static constexpr size_t kFirstPiece = size_t{1} << 20;

  [[noreturn]] void fail_size(size_t expected, const std::string& got) const {
    fail(name_, "expected " + std::to_string(expected) + " bytes of elements, got " + got);
  }

  std::string name_;
  int fd_ = -1;
};

uint32_t little_endian(std::string_view bytes) {
  uint32_t value = 0;
  for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
  return value;
}

// Returns the text of the value after `'key':` in the header.
std::string_view value_of(const std::string& name, std::string_view header, std::string_view key) {
  const std::string quoted = "'" + std::string(key) + "':";
  size_t begin = header.find(quoted);
  if (begin == std::string_view::npos)
    fail(name, "expected '" + std::string(key) + "' in the header, got none");
  begin = header.find_first_not_of(' ', begin + quoted.size());
  if (begin == std::string_view::npos)
    fail(name, "expected a value of '" + std::string(key) + "', got none");
  const char close = header[begin] == '('    ? ')'
                     : header[begin] == '['  ? ']'
                     : header[begin] == '\'' ? '\''
                                             : ',';
  const size_t end = header.find(close, begin + 1);
  if (end == std::string_view::npos) fail(name, "expected a complete header, got a truncated one");
  return header.substr(begin, end - begin + (close == ',' ? 0 : 1));
}

std::vector<int64_t> parse_shape(const std::string& name, std::string_view text) {
  std::vector<int64_t> dims;
  if (text.size() < 2 || text.front() != '(' || text.back() != ')')
    fail(name, "expected a shape such as (2, 3) in the header");
  text = text.substr(1, text.size() - 2);
  while (!text.empty()) {
    int64_t dim = 0;
    const auto parsed = std::from_chars(text.data(), text.data() + text.size(), dim);
    if (parsed.ec != std::errc() || dim < 0)
      fail(name, "expected a shape of whole numbers, such as (2, 3)");
    if (dims.size() == kMaxRank)
      fail(name, "expected at most " + std::to_string(kMaxRank) + " dimensions, got more");
    dims.push_back(dim);
    text.remove_prefix(static_cast<size_t>(parsed.ptr - text.data()));
    text.remove_prefix(std::min(text.find_first_not_of(", "), text.size()));
  }
  return dims;
}

// Multiplies two sizes and checks for overflow, before memory is allocated.
size_t product(const std::string& name, size_t a, size_t b) {
  size_t result = 0;
  if (__builtin_mul_overflow(a, b, &result) || result > kMaxBytes)
    fail(name, "expected an array that fits in memory, got a larger one");
  return result;
}

size_t size_of(const std::string& name, const std::vector<int64_t>& dims, size_t width) {
  size_t bytes = width;
  for (const int64_t dim : dims) bytes = product(name, bytes, static_cast<size_t>(dim));
  return bytes;
}

// Returns the 12 of "<U12". An array of type <U0 has no bytes, so the size of the file could not
// confirm the number of strings in its shape; it is refused, and NumPy never writes such a file.
size_t parse_string_width(const std::string& name, const std::string& numpy_dtype) {
  size_t width = 0;
  const char* end = numpy_dtype.data() + numpy_dtype.size();
  const auto parsed = std::from_chars(numpy_dtype.data() + 2, end, width);
  if (parsed.ec == std::errc::result_out_of_range)
    fail(name, "expected an array that fits in memory, got a larger one");
  if (parsed.ec != std::errc() || parsed.ptr != end || width == 0)
    fail(name, "expected strings of one or more characters (<U1), got " + numpy_dtype);
  return width;
}

std::string read_header(NpyFile& file) {
  const std::string& name = file.name();
  const std::string begin = file.read(kMagic.size() + 4);
  if (begin.size() < kMagic.size() + 4 || begin.compare(0, kMagic.size(), kMagic) != 0)
    fail(name, "expected a .npy file, as numpy.save writes it");
  const auto major = static_cast<unsigned char>(begin[kMagic.size()]);
  if (major < 1 || major > 3)
    fail(name, "expected a .npy file of format 1, 2 or 3, got format " + std::to_string(major));
  std::string length_bytes = begin.substr(kMagic.size() + 2);
  if (major > 1) length_bytes += file.read(2);
  if (length_bytes.size() < (major == 1 ? 2 : 4))
    fail(name, "expected a complete header, got a truncated one");
  const size_t length = little_endian(length_bytes);
  if (length > kMaxHeader)
    fail(name,
         "expected a header of at most " + std::to_string(kMaxHeader) + " bytes, got a longer one");
  std::string header = file.read(length);
  if (header.size() < length) fail(name, "expected a complete header, got a truncated one");
  return header;
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

// Converts UTF-32 to UTF-8. An invalid code point gives invalid UTF-8, so that the library refuses
// it.
void take_strings(size_t width, Array* array) {
  const std::string characters = std::move(array->data);
  const std::string_view data = characters;
  array->data.clear();
  array->offsets.push_back(0);
  for (size_t at = 0; at < data.size(); at += width) {
    size_t length = width;
    while (length > 0 &&
           little_endian(data.substr(at + length - kCharacterBytes, kCharacterBytes)) == 0)
      length -= kCharacterBytes;
    for (size_t i = 0; i < length; i += kCharacterBytes)
      append_utf8(little_endian(data.substr(at + i, kCharacterBytes)), &array->data);
    array->offsets.push_back(static_cast<int64_t>(array->data.size()));
  }
}

// Returns the code points of a UTF-8 text that comes from the library.
std::u32string to_characters(std::string_view text) {
  std::u32string characters;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte & 0xC0) != 0x80)
      characters.push_back(byte < 0x80   ? byte
                           : byte < 0xE0 ? byte & 0x1F
                           : byte < 0xF0 ? byte & 0x0F
                                         : byte & 0x07);
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
  header +=
      {'\x01', '\x00', static_cast<char>(text.size() & 0xFF), static_cast<char>(text.size() >> 8)};
  return header + text;
}

std::string strings_to_npy(const sidecall_view& view) {
  int64_t count = 1;
  for (int32_t i = 0; i < view.rank; ++i) count *= view.dims[i];
  std::vector<std::u32string> strings;
  size_t width = 1;
  for (int64_t i = 0; i < count; ++i) {
    const auto* data = static_cast<const char*>(view.data);
    strings.push_back(to_characters(
        {data + view.offsets[i], static_cast<size_t>(view.offsets[i + 1] - view.offsets[i])}));
    width = std::max(width, strings.back().size());
  }
  std::string bytes = header_of("<U" + std::to_string(width), view);
  for (auto& string : strings) {
    string.resize(width);
    for (const char32_t character : string) {
      for (unsigned shift = 0; shift < 32; shift += 8)
        bytes.push_back(static_cast<char>(character >> shift & 0xFF));
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

Array read_npy(const std::string& path) {
  NpyFile file(path);
  const std::string& name = file.name();
  const std::string header = read_header(file);
  Array array;
  array.numpy_dtype = std::string(value_of(name, header, "descr"));
  array.numpy_dtype.erase(std::remove(array.numpy_dtype.begin(), array.numpy_dtype.end(), '\''),
                          array.numpy_dtype.end());
  array.dims = parse_shape(name, value_of(name, header, "shape"));
  if (value_of(name, header, "fortran_order") != "False" && array.dims.size() > 1)
    fail(name,
         "expected elements in C order, got Fortran order (numpy.ascontiguousarray converts it)");
  const auto type = std::find_if(std::begin(kTypes), std::end(kTypes), [&](const TypeName& known) {
    return array.numpy_dtype == known.numpy;
  });
  size_t width = 0;
  if (type != std::end(kTypes)) {
    array.dtype = type->dtype;
    width = static_cast<size_t>(sidecall_dtype_bits(type->dtype)) / 8;
  } else if (array.numpy_dtype.compare(0, 2, "<U") == 0) {
    array.dtype = SIDECALL_DTYPE_STRING;
    width = product(name, parse_string_width(name, array.numpy_dtype), kCharacterBytes);
  } else {
    return array;
  }
  array.data = file.read_rest(size_of(name, array.dims, width));
  if (array.dtype == SIDECALL_DTYPE_STRING) take_strings(width, &array);
  return array;
}

std::string to_npy(const std::string& output, const sidecall_view& view) {
  if (view.dtype == SIDECALL_DTYPE_STRING) return strings_to_npy(view);
  const auto type = std::find_if(std::begin(kTypes), std::end(kTypes),
                                 [&](const TypeName& known) { return view.dtype == known.dtype; });
  if (type == std::end(kTypes))
    throw Failure(kBadModel, "output '" + output + "': expected a type that .npy files have, got " +
                                 sidecall_dtype_name(view.dtype));
  return header_of(type->numpy, view).append(static_cast<const char*>(view.data), view.data_bytes);
}

}  // namespace sidecall::cli
