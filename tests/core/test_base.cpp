// Tests of base/, which every layer uses.
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <string>

#include "base/dtype.h"
#include "base/json/json_memory.h"
#include "base/json/json_text.h"
#include "base/process/socket_folder.h"
#include "base/text/media_type.h"
#include "base/text/number.h"
#include "base/text/utf8.h"

using namespace sidecall;
using Kind = Number::Kind;

TEST_CASE("only UTF-8 as RFC 3629 defines it is accepted, at every position of a text") {
  const std::string good[] = {"",
                              "a",
                              "\xc2\x80",
                              "\xdf\xbf",
                              "\xe0\xa0\x80",
                              "\xed\x9f\xbf",
                              "\xee\x80\x80",
                              "\xf0\x90\x80\x80",
                              "\xf4\x8f\xbf\xbf"};
  const std::string bad[] = {"\x80",              // no lead byte
                             "\xc1\xbf",          // overlong
                             "\xe0\x9f\xbf",      // overlong
                             "\xf0\x8f\xbf\xbf",  // overlong
                             "\xed\xa0\x80",      // a surrogate
                             "\xf4\x90\x80\x80",  // above U+10FFFF
                             "\xf5\x80\x80\x80",
                             "\xff",
                             "\xc3",  // cut off
                             "\xe2\x82",
                             "\xf0\x9f\x98",
                             "\xe2\x28\xa1"};
  for (size_t before = 0; before < 80; ++before) {
    const std::string start(before, 'x');
    for (const std::string& text : good) {
      const std::string whole = start + text + "end";
      CHECK(utf8_length(whole) == whole.size());
      CHECK(is_utf8_without_nul(whole));
    }
    for (const std::string& text : bad) {
      CHECK(utf8_length(start + text) == before);
      CHECK_FALSE(is_utf8(start + text + "end"));
    }
  }
  CHECK(is_utf8(std::string_view("a\0b", 3)));
  CHECK_FALSE(is_utf8_without_nul(std::string_view("a\0b", 3)));
}

TEST_CASE("the next double is that of the C library") {
  const double infinity = std::numeric_limits<double>::infinity();
  const double largest = std::numeric_limits<double>::max();
  for (const double number :
       {0.0, -0.0, 1.0, -1.0, 0.1, 5e-324, -5e-324, 2.2250738585072014e-308, largest, -largest}) {
    CHECK(next_above(number) == std::nextafter(number, infinity));
    CHECK(next_below(number) == std::nextafter(number, -infinity));
  }
}

TEST_CASE("a text is cut between characters") {
  const std::string text = "a\xc3\xa9\xe2\x82\xac";  // 1, 2 and 3 bytes
  const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6};
  for (size_t limit = 0; limit < 8; ++limit) CHECK(cut_length(text, limit) == expected[limit]);
  CHECK(count_characters(text) == 3);
  CHECK(cut_length("\x80\x80\x80", 2) == 0);
}

TEST_CASE("JSON strings escape quotes, backslashes and control characters only") {
  std::string out = "x";
  append_json_string(std::string_view("\"\\/\n\x1f\0\x7f\xc3\xa9", 9), &out);
  CHECK(out == "x\"\\\"\\\\/\\u000a\\u001f\\u0000\x7f\xc3\xa9\"");
  out.clear();
  append_unicode_escape(0xfeff, &out);
  CHECK(out == "\\ufeff");
}

TEST_CASE("numbers are written with as many digits as they need") {
  CHECK(number_text(0.1) == "0.1");
  CHECK(number_text(-0.0) == "-0");
  CHECK(number_text(1e22) == "1e+22");
  CHECK(number_text(std::numeric_limits<double>::denorm_min()) == "5e-324");
  CHECK(number_text(-std::numeric_limits<double>::max()) == "-1.7976931348623157e+308");
}

