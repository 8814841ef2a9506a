// The parts that both ends share: descriptors, messages, addresses, memory files, tables and
// strings.
#include <sidecall/sidecall.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <catch2/catch_test_macros.hpp>

#include "base/dtype.h"
#include "raw_server.h"
#include "shm/common/mapping_registry.h"

using namespace raw;

namespace {

// Sets an environment variable for one test.
class Variable {
 public:
  Variable(const char* name, const std::string& value)
      : name_(name), before_(getenv(name) ? getenv(name) : "") {
    setenv(name, value.c_str(), 1);
  }
  ~Variable() { before_.empty() ? unsetenv(name_) : setenv(name_, before_.c_str(), 1); }

 private:
  const char* name_;
  std::string before_;
};

bool throws_invalid(const std::string& address) {
  bool is_default;
  return status_of([&] { socket_path(address, &is_default); }) == SIDECALL_INVALID_ARGUMENT;
}

struct Strings {
  std::vector<int64_t> offsets;
  std::string bytes;
};

// Writes a string tensor unchecked into a slot and reads it back.
int32_t read_back(const Strings& strings, int64_t elements, Strings* got, bool is_text = true) {
  std::vector<unsigned char> slot(1024);
  Tensor tensor;
  tensor.dtype = SIDECALL_DTYPE_STRING;
  tensor.elements = elements;
  tensor.offset = 64;
  tensor.bytes = strings.offsets.size() * 8 + strings.bytes.size();
  std::memcpy(slot.data() + 64, strings.offsets.data(), strings.offsets.size() * 8);
  if (!strings.bytes.empty())
    std::memcpy(slot.data() + 64 + strings.offsets.size() * 8, strings.bytes.data(),
                strings.bytes.size());
  return status_of([&] {
    read_strings(slot.data(), tensor, "output", "y", &got->offsets, &got->bytes, is_text);
  });
}

}  // namespace

TEST_CASE("a finite deadline passes, and the infinite one never does") {
  CHECK(Deadline::never().left_ns() == INT64_MAX);
  CHECK(Deadline::after(-1).is_never());
  CHECK(Deadline::after(INT64_MAX).is_never());
  CHECK(Deadline::after(0).passed());
  CHECK(!Deadline::after(kSecond).passed());
  CHECK(Deadline::earlier(Deadline::never(), Deadline::after(0)).passed());
  const Deadline soon = Deadline::after(2 * kMillisecond);
  sleep_until(soon);
  CHECK(soon.passed());
}

TEST_CASE("descriptors are closed exactly once and are close-on-exec") {
  const int before = count_descriptors();
  {
    Socket one, other;
    Socket::pair(&one, &other);
    CHECK((fcntl(one.fd(), F_GETFD) & FD_CLOEXEC) != 0);
    Fd moved = one.take();
    CHECK(!one);
    Fd again = std::move(moved);
    CHECK(!moved);
    CHECK(again.get() >= 0);
    again = Fd();
  }
  CHECK(count_descriptors() == before);
}

TEST_CASE(
    "messages keep their boundaries and descriptors, and the end of a connection is reported") {
  Socket one, other;
  Socket::pair(&one, &other);
  char buffer[8];
  CHECK(other.receive(buffer, sizeof buffer).kind == Received::kNothing);
  CHECK(other.receive(buffer, sizeof buffer, Deadline::after(kMillisecond)).kind ==
        Received::kNothing);
  CHECK(other.receive_soon(buffer, sizeof buffer).kind == Received::kNothing);
  const int zero = 0;
  CHECK(one.send("abc", 3, &zero, 1) == Sent::kDone);
  CHECK(one.ring());
  {
    const Received received = other.receive_soon(buffer, sizeof buffer);
    CHECK(received.kind == Received::kMessage);
    CHECK(received.bytes == 3);
    CHECK(received.num_fds == 1);
    CHECK((fcntl(received.fds[0].get(), F_GETFD) & FD_CLOEXEC) != 0);
    CHECK(!received.is_cut);
  }
  CHECK(other.receive(buffer, sizeof buffer).bytes == 1);
  CHECK(one.send("more than fits", 14) == Sent::kDone);
  CHECK(other.receive(buffer, sizeof buffer).is_cut);
  int sent = 0;
  while (one.send("x", 1) == Sent::kDone) ++sent;
  CHECK(one.send("x", 1) == Sent::kFull);
  CHECK(one.ring());  // the wake-up is dropped, which is fine
  CHECK(!other.is_hung_up());
  one.close();
  CHECK(other.is_hung_up());
  for (int i = 0; i < sent; ++i)
    CHECK(other.receive(buffer, sizeof buffer).kind == Received::kMessage);
  CHECK(other.receive(buffer, sizeof buffer).kind == Received::kEnd);
  CHECK(other.send("x", 1) == Sent::kGone);  // raises no SIGPIPE
  CHECK(!other.ring());
}

