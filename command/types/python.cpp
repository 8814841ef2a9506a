// Writes TypedDicts for the records of a model; see python.h.
#include "python.h"

#include <algorithm>

#include "about.h"
#include "core/error.h"
#include "core/text.h"
#include "python_text.h"

namespace sidecall {
namespace {

using python::Module;

// One key of a TypedDict.
struct Member {
  std::string key;
  std::string type;
  std::string about;  // a comment; "" if there is none
};

// Inside a class Python changes names that begin with two underscores. A key with the name of a
// type would hide this type from the keys that follow.
bool fits_class(const Member& member, const Module& module) {
  return python::is_identifier(member.key) && !python::is_keyword(member.key) &&
         member.key.compare(0, 2, "__") != 0 && !module.is_taken(member.key);
}

std::string comment(const std::string& about, const char* indent) {
  return about.empty() ? "" : indent + ("# " + about) + "\n";
}

std::string class_syntax(const std::string& name, const std::string& doc,
                         const std::vector<Member>& members) {
  std::string text = "class " + name + "(TypedDict):\n    \"\"\"" + doc + "\"\"\"\n";
  if (!members.empty()) text += "\n";
  for (const Member& member : members)
    text += comment(member.about, "    ") + "    " + member.key + ": " + member.type + "\n";
  return text;
}

std::string functional_syntax(const std::string& name, const std::string& doc,
                              const std::vector<Member>& members) {
  std::string text = "# " + doc + "\n" + name + " = TypedDict(\n    \"" + name + "\",\n    {\n";
  for (const Member& member : members) {
    text += comment(member.about, "        ") + "        " + python::quoted(member.key) + ": " +
            member.type + ",\n";
  }
  return text + "    },\n)\n";
}

void add_dict(Module* module, const std::string& name, const std::string& doc,
              const std::vector<Member>& members) {
  module->use("TypedDict");
  const bool fits = std::all_of(members.begin(), members.end(), [module](const Member& member) {
    return fits_class(member, *module);
  });
  module->add(fits ? class_syntax(name, doc, members) : functional_syntax(name, doc, members));
}

std::string feature_type(Module* module, const FeatureType& feature) {
  std::string type = python::type_of(feature.dtype);
  if (feature.dtype == SIDECALL_DTYPE_DATETIME)
    type = module->use("datetime") + (feature.takes_number ? " | str | float" : " | str");
  const bool is_empty = feature.is_closed && feature.allowed.empty();
  if (is_empty) type = feature.is_nullable ? "" : module->use("Never");
  else if (feature.is_closed && feature.has_exact_values && type != "float")
    type = module->literal(feature.allowed, feature.name);
  if (!feature.is_nullable) return type;
  return module->use("NotRequired") + "[" + (type.empty() ? "" : type + " | ") + "None]";
}

std::string about_feature(const FeatureType& feature) {
  // The types None and Never say that no value is taken.
  if (feature.is_closed) return feature.allowed.empty() ? "" : about_list(feature);
  if (feature.dtype == SIDECALL_DTYPE_DATETIME && feature.expected.empty())
    return feature.has_zone ? "With a time zone." : "Without a time zone.";
  if (!feature.takes_empty) return "Takes a string that is not empty.";
  return about_domain(feature, !feature.expected.empty());
}

std::string output_type(Module* module, const OutputType& output) {
  const std::string value = python::type_of(output.dtype);
  if (output.form == SIDECALL_FORM_MEMBER) {
    const std::string name = module->class_name(output.name);
    std::vector<Member> members;
    members.reserve(output.keys.size());
    for (const std::string& key : output.keys) members.push_back({key, value, ""});
    add_dict(module, name, "One value for each class.", members);
    return name;
  }
  const std::string type =
      output.classes.empty() ? value : module->literal(output.classes, output.name);
  return output.form == SIDECALL_FORM_ELEMENT ? "list[" + type + "]" : type;
}

}  // namespace

std::string checked_python_name(const std::string& given) {
  if (python::is_identifier(given) && given.compare(0, 2, "__") != 0) return given;
  throw Error(SIDECALL_INVALID_ARGUMENT,
              "name: expected letters, digits or _, not beginning with a digit or __, got '" +
                  printable(given) + "'");
}

std::string typed_dicts(const RecordTypes& types, const std::string& name) {
  Module module(
      types, "python", name,
      {{"datetime", {"datetime"}}, {"typing", {"Literal", "Never", "NotRequired", "TypedDict"}}});
  const std::string features_name = module.class_name("features");
  const std::string answer_name = module.class_name("answer");
  std::vector<Member> features, outputs;
  for (const FeatureType& feature : types.features)
    features.push_back({feature.name, feature_type(&module, feature), about_feature(feature)});
  add_dict(&module, features_name, "A record that `predict` takes.", features);
  for (const OutputType& output : types.outputs)
    outputs.push_back({output.name, output_type(&module, output), ""});
  add_dict(&module, answer_name, "The record that `predict` returns.", outputs);
  return module.text();
}

}  // namespace sidecall
