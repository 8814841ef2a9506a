// Names and describes the fields of structs; see struct_parts.h.
#include "struct_parts.h"

#include <algorithm>

#include "about.h"
#include "core/error.h"
#include "source_text.h"

namespace sidecall::structs {
namespace {

using Reserved = std::set<std::string, std::less<>>;

Kind kind_of(int32_t dtype) {
  switch (dtype) {
    case SIDECALL_DTYPE_FLOAT32:
    case SIDECALL_DTYPE_FLOAT64:
      return Kind::kFloat;
    case SIDECALL_DTYPE_BOOL:
      return Kind::kBool;
    case SIDECALL_DTYPE_STRING:
      return Kind::kText;
    case SIDECALL_DTYPE_INT8:
    case SIDECALL_DTYPE_INT16:
    case SIDECALL_DTYPE_INT32:
    case SIDECALL_DTYPE_INT64:
    case SIDECALL_DTYPE_UINT8:
    case SIDECALL_DTYPE_UINT16:
    case SIDECALL_DTYPE_UINT32:
    case SIDECALL_DTYPE_UINT64:
      return Kind::kInt;
    default:
      return Kind::kNone;
  }
}

// Gives each field of a struct a name of its own.
class FieldNames {
 public:
  FieldNames(MakeName make_name, const Reserved& reserved)
      : make_name_(make_name), reserved_(reserved), names_({}) {}

  std::string take(const std::string& words) {
    std::string name = make_name_(words);
    if (reserved_.count(name) != 0) name += "_";
    return names_.take(name);
  }

 private:
  const MakeName make_name_;
  const Reserved& reserved_;
  source::Names names_;
};

std::string or_field(std::string name, const char* field) {
  if (name.empty() || source::is_digit(name.front())) name.insert(0, field);
  return name;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::string pascal_case(std::string_view words) {
  return or_field(source::join_words(words), "Field");
}

std::string camel_case(std::string_view words) {
  const auto is_end = [](char c) {
    return static_cast<unsigned char>(c) < 0x80 && !source::is_letter(c) && !source::is_digit(c);
  };
  const auto begin = std::find_if_not(words.begin(), words.end(), is_end);
  const auto end = std::find_if(begin, words.end(), is_end);
  std::string first = source::join_words({begin, static_cast<size_t>(end - begin)});
  // "URLOfPage" begins with an acronym, and becomes urlOfPage.
  for (size_t i = 0; i < first.size() && lower(first[i]) != first[i]; ++i) {
    if (i > 0 && i + 1 < first.size() && lower(first[i + 1]) == first[i + 1]) break;
    first[i] = lower(first[i]);
  }
  return or_field(first + source::join_words({end, static_cast<size_t>(words.end() - end)}),
                  "field");
}

std::string snake_case(std::string_view words) {
  std::string name;
  bool was_lower = false;
  for (const char c : words) {
    const bool is_upper = lower(c) != c;
    if (!source::is_letter(c) && !source::is_digit(c)) {
      // Bytes of a letter of another script do not end a word.
      if (static_cast<unsigned char>(c) < 0x80 && !name.empty() && name.back() != '_') name += '_';
      was_lower = false;
      continue;
    }
    if (is_upper && was_lower) name += '_';
    name += lower(c);
    was_lower = !is_upper;
  }
  while (!name.empty() && name.back() == '_') name.pop_back();
  return or_field(name, name.empty() ? "field" : "field_");
}

std::vector<Field> feature_fields(const RecordTypes& types, MakeName make_name,
                                  const Reserved& reserved) {
  FieldNames names(make_name, reserved);
  std::vector<Field> fields;
  for (const FeatureType& feature : types.features) {
    Field field;
    field.key = feature.name;
    field.about = about_values(feature);
    field.kind = feature.dtype != SIDECALL_DTYPE_DATETIME ? kind_of(feature.dtype)
                 : feature.has_zone                       ? Kind::kInstant
                                                          : Kind::kWallClock;
    if (feature.unit != "ns") field.unit = feature.unit;
    field.is_nullable = feature.is_nullable;
    field.name = names.take(feature.name);
    fields.push_back(std::move(field));
  }
  return fields;
}

std::vector<Field> output_fields(const RecordTypes& types, MakeName make_name,
                                 const Reserved& reserved) {
  FieldNames names(make_name, reserved);
  std::vector<Field> fields;
  for (const OutputType& output : types.outputs) {
    Field field;
    field.key = output.name;
    field.kind = kind_of(output.dtype);
    field.form = output.form;
    if (field.kind != Kind::kNone) field.name = names.take(output.name);
    fields.push_back(std::move(field));
  }
  return fields;
}

std::vector<Field> column_fields(const RecordTypes& types, MakeName make_name,
                                 const Reserved& reserved) {
  FieldNames names(make_name, reserved);
  std::vector<Field> fields;
  for (const OutputType& output : types.outputs) {
    for (const std::string& key : output.keys) {
      Field field;
      field.key = output.form == SIDECALL_FORM_SCALAR ? output.name : output.name + "." + key;
      field.kind = kind_of(output.dtype);
      if (field.kind != Kind::kNone) field.name = names.take(field.key);
      fields.push_back(std::move(field));
    }
  }
  return fields;
}

std::string truncation(const Field& field, const char* in_s, const char* in_ms, const char* in_us) {
  if (field.unit.empty()) return "";
  const char* code = field.unit == "s" ? in_s : field.unit == "ms" ? in_ms : in_us;
  return std::string(field.about.empty() ? "" : " ") + "Counts whole " + field.unit +
         ": truncate a finer time with " + code + ".";
}

std::string comment(const std::string& text, const std::string& prefix) {
  return prefix + source::comment_line(text) + "\n";
}

std::string header(const RecordTypes& types, std::string_view language, const std::string& prefix) {
  if (!types.has_contract)
    throw Error(
        SIDECALL_NO_CONTRACT,
        "records need a contract and the file carries none: export the model with sidecall.export");
  std::string model = types.name.empty() ? "A model without a name" : "Model '" + types.name + "'";
  if (!types.version.empty()) model += ", version " + types.version;
  return comment(model + ".", prefix) + comment("Id: " + types.id, prefix) +
         comment("Written by `sidecall types --lang " + std::string(language) + "`.", prefix) +
         comment("Generate this file again when the model changes.", prefix);
}

}  // namespace sidecall::structs