TEST_CASE("addresses are converted to socket paths") {
  bool is_default;
  const Variable runtime("XDG_RUNTIME_DIR", "/run/test");
  CHECK(socket_path("fraud", &is_default) == "/run/test/sidecall/fraud.sock");
  CHECK(is_default);
  CHECK(socket_path("///run/app/fraud.sock", &is_default) == "/run/app/fraud.sock");
  CHECK(!is_default);
  CHECK(socket_path("/run/app/a%20b%2Fc.sock", &is_default) == "/run/app/a b/c.sock");
  for (const char* wrong :
       {"", ".hidden", "a/b", "a b", "//host/path", "/a%", "/a%2", "/a%zz", "/a%00b", "%2Ftmp"})
    CHECK(throws_invalid(wrong));
  CHECK(throws_invalid(std::string(65, 'a')));
  CHECK(!throws_invalid(std::string(64, 'a')));
  CHECK(throws_invalid("/" + std::string(107, 'a')));
  CHECK(!throws_invalid("/" + std::string(106, 'a')));
}

TEST_CASE("the default folder must be one that only this user may change") {
  const Folder folder;
  const std::string inside = folder.path() + "/sidecall", socket = inside + "/x.sock";
  CHECK(!check_default_folder(socket, false));
  CHECK(check_default_folder(socket, true));
  CHECK(check_default_folder(socket, true));
  struct stat made{};
  REQUIRE(stat(inside.c_str(), &made) == 0);
  CHECK((made.st_mode & 0777) == 0700);
  REQUIRE(chmod(inside.c_str(), 0770) == 0);
  CHECK(status_of([&] { check_default_folder(socket, false); }) == SIDECALL_DENIED);
  REQUIRE(rmdir(inside.c_str()) == 0);
  REQUIRE(symlink(folder.path().c_str(), inside.c_str()) == 0);
  CHECK(status_of([&] { check_default_folder(socket, true); }) == SIDECALL_DENIED);
  CHECK(status_of([&] { check_default_folder("/usr/x.sock", false); }) ==
        (geteuid() == 0 ? SIDECALL_OK : SIDECALL_DENIED));
  CHECK(status_of([&] { check_default_folder(folder.path() + "/none/sidecall/x.sock", true); }) ==
        SIDECALL_UNREACHABLE);
}

TEST_CASE("each kind of segment has its required seals") {
  const Segment request = make_request_segment(kPage);
  const Segment response = make_response_segment(kPage);
  CHECK_NOTHROW(check_file(request.file.get(), Kind::kRequest, kPage));
  CHECK_NOTHROW(check_file(response.file.get(), Kind::kResponse, kPage));
  CHECK(status_of([&] { check_file(request.file.get(), Kind::kResponse, kPage); }) ==
        SIDECALL_PROTOCOL);
  CHECK(status_of([&] { check_file(response.file.get(), Kind::kSealed, kPage); }) ==
        SIDECALL_PROTOCOL);
  CHECK(status_of([&] { check_file(request.file.get(), Kind::kRequest, kPage + 1); }) ==
        SIDECALL_PROTOCOL);
  for (const Segment* segment : {&request, &response}) {
    CHECK(ftruncate(segment->file.get(), 0) != 0);
    CHECK(ftruncate(segment->file.get(), 2 * kPage) != 0);
    CHECK(fcntl(segment->file.get(), F_ADD_SEALS, F_SEAL_WRITE) != 0);
  }
  if (!mapping_registry::kIsUsed)
    CHECK(status_of([&] { Mapping::of(response.file.get(), kPage, true); }) == SIDECALL_PROTOCOL);
  response.memory.data()[5] = 9;
  CHECK(Mapping::of(response.file.get(), kPage, false).data()[5] == 9);
  CHECK(status_of([] { make_file(UINT64_MAX); }) == SIDECALL_OUT_OF_MEMORY);
}