TEST_CASE("a text is read as an integer, a double, a number that is too large, or no number") {
  const auto check = [](const char* text, Kind kind, int64_t integer, double real) {
    const Number number = read_number(text);
    INFO(text);
    CHECK(number.kind == kind);
    CHECK(number.integer == integer);
    CHECK(number.real == real);
    CHECK(std::signbit(number.real) == std::signbit(real));
  };
  check("0", Kind::kInteger, 0, 0);
  check("-9223372036854775808", Kind::kInteger, INT64_MIN, 0);
  check("9223372036854775808", Kind::kReal, 0, 9223372036854775808.0);
  check("-17.99", Kind::kReal, 0, -17.99);
  check("1e2", Kind::kReal, 0, 100);
  const std::string zeroes(400, '0');
  for (const char* text : {"1e309", "-1e+309", "0.01e400", "1e99999999999999999999"})
    check(text, Kind::kTooLarge, 0, 0);
  check(("1" + zeroes).c_str(), Kind::kTooLarge, 0, 0);
  for (const char* text : {"1e-400", "100e-400", "1e-99999999999999999999"})
    check(text, Kind::kReal, 0, 0.0);
  check(("-0." + zeroes + "1").c_str(), Kind::kReal, 0, -0.0);
  for (const char* text : {"", "-", "1e", "1 ", " 1", "+1", "1,5", "one"})
    check(text, Kind::kNone, 0, 0);
}

TEST_CASE("each element type has one number, one name and one size") {
  for (int32_t dtype = -3; dtype < 40; ++dtype) {
    CHECK(is_dtype(dtype) == (std::string(dtype_name(dtype)) != "unknown"));
    if (is_dtype(dtype)) CHECK(dtype_from_name(dtype_name(dtype)) == dtype);
    else CHECK(dtype_bits(dtype) == 0);
  }
  CHECK(dtype_from_name("unknown") == 0);
  CHECK(dtype_from_name("") == 0);
  CHECK(dtype_bits(SIDECALL_DTYPE_STRING) == 0);
  CHECK(dtype_bits(SIDECALL_DTYPE_INT4) == 4);
}

TEST_CASE("the folder for sockets must belong to the user, and only the user may write to it") {
  std::string folder = "/tmp/sidecall-test-" + std::string(6, 'X');
  REQUIRE(::mkdtemp(folder.data()) != nullptr);
  const auto fault_with = [&](mode_t mode) {
    REQUIRE(::chmod(folder.c_str(), mode) == 0);
    int error_number = -1;
    const char* fault = socket_folder_fault(folder, &error_number);
    CHECK(error_number == 0);
    return fault != nullptr;
  };
  CHECK_FALSE(fault_with(0700));
  CHECK_FALSE(fault_with(0755));
  CHECK(fault_with(0770));
  CHECK(fault_with(0702));
  REQUIRE(::rmdir(folder.c_str()) == 0);
  int error_number = 0;
  CHECK(socket_folder_fault(folder, &error_number) == nullptr);
  CHECK(error_number == ENOENT);
  CHECK(socket_folder_fault("/dev/null", &error_number) != nullptr);
  CHECK(error_number == 0);
}

TEST_CASE("media types are compared without case, spaces around them and parameters") {
  for (const char* same : {"application/json", "Application/JSON", "application/json;charset=utf-8",
                           "application/json ; charset=utf-8", "\tapplication/json "})
    CHECK(is_media_type(same, "application/json"));
  for (const char* other : {"", ";", "application/jso", "application/json5", "application /json",
                            "text/plain; application/json", "application/json, text/plain"})
    CHECK_FALSE(is_media_type(other, "application/json"));
  for (const char* none : {"", "  ", "; charset=utf-8"}) CHECK(is_media_type(none, ""));
  CHECK_FALSE(is_media_type("a", ""));
}

TEST_CASE("the memory for JSON depends on its values, not on the characters in its strings") {
  const uint64_t one = memory_for_json("0");
  CHECK(memory_for_json(R"("a,b:[{")") == one);
  CHECK(memory_for_json(R"("\"[[[")") == one);
  CHECK(memory_for_json(R"("\\",0)") > one);
  CHECK(memory_for_json(R"("[[[)") == one);  // no end
  std::string flat = "[0", nested = "[[[0]]", levels;
  for (int i = 0; i < 999; ++i) {
    flat += ",0";
    nested += ",[[0]]";
  }
  // A number takes 48 bytes, and a list around it 16 more.
  CHECK(memory_for_json(flat + "]") >= UINT64_C(48) * 1000);
  CHECK(memory_for_json(flat + "]") < UINT64_C(48) * 1000 + 200);
  CHECK(memory_for_json(nested + "]") >= UINT64_C(80) * 1000);
  CHECK(memory_for_json(nested + "]") < UINT64_C(80) * 1000 + 400);
  // Lists that are open at the same time take more.
  CHECK(memory_for_json(std::string(1000, '[')) >= UINT64_C(80) * 1000);
}
