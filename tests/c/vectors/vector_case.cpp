// Reads tests/vectors/cases/*.json; see tests/vectors/README.md for the keys.
#include "vector_case.h"

#include <rapidjson/error/en.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>
#include <sidecall/sidecall.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <set>
#include <stdexcept>

namespace vectors {
namespace {

using rapidjson::Value;

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error("vectors: " + what); }

std::string text_of(const Value& value) { return {value.GetString(), value.GetStringLength()}; }

int32_t dtype_of(const std::string& name) {
  for (int32_t dtype = 1; dtype <= SIDECALL_DTYPE_INT4; ++dtype) {
    if (name == sidecall_dtype_name(dtype)) return dtype;
  }
  fail("unknown dtype " + name);
}

std::string from_hex(const std::string& hex) {
  std::string out;
  for (size_t i = 0; i + 1 < hex.size(); i += 2)
    out.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  return out;
}

std::string bytes_of(const Value& value) {
  return value.IsObject() ? from_hex(text_of(value["hex"])) : text_of(value);
}

double number_of(const Value& value) {
  if (!value.IsString()) return value.GetDouble();
  const std::string text = text_of(value);
  if (text == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (text == "inf") return std::numeric_limits<double>::infinity();
  if (text == "-inf") return -std::numeric_limits<double>::infinity();
  fail("not a number: " + text);
}

template <typename T>
void append(T value, std::vector<unsigned char>* out) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(&value);
  out->insert(out->end(), bytes, bytes + sizeof value);
}

void append_element(const Value& value, int32_t dtype, Tensor* out) {
  switch (dtype) {
    case SIDECALL_DTYPE_FLOAT32:
      return append(static_cast<float>(number_of(value)), &out->bytes);
    case SIDECALL_DTYPE_FLOAT64:
      return append(number_of(value), &out->bytes);
    case SIDECALL_DTYPE_BOOL:
      return append(static_cast<uint8_t>(value.GetBool() ? 1 : 0), &out->bytes);
    case SIDECALL_DTYPE_INT64:
      return append(value.GetInt64(), &out->bytes);
    case SIDECALL_DTYPE_UINT64:
      return append(value.GetUint64(), &out->bytes);
    case SIDECALL_DTYPE_STRING: {
      const std::string text = bytes_of(value);
      out->bytes.insert(out->bytes.end(), text.begin(), text.end());
      out->offsets.push_back(static_cast<int64_t>(out->bytes.size()));
      return;
    }
    default:
      break;
  }
  // Integers of other widths, and raw types given by their bits, are stored as the low bytes of a
  // little-endian 64-bit number.
  const int64_t number = value.GetInt64();
  const auto* bytes = reinterpret_cast<const unsigned char*>(&number);
  out->bytes.insert(out->bytes.end(), bytes, bytes + std::max(1, sidecall_dtype_bits(dtype) / 8));
}

Tensor tensor_of(const Value& value) {
  Tensor out;
  out.dtype = dtype_of(text_of(value["dtype"]));
  for (const Value& dim : value["shape"].GetArray()) out.dims.push_back(dim.GetInt64());
  if (out.dtype == SIDECALL_DTYPE_STRING) out.offsets.push_back(0);
  for (const Value& element : value["data"].GetArray()) append_element(element, out.dtype, &out);
  return out;
}

Named tensors_of(const Value& value) {
  Named out;
  for (const auto& member : value.GetObject())
    out.emplace_back(text_of(member.name), tensor_of(member.value));
  return out;
}

std::string json_of(const Value& value) {
  rapidjson::StringBuffer buffer;
  rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
  value.Accept(writer);
  return {buffer.GetString(), buffer.GetSize()};
}

void read_open(const Value& value, const std::string& models, Case* out) {
  for (const auto& member : value.GetObject()) {
    const std::string key = text_of(member.name), word = text_of(member.value);
    if (key == "as" && word == "bytes") {
      out->as_bytes = true;
    } else if (key == "uri") {
      out->uri = word;
      const size_t at = word.find("$MODELS");
      if (at != std::string::npos) out->uri.replace(at, 7, models);
    } else if (key == "verify" && (word == "warn" || word == "off" || word == "error")) {
      out->verify = word == "warn"  ? SIDECALL_VERIFY_WARN
                    : word == "off" ? SIDECALL_VERIFY_OFF
                                    : SIDECALL_VERIFY_ERROR;
    } else if (key == "extra" && word == "ignore") {
      out->extra = SIDECALL_EXTRA_IGNORE;
    } else {
      fail(out->name + ": unknown open." + key + " = " + word);
    }
  }
}

void read_expected(const Value& value, Case* out) {
  for (const auto& member : value.GetObject()) {
    const std::string key = text_of(member.name);
    if (key == "row") out->expect_error.row = member.value.GetInt64();
    else if (key == "num_faults") out->expect_error.num_faults = member.value.GetInt64();
    else if (key == "name") out->expect_error.name = text_of(member.value);
    else if (key == "expected") out->expect_error.expected = text_of(member.value);
    else if (key == "got") out->expect_error.got = text_of(member.value);
    else if (key == "message") out->expect_error.message = text_of(member.value);
    else fail(out->name + ": unknown expect_error." + key);
  }
}

Case case_of(const Value& value, const std::string& models) {
  Case out;
  out.name = text_of(value["name"]);
  out.uri = models + "/" + text_of(value["model"]);
  for (const auto& member : value.GetObject()) {
    const std::string key = text_of(member.name);
    if (key == "name" || key == "model") continue;
    else if (key == "open") read_open(member.value, models, &out);
    else if (key == "inputs") out.inputs = tensors_of(member.value);
    else if (key == "outputs") out.outputs = tensors_of(member.value);
    else if (key == "record") out.record = &member.value, out.json = json_of(member.value);
    else if (key == "json") out.json = bytes_of(member.value);
    else if (key == "result") out.result = &member.value;
    else if (key == "tolerance") out.tolerance = member.value.GetDouble();
    else if (key == "expect_status") out.expect_status = text_of(member.value);
    else if (key == "expect_error") read_expected(member.value, &out);
    else if (key == "after") out.after = text_of(member.value);
    else fail(out.name + ": unknown key " + key);
  }
  return out;
}

}  // namespace

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

const Case& Suite::at(const std::string& name) const {
  const auto found =
      std::find_if(cases.begin(), cases.end(), [&](const Case& one) { return one.name == name; });
  if (found == cases.end()) fail("no case " + name);
  return *found;
}

Suite read_suite(const std::string& folder) {
  Suite suite;
  std::set<std::string> files, names;
  for (const auto& entry : std::filesystem::directory_iterator(folder + "/cases"))
    files.insert(entry.path());
  for (const std::string& file : files) {
    auto document = std::make_unique<rapidjson::Document>();
    const std::string text = read_file(file);
    document->Parse<rapidjson::kParseFullPrecisionFlag>(text.data(), text.size());
    if (document->HasParseError())
      fail(file + ": " + rapidjson::GetParseError_En(document->GetParseError()));
    for (const Value& value : document->GetArray()) {
      suite.cases.push_back(case_of(value, folder + "/models"));
      if (!names.insert(suite.cases.back().name).second)
        fail("two cases named " + suite.cases.back().name);
    }
    suite.documents.push_back(std::move(document));
  }
  return suite;
}

}  // namespace vectors