TEST_CASE("a mapping is replaced at its address") {
  Segment one = make_file(2 * kPage);
  const Segment other = make_file(2 * kPage);
  Mapping view = Mapping::of(one.file.get(), 2 * kPage, true);
  unsigned char* address = view.data();
  address[kPage] = 1;
  other.memory.data()[kPage] = 2;
  view.replace(Mapping::of(other.file.get(), 2 * kPage, true));
  CHECK(view.data()[kPage] == 2);
  if (mapping_registry::kIsUsed) return;
  CHECK(view.data() == address);
  CHECK(one.memory.data()[kPage] == 1);
  CHECK(status_of([&] { view.replace(Mapping::of(other.file.get(), kPage, true)); }) ==
        SIDECALL_INTERNAL);
  view.replace_by_zeroes();
  CHECK(address[kPage] == 0);
  address[kPage] = 3;
  CHECK(other.memory.data()[kPage] == 2);
}

TEST_CASE("a sealed file is read completely") {
  const Fd file = make_sealed_file("one, ", "two, ", "three");
  CHECK(read_sealed_file(file.get(), 15, 100) == "one, two, three");
  CHECK(status_of([&] { read_sealed_file(file.get(), 15, 14); }) == SIDECALL_PROTOCOL);
  CHECK(status_of([&] { read_sealed_file(file.get(), 14, 100); }) == SIDECALL_PROTOCOL);
  Segment segment = make_file(3);
  std::memcpy(segment.memory.data(), "abc", 3);
  CHECK(status_of([&] { read_sealed_file(segment.file.get(), 3, 3); }) == SIDECALL_PROTOCOL);
  CHECK(read_sealed_file(seal_file(std::move(segment)).get(), 3, 3) == "abc");
}

TEST_CASE("types have the sizes of the public header") {
  for (int32_t dtype = -2; dtype < 40; ++dtype) {
    CHECK(sidecall::dtype_bits(dtype) == sidecall_dtype_bits(dtype));
    CHECK(sidecall::is_dtype(dtype) == (std::string(sidecall_dtype_name(dtype)) != "unknown"));
  }
  uint64_t bytes = 0;
  CHECK(count_bytes(SIDECALL_DTYPE_INT4, 5, &bytes));
  CHECK(bytes == 3);
  CHECK(count_bytes(SIDECALL_DTYPE_FLOAT64, 3, &bytes));
  CHECK(bytes == 24);
  CHECK(!count_bytes(SIDECALL_DTYPE_STRING, 1, &bytes));
  CHECK(!count_bytes(SIDECALL_DTYPE_FLOAT64, INT64_MAX, &bytes));
  int64_t elements = 0;
  const int64_t huge[] = {INT64_MAX, 2}, none[] = {INT64_MAX, 0, 1}, negative[] = {0, -1};
  CHECK(!count_elements(huge, 2, &elements));
  CHECK(count_elements(none, 3, &elements));
  CHECK(elements == 0);
  CHECK(!count_elements(negative, 2, &elements));
  CHECK(count_elements(huge, 0, &elements));
  CHECK(elements == 1);
}

