// Writes models of pydantic for the records of a model; see python.h.
#include <algorithm>
#include <cmath>
#include <limits>

#include "about.h"
#include "base/text/number.h"
#include "python.h"
#include "python_text.h"
#include "source_text.h"

namespace sidecall {
namespace {

using python::Module;
using source::Names;

constexpr double kMaxDouble = std::numeric_limits<double>::max();
constexpr Interval<int64_t> kInt64 = {std::numeric_limits<int64_t>::min(),
                                      std::numeric_limits<int64_t>::max()};

// Belongs to a Literal of integers or booleans. Pydantic compares a value with a Literal as Python
// does, also in strict mode, so Literal[1] alone would take True and 1.0.
constexpr const char* kStrictly = R"(def _strictly(kind: type) -> BeforeValidator:
    """Refuses values of another type that are equal: for Python, True and 1.0 equal 1."""

    def check(value: object) -> object:
        if type(value) is not kind:
            raise ValueError(f"expected {kind.__name__}, got {type(value).__name__}")
        return value

    return BeforeValidator(check)
)";

struct Field {
  std::string key;
  std::string type;
  bool is_nullable;
  std::string about;  // a comment; "" if there is none
};

// Attributes of BaseModel and of its metaclass, apart from those that begin with model_ or an
// underscore.
bool is_base_attribute(const std::string& name) {
  static const std::set<std::string> names = {
      "construct",           "copy",      "dict",      "from_orm", "json",   "mro",
      "parse_file",          "parse_obj", "parse_raw", "register", "schema", "schema_json",
      "update_forward_refs", "validate"};
  return names.count(name) != 0;
}

bool is_attribute(const std::string& key, const Module& module) {
  return python::is_identifier(key) && !python::is_keyword(key) && key.front() != '_' &&
         key.compare(0, 6, "model_") != 0 && !is_base_attribute(key) && !module.is_taken(key);
}

// An attribute name for a key that cannot be one: `job_title` for "job title", `field_class` for
// "class".
std::string attribute_for(const std::string& key, const Module& module) {
  std::string words;
  for (const char c : key) {
    if (source::is_letter(c) || source::is_digit(c)) words += c;
    else if (!words.empty() && words.back() != '_') words += '_';
  }
  if (!words.empty() && words.back() == '_') words.pop_back();
  if (words.empty()) return "field";
  return is_attribute(words, module) ? words : "field_" + words;
}

// The attribute names of the fields, in the same order. Keys that can be attributes are unchanged,
// so the others get their names afterwards.
std::vector<std::string> attribute_names(const std::vector<Field>& fields, const Module& module) {
  Names taken({});
  std::vector<std::string> names(fields.size());
  for (size_t i = 0; i < fields.size(); ++i) {
    if (is_attribute(fields[i].key, module)) names[i] = taken.take(fields[i].key);
  }
  for (size_t i = 0; i < fields.size(); ++i) {
    if (names[i].empty()) names[i] = taken.take(attribute_for(fields[i].key, module));
  }
  return names;
}

// As Python's formatters write it: without the plus sign of an exponent.
std::string number(double value) {
  std::string text = number_text(value);
  text.erase(std::remove(text.begin(), text.end(), '+'), text.end());
  return text;
}

class Writer {
 public:
  Writer(const RecordTypes& types, const std::string& name)
      : types_(types),
        module_(types, "pydantic", name,
                {{"pydantic",
                  {"AwareDatetime", "BaseModel", "BeforeValidator", "ConfigDict", "Field",
                   "NaiveDatetime"}},
                 {"typing", {"Annotated", "Literal"}}}) {}

  std::string text() {
    const std::string features_name = module_.class_name("features");
    const std::string answer_name = module_.class_name("answer");
    module_.add_doc("\n    record = " + features_name + "(...).model_dump(by_alias=True)\n" +
                    "    answer = " + answer_name + ".model_validate(model.predict(record))\n");
    std::vector<Field> features, outputs;
    for (const FeatureType& feature : types_.features) {
      features.push_back(
          {feature.name, feature_type(feature), feature.is_nullable, about(feature)});
    }
    add_model(features_name, "A record that `predict` takes. A missing value is None.", features);
    for (const OutputType& output : types_.outputs)
      outputs.push_back({output.name, output_type(output), false, ""});
    add_model(answer_name, "The record that `predict` returns.", outputs);
    return module_.text();
  }

 private:
  std::string annotated(const std::string& type, const std::string& constraint) {
    return module_.use("Annotated") + "[" + type + ", " + constraint + "]";
  }

  std::string with_field(const std::string& type, const std::vector<std::string>& constraints) {
    if (constraints.empty()) return type;
    std::string list;
    for (const std::string& constraint : constraints)
      list += (list.empty() ? "" : ", ") + constraint;
    return annotated(type, module_.use("Field") + "(" + list + ")");
  }

