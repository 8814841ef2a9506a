// Fuzzes the fields of a CSV row.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "command/formats/csv.hpp"
#include "tests/fuzz/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace cli = sidecall::cli;
  const char* const begin = reinterpret_cast<const char*>(data);
  const char* const end = begin + size;
  const char* at = begin;
  std::string memory;
  while (at < end) {
    const char* const before = at;
    cli::CsvField field;
    if (!cli::next_field(at, end, &field)) return 0;
    fuzz::require(field.raw.data() == before && field.raw.data() + field.raw.size() == at,
                  "a field that ends where the next one begins");
    fuzz::require(at == end || *at == ',', "a comma or the end behind a field");
    const std::string_view value = cli::unquoted(field, &memory);
    fuzz::require(value.size() <= field.raw.size(), "a value that is not longer than the field");
    if (!field.is_quoted)
      fuzz::require(value == field.raw && value.find(',') == std::string_view::npos,
                    "an unquoted field as it is");
    if (at < end) ++at;
  }
  return 0;
}