TEST_CASE("tables of both sides are read back as they were written") {
  const std::vector<TensorSpec> specs = {{"a", SIDECALL_DTYPE_FLOAT32, {-1, 3}},
                                         {"b", SIDECALL_DTYPE_STRING, {-1}},
                                         {"c", SIDECALL_DTYPE_INT64, {}}};
  std::vector<Tensor> tensors(3);
  for (size_t i = 0; i < 3; ++i) {
    tensors[i].dtype = specs[i].dtype;
    tensors[i].rank = static_cast<uint32_t>(specs[i].dims.size());
  }
  tensors[0].dims[0] = tensors[1].dims[0] = 2;
  tensors[0].dims[1] = 3;
  tensors[0].bytes = 24;
  tensors[1].bytes = string_bytes(2, 3);
  tensors[2].bytes = 8;
  const uint64_t size = place(&tensors);
  CHECK(tensors[0].offset == 512);
  CHECK(size == 512 + 3 * 64);
  std::vector<unsigned char> slot(size);
  for (size_t i = 0; i < 3; ++i) write_entry(slot.data(), i, tensors[i]);
  std::vector<Tensor> got;
  read_table(slot.data(), size, specs, "input", &got);
  CHECK(got[0].elements == 6);
  CHECK(got[1].elements == 2);
  CHECK(got[2].elements == 1);
  CHECK_NOTHROW(check_rows(specs, got));
  got[1].dims[0] = 1;
  CHECK(status_of([&] { check_rows(specs, got); }) == SIDECALL_PROTOCOL);
  CHECK(status_of([&] { read_table(slot.data(), size - 64, specs, "input", &got); }) ==
        SIDECALL_PROTOCOL);
  CHECK(status_of([&] { read_table(slot.data(), 479, specs, "input", &got); }) ==
        SIDECALL_PROTOCOL);
  tensors[1].bytes = 23;  // the offsets of 2 strings alone take 24 bytes
  write_entry(slot.data(), 1, tensors[1]);
  CHECK(status_of([&] { read_table(slot.data(), size, specs, "input", &got); }) ==
        SIDECALL_PROTOCOL);
}

TEST_CASE("string tensors are copied and checked") {
  Strings got;
  CHECK(read_back({{0, 3, 3, 5}, "abc\xc3\xa9"}, 3, &got) == SIDECALL_OK);
  CHECK(got.offsets == std::vector<int64_t>{0, 3, 3, 5});
  CHECK(got.bytes == "abc\xc3\xa9");
  CHECK(read_back({{0}, ""}, 0, &got) == SIDECALL_OK);
  const std::vector<Strings> wrong = {
      {{1, 3}, "abc"},         {{0, 2}, "abc"},       {{0, 4}, "abc"},
      {{0, -1, 3}, "abc"},     {{0, 3, 2, 3}, "abc"}, {{0, INT64_MAX, 3}, "abc"},
      {{0, 1, 2}, "\xc3\xa9"}, {{0, 1}, "\xff"},      {{0, 3}, std::string("a\0b", 3)},
  };
  for (const Strings& strings : wrong)
    CHECK(read_back(strings, static_cast<int64_t>(strings.offsets.size()) - 1, &got) ==
          SIDECALL_PROTOCOL);
  std::vector<unsigned char> out(string_bytes(2, 3));
  const int64_t offsets[] = {0, 1, 3};
  write_strings(out.data(), offsets, 2, "abc");
  CHECK(std::memcmp(out.data(), offsets, sizeof offsets) == 0);
  CHECK(std::memcmp(out.data() + sizeof offsets, "abc", 3) == 0);
}

TEST_CASE("strings of an answer can be any bytes within their offsets") {
  Strings got;
  CHECK(read_back({{0, 1, 3}, "\xff\xc3\xa4"}, 2, &got) == SIDECALL_PROTOCOL);
  CHECK(read_back({{0, 1, 3}, "\xff\xc3\xa4"}, 2, &got, false) == 0);
  CHECK(got.bytes == "\xff\xc3\xa4");
  CHECK(read_back({{0, 2, 3}, std::string("a\0b", 3)}, 2, &got, false) == 0);
  CHECK(read_back({{0, 2, 1}, "a"}, 2, &got, false) == SIDECALL_PROTOCOL);
  CHECK(read_back({{0, 1, 9}, "abc"}, 2, &got, false) == SIDECALL_PROTOCOL);
}
