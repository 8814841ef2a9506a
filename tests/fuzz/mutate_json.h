// Changes a JSON text so that it stays JSON: one value, key or list. Used by the targets
// `contract` and `manifest`.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/json/json.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

namespace fuzz {

namespace json = sidecall::json;

class JsonMutator {
 public:
  explicit JsonMutator(unsigned seed) : random_(seed) {}

  bool chance(size_t one_in) { return below(one_in) == 0; }

  // Returns the changed text, or nothing if the text is not JSON.
  std::string change(std::string_view text) {
    json::Document document;
    if (!parse(text, &document)) return {};
    collect(&document);
    change_value(values_[below(values_.size())], &document.GetAllocator());
    return write(document);
  }

  // Puts a value of another text in the place of a value, of one with the same key where there is
  // one. Returns nothing if a text is not JSON.
  std::string transplant(std::string_view text, std::string_view other_text) {
    json::Document document, other;
    if (!parse(text, &document) || !parse(other_text, &other)) return {};
    collect(&document);
    const std::vector<Entry> own = std::exchange(values_, {});
    collect(&other);
    const Entry& source = values_[below(values_.size())];
    std::vector<Entry> places;
    for (const Entry& entry : own) {
      if (source.key != nullptr && entry.key != nullptr && *entry.key == *source.key)
        places.push_back(entry);
    }
    const Entry& place = places.empty() ? own[below(own.size())] : places[below(places.size())];
    place.value->CopyFrom(*source.value, document.GetAllocator());
    return write(document);
  }

 private:
  struct Entry {
    json::Value* value;
    json::Value* key;  // nullptr: not the value of a member of an object
  };
  static constexpr int kMaxDepth = 64;
  static constexpr size_t kMaxText = 256;

  size_t below(size_t limit) { return static_cast<size_t>(random_()) % limit; }

  bool parse(std::string_view text, json::Document* document) {
    constexpr unsigned kFlags = rapidjson::kParseIterativeFlag;
    values_.clear();
    return !document->Parse<kFlags>(text.data(), text.size()).HasParseError();
  }

  static std::string write(const json::Document& document) {
    json::Buffer buffer;
    json::Writer writer(buffer);
    if (!document.Accept(writer)) return {};
    return {buffer.GetString(), buffer.GetSize()};
  }

  void collect(json::Value* value, json::Value* key = nullptr, int depth = 0) {
    values_.push_back({value, key});
    if (depth > kMaxDepth) return;
    if (value->IsArray()) {
      for (json::Value& element : value->GetArray()) collect(&element, nullptr, depth + 1);
    } else if (value->IsObject()) {
      for (auto& member : value->GetObject()) collect(&member.value, &member.name, depth + 1);
    }
  }

  void change_value(const Entry& entry, json::Pool* memory) {
    json::Value* const value = entry.value;
    json::Value other;
    other.CopyFrom(*values_[below(values_.size())].value, *memory);
    const size_t what = below(8);
    if (what == 0) {
      value->Swap(other);
    } else if (what == 1) {
      *value = literal();
    } else if (what == 2 && entry.key != nullptr) {
      change_key(entry.key, memory);
    } else if (value->IsArray()) {
      change_array(value, &other, memory);
    } else if (value->IsObject()) {
      change_object(value, &other, memory);
    } else if (value->IsString()) {
      change_text(value, memory);
    } else if (value->IsInt64() && value->GetInt64() < INT64_MAX && value->GetInt64() > INT64_MIN) {
      value->SetInt64(value->GetInt64() + (chance(2) ? 1 : -1));
    } else {
      *value = literal();
    }
  }

  json::Value literal() {
    constexpr std::array<double, 8> kReals = {0.5,    -0.0,  1e300,    -1e300,
                                              1e-310, 0.125, 16777217, 3.4028235677973366e38};
    constexpr std::array<int64_t, 10> kIntegers = {
        0, 1, -1, 2, 3, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, int64_t{1} << 53};
    constexpr std::array<const char*, 12> kTexts = {"",     "a",       "-inf",  "inf",
                                                    "nan",  "float32", "int64", "string",
                                                    "bool", "float64", "int32", "value"};
    switch (below(7)) {
      case 0:
        return json::Value();
      case 1:
        return json::Value(chance(2));
      case 2:
        return json::Value(kReals[below(kReals.size())]);
      case 3:
        return json::Value(kIntegers[below(kIntegers.size())]);
      case 4:
        return json::Value(rapidjson::kArrayType);
      case 5:
        return json::Value(rapidjson::kObjectType);
      default:
        return json::Value(rapidjson::StringRef(kTexts[below(kTexts.size())]));
    }
  }

  // Gives a member the key of another one, or an unknown key.
  void change_key(json::Value* key, json::Pool* memory) {
    const Entry& entry = values_[below(values_.size())];
    if (entry.key != nullptr) key->CopyFrom(*entry.key, *memory);
    else change_text(key, memory);
  }

  void change_array(json::Value* array, json::Value* other, json::Pool* memory) {
    const rapidjson::SizeType size = array->Size();
    const size_t what = below(4);
    if (size == 0 || what == 0) {
      array->PushBack(*other, *memory);
      return;
    }
    const auto at = static_cast<rapidjson::SizeType>(below(size));
    if (what == 1) array->Erase(array->Begin() + at);
    else if (what == 2) array->PushBack(json::Value((*array)[at], *memory), *memory);
    else (*array)[at].Swap((*array)[static_cast<rapidjson::SizeType>(below(size))]);
  }

  void change_object(json::Value* object, json::Value* other, json::Pool* memory) {
    const rapidjson::SizeType size = object->MemberCount();
    if (size > 0 && chance(2)) {
      object->EraseMember(object->MemberBegin() + static_cast<ptrdiff_t>(below(size)));
      return;
    }
    json::Value key;
    const Entry& entry = values_[below(values_.size())];
    if (entry.key != nullptr) {
      key.CopyFrom(*entry.key, *memory);
      if (chance(2)) other->CopyFrom(*entry.value, *memory);
    } else {
      key.SetString("x");
    }
    object->AddMember(key, *other, *memory);
  }

  static void change_text(json::Value* value, json::Pool* memory) {
    std::string text(value->GetString(), value->GetStringLength());
    const size_t size = std::min(text.size(), kMaxText);
    text.resize(kMaxText);
    text.resize(LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(text.data()), size, kMaxText));
    value->SetString(text.data(), static_cast<rapidjson::SizeType>(text.size()), *memory);
  }

  std::minstd_rand random_;
  std::vector<Entry> values_;
};

}  // namespace fuzz