  std::string float_type(const FeatureType& feature) {
    if (!feature.numbers) return "float";
    const auto [low, high] = *feature.numbers;
    std::vector<std::string> constraints;
    // If infinities are refused, no number is beyond the largest double: it needs no constraint.
    const bool is_finite = std::isfinite(low) && std::isfinite(high);
    if (std::isfinite(low) && !(is_finite && low == -kMaxDouble))
      constraints.push_back("ge=" + number(low));
    if (std::isfinite(high) && !(is_finite && high == kMaxDouble))
      constraints.push_back("le=" + number(high));
    if (is_finite) constraints.emplace_back("allow_inf_nan=False");
    return with_field("float", constraints);
  }

  std::string int_type(const FeatureType& feature) {
    const Interval<int64_t> ends = feature.integers.value_or(kInt64);
    if (ends.low != kInt64.low || ends.high != kInt64.high)
      return with_field("int",
                        {"ge=" + std::to_string(ends.low), "le=" + std::to_string(ends.high)});
    if (!has_int64_) {
      module_.add_alias("Int64 = " + with_field("int", {"ge=-(2**63)", "le=2**63 - 1"}) + "\n");
      has_int64_ = true;
    }
    return "Int64";
  }

  std::string literal(const std::vector<Value>& values, const std::string& words) {
    std::string type = module_.literal(values, words);
    if (values.front().kind == Value::Kind::kString || type == "bool") return type;
    if (!has_strictly_) {
      module_.use("BeforeValidator");
      module_.add(kStrictly);
      has_strictly_ = true;
    }
    return annotated(
        type, values.front().kind == Value::Kind::kBool ? "_strictly(bool)" : "_strictly(int)");
  }

  std::string feature_type(const FeatureType& feature) {
    const bool is_empty = feature.is_closed && feature.allowed.empty();
    if (is_empty && feature.is_nullable) return "None";
    std::string type = python::type_of(feature.dtype);
    if (feature.dtype == SIDECALL_DTYPE_DATETIME)
      type = module_.use(feature.has_zone ? "AwareDatetime" : "NaiveDatetime") +
             (feature.takes_number ? " | int | float" : "");
    else if (type == "float") type = float_type(feature);
    else if (feature.is_closed && feature.has_exact_values && !is_empty)
      type = literal(feature.allowed, feature.name);
    else if (type == "int") type = int_type(feature);
    else if (!feature.takes_empty) type = with_field("str", {"min_length=1"});
    return feature.is_nullable ? type + " | None" : type;
  }

  static std::string about(const FeatureType& feature) {
    // The type None says that no value is taken.
    const bool is_none = feature.is_nullable && feature.allowed.empty();
    if (feature.is_closed) return is_none ? "" : about_list(feature);
    if (feature.dtype == SIDECALL_DTYPE_DATETIME)
      return about_domain(feature, !feature.expected.empty());
    const bool is_float = python::type_of(feature.dtype) == "float";
    const bool has_limits =
        feature.has_holes || (feature.numbers && (std::isfinite(feature.numbers->low) ||
                                                  std::isfinite(feature.numbers->high)));
    if (is_float && !feature.is_nullable && !has_limits) return "Does not take NaN.";
    return about_domain(feature, feature.has_holes);
  }

  std::string output_type(const OutputType& output) {
    std::string type = python::type_of(output.dtype);
    if (output.form == SIDECALL_FORM_MEMBER) {
      const std::string name = module_.class_name(output.name);
      std::vector<Field> members;
      members.reserve(output.keys.size());
      for (const std::string& key : output.keys) members.push_back({key, type, false, ""});
      add_model(name, "One value for each class.", members);
      return name;
    }
    if (!output.classes.empty()) type = literal(output.classes, output.name);
    if (output.form != SIDECALL_FORM_ELEMENT) return type;
    const std::string width = std::to_string(output.keys.size());
    return with_field("list[" + type + "]", {"min_length=" + width, "max_length=" + width});
  }

  void add_model(const std::string& name, const std::string& doc,
                 const std::vector<Field>& fields) {
    std::string text = "class " + name + "(" + module_.use("BaseModel") + "):\n    \"\"\"" + doc +
                       "\"\"\"\n\n    model_config = " + module_.use("ConfigDict") +
                       "(extra=\"forbid\", strict=True)\n";
    if (!fields.empty()) text += "\n";
    const std::vector<std::string> names = attribute_names(fields, module_);
    for (size_t i = 0; i < fields.size(); ++i) {
      const Field& field = fields[i];
      if (!field.about.empty()) text += "    # " + field.about + "\n";
      text += "    " + names[i] + ": " + field.type;
      const std::string alias = "alias=" + python::quoted(field.key);
      if (names[i] != field.key)
        text += " = " + module_.use("Field") + (field.is_nullable ? "(default=None, " : "(") +
                alias + ")";
      else if (field.is_nullable) text += " = None";
      text += "\n";
    }
    module_.add(text);
  }

  const RecordTypes& types_;
  Module module_;
  bool has_int64_ = false;
  bool has_strictly_ = false;
};

}  // namespace

std::string pydantic_models(const RecordTypes& types, const std::string& name) {
  return Writer(types, name).text();
}

}  // namespace sidecall
