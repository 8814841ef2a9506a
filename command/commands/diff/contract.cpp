// Compares the inputs and outputs of two models, and decides which differences break a caller; see
// diff.hpp.
#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "base/text/datetime.h"
#include "diff.hpp"
#include "model/domain.hpp"

namespace sidecall::cli {
namespace {

using Changes = std::vector<Change>;

constexpr size_t kMaxListed = 6;

struct Entry {
  std::string name;
  const Json* json;
};

std::vector<Entry> entries_of(const Signature& signature, const char* key) {
  std::vector<Entry> entries;
  const Json& array = at(signature.contract, key);
  if (!array.IsArray()) return entries;
  for (const auto& item : array.GetArray()) entries.push_back({text_at(item, "name"), &item});
  return entries;
}

// Finds items by name. The items must outlive this object.
template <typename Item>
class Names {
 public:
  explicit Names(const std::vector<Item>& items) {
    for (const Item& item : items) items_.emplace(item.name, &item);
  }
  const Item* find(const std::string& name) const {
    const auto found = items_.find(name);
    return found == items_.end() ? nullptr : found->second;
  }

 private:
  std::map<std::string_view, const Item*> items_;
};

std::string quoted(const char* noun, const std::string& name) {
  return std::string(noun) + " '" + name + "'";
}

// Returns the names that are in both lists, in the order of the first list.
template <typename Item>
std::vector<std::string> common_names(const std::vector<Item>& first,
                                      const std::vector<Item>& second) {
  const Names known(second);
  std::vector<std::string> names;
  for (const auto& item : first) {
    if (known.find(item.name)) names.push_back(item.name);
  }
  return names;
}

template <typename Item>
bool reordered(const std::vector<Item>& before, const std::vector<Item>& after) {
  return common_names(before, after) != common_names(after, before);
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (size_t i = 0; i < names.size(); ++i) {
    if (i == kMaxListed) return text + ", ...";
    text += (i ? ", " : "") + names[i];
  }
  return text;
}

template <typename Item>
void compare_order(const char* noun, const std::vector<Item>& before,
                   const std::vector<Item>& after, Changes& changes) {
  if (!reordered(before, after)) return;
  changes.push_back({std::string(noun) + "s_reordered", std::string(noun) + "s reordered",
                     joined(common_names(before, after)), joined(common_names(after, before)),
                     false, true});
}

// Returns the features that are only in `entries`. They are grouped by the last feature before them
// that is in both lists. The group without such a feature gets the key "".
std::map<std::string, std::vector<const Entry*>> gaps_between_common(
    const std::vector<Entry>& entries, const std::vector<Entry>& other_side) {
  const Names others(other_side);
  std::map<std::string, std::vector<const Entry*>> gaps;
  std::string anchor;
  for (const auto& entry : entries) {
    if (others.find(entry.name)) anchor = entry.name;
    else gaps[anchor].push_back(&entry);
  }
  return gaps;
}

bool same_types(const std::vector<const Entry*>& first, const std::vector<const Entry*>& second) {
  return std::equal(first.begin(), first.end(), second.begin(), second.end(),
                    [](const Entry* a, const Entry* b) {
                      return text_at(*a->json, "type") == text_at(*b->json, "type");
                    });
}

bool record_value_still_accepted(const std::string& before, const std::string& after) {
  const bool is_number = before == "int64" || before == "float32" || before == "float64";
  return before == after || (is_number && (after == "float32" || after == "float64"));
}

std::set<std::string> values_of(const Json& array) {
  std::set<std::string> values;
  if (!array.IsArray()) return values;
  for (const auto& value : array.GetArray()) values.insert(text_of(value));
  return values;
}

void compare_allowed(const std::string& subject, const Json& before, const Json& after,
                     Changes& changes) {
  const Json& was = at(before, "allowed");
  const Json& is = at(after, "allowed");
  if (was == is) return;
  const auto old_values = values_of(was);
  const auto new_values = values_of(is);
  const bool shrunk =
      is.IsArray() && (!was.IsArray() || !std::includes(new_values.begin(), new_values.end(),
                                                        old_values.begin(), old_values.end()));
  if (old_values == new_values && was.IsArray() == is.IsArray()) return;
  const auto describe = [](const Json& list) {
    return list.IsArray() ? "only " + list_of(list, kMaxListed) : "any value";
  };
  changes.push_back({shrunk ? "allowed_shrunk" : "allowed_grown",
                     subject + (shrunk ? " allows fewer values" : " allows more values"),
                     describe(was), describe(is), shrunk, shrunk});
}

void compare_domain(const std::string& subject, const Json& before, const Json& after,
                    Changes& changes) {
  if (at(before, "domain") != at(after, "domain")) {
    const bool shrunk = !takes_all_of(after, before);
    const auto describe = [](const Json& feature) {
      return at(feature, "domain").IsArray() ? describe_domain(feature) : "any number";
    };
    if (shrunk || !takes_all_of(before, after))
      changes.push_back({shrunk ? "domain_shrunk" : "domain_grown",
                         subject + (shrunk ? " takes fewer numbers" : " takes more numbers"),
                         describe(before), describe(after), shrunk, shrunk});
  }
  const bool took_empty = !at(before, "empty").IsFalse(),
             takes_empty = !at(after, "empty").IsFalse();
  if (took_empty && !takes_empty)
    changes.push_back({"empty_refused", subject + " may no longer be empty", "empty allowed",
                       "empty refused", true, true});
  if (!took_empty && takes_empty)
    changes.push_back({"empty_allowed", subject + " may be empty", "empty refused", "empty allowed",
                       false, false});
}

// Another unit changes the tensor, and a coarser one also refuses texts that were taken.
void compare_datetime(const std::string& subject, const Json& before, const Json& after,
                      Changes& changes) {
  const auto unit = [](const Json& feature) { return text_at(feature, "unit"); };
  const auto finer = [&](const Json& one, const Json& other) {
    return units_per_second(unit(one)) > units_per_second(unit(other));
  };
  if (unit(before) != unit(after)) {
    changes.push_back({"unit_changed", subject + " counts another unit", unit(before), unit(after),
                       finer(before, after), true});
  }
  const bool had_zone = at(before, "zone").IsString(), has_zone = at(after, "zone").IsString();
  const std::string old_zone = had_zone ? text_at(before, "zone") : "none",
                    new_zone = has_zone ? text_at(after, "zone") : "none";
  if (old_zone != new_zone) {
    changes.push_back({"zone_changed", subject + " has another time zone", old_zone, new_zone,
                       had_zone != has_zone, had_zone != has_zone});
  }
  const bool had_epoch = at(before, "epoch").IsString(), has_epoch = at(after, "epoch").IsString();
  const std::string old_epoch = had_epoch ? text_at(before, "epoch") : "none",
                    new_epoch = has_epoch ? text_at(after, "epoch") : "none";
  if (old_epoch != new_epoch) {
    changes.push_back({"epoch_changed", subject + " counts numbers of records in another unit",
                       old_epoch, new_epoch, had_epoch, false});
  }
}

void compare_feature(const std::string& subject, const Json& before, const Json& after,
                     Changes& changes) {
  const std::string old_type = text_at(before, "type");
  const std::string new_type = text_at(after, "type");
  if (old_type != new_type) {
    changes.push_back({"feature_retyped", subject + " has another type", old_type, new_type,
                       !record_value_still_accepted(old_type, new_type), false});
  }
  if (old_type == "datetime" && new_type == "datetime")
    compare_datetime(subject, before, after, changes);
  const bool was_nullable = true_at(before, "nullable");
  const bool is_nullable = true_at(after, "nullable");
  if (was_nullable && !is_nullable)
    changes.push_back({"nullable_tightened", subject + " may no longer be missing",
                       "missing allowed", "missing refused", true, true});
  if (!was_nullable && is_nullable)
    changes.push_back({"nullable_loosened", subject + " may be missing", "missing refused",
                       "missing allowed", false, false});
  if (was_nullable && is_nullable && at(before, "missing") != at(after, "missing"))
    changes.push_back({"missing_recoded", subject + " has another code for missing values",
                       text_at(before, "missing"), text_at(after, "missing"), false, true});
  compare_allowed(subject, before, after, changes);
  compare_domain(subject, before, after, changes);
  const auto place = [](const Json& feature) {
    return text_at(feature, "input") + "[" + text_at(feature, "column") + "]";
  };
  if (place(before) != place(after))
    changes.push_back({"feature_moved", subject + " goes to another input or column", place(before),
                       place(after), false, true});
}

void compare_features(const Signature& before, const Signature& after, Changes& changes) {
  const auto old_features = entries_of(before, "features");
  const auto new_features = entries_of(after, "features");
  const Names old_names(old_features), new_names(new_features);
  const auto renames = guess_renames(before, after);
  std::set<std::string> explained;
  for (const auto& feature : old_features) {
    const auto renamed = renames.find(feature.name);
    if (const Entry* same = new_names.find(feature.name)) {
      compare_feature(quoted("feature", feature.name), *feature.json, *same->json, changes);
    } else if (renamed != renames.end()) {
      explained.insert(renamed->second);
      changes.push_back(
          {"feature_renamed",
           quoted("feature", feature.name) + " renamed (a guess: same place, same type)",
           feature.name, renamed->second, true, true});
    } else {
      changes.push_back({"feature_removed", quoted("feature", feature.name) + " removed",
                         text_at(*feature.json, "type"), "", true, true});
    }
  }
  for (const auto& feature : new_features) {
    if (old_names.find(feature.name) || explained.count(feature.name)) continue;
    const bool optional = true_at(*feature.json, "nullable");
    // Even if records may omit the feature, callers of run must fill its place in the tensors.
    changes.push_back({"feature_added",
                       quoted("feature", feature.name) + " added" +
                           (optional ? ", may be missing" : ", required"),
                       "", text_at(*feature.json, "type"), !optional, true});
  }
}

// Compares classes by their text, as in the column name probabilities.3. A change from strings to
// integers is a change of type, which is reported elsewhere.
void compare_classes(const std::string& name, const Json& before, const Json& after,
                     Changes& changes) {
  const std::string was = list_of(before, SIZE_MAX);
  const std::string is = list_of(after, SIZE_MAX);
  if (was == is) return;
  const bool only_order = values_of(before) == values_of(after);
  Change change = {only_order ? "classes_reordered" : "classes_changed",
                   std::string(only_order ? "classes reordered" : "classes changed") + ": " + name,
                   was,
                   is,
                   !only_order,
                   true};
  // label and probabilities have the same classes, so report both in one change.
  for (auto& known : changes) {
    if (known.kind == change.kind && known.before == change.before && known.after == change.after) {
      known.what += ", " + name;
      return;
    }
  }
  changes.push_back(std::move(change));
}

void compare_output(const std::string& name, const Json& before, const Json& after,
                    Changes& changes) {
  const std::string subject = quoted("output", name);
  const std::string old_type = text_at(before, "type");
  const std::string new_type = text_at(after, "type");
  if (old_type != new_type) {
    // In a record, float32 and float64 are the same number type.
    const bool both_float =
        old_type.compare(0, 5, "float") == 0 && new_type.compare(0, 5, "float") == 0;
    changes.push_back(
        {"output_retyped", subject + " has another type", old_type, new_type, !both_float, true});
  }
  if (text_at(before, "width") != text_at(after, "width"))
    changes.push_back({"output_reshaped", subject + " has another width", text_at(before, "width"),
                       text_at(after, "width"), true, true});
  compare_classes(name, at(before, "classes"), at(after, "classes"), changes);
  if (at(before, "decision") != at(after, "decision"))
    changes.push_back({"decision_changed", subject + " has another decision rule",
                       text_at(before, "decision"), text_at(after, "decision"), false, false});
}

void compare_outputs(const Signature& before, const Signature& after, Changes& changes) {
  const auto old_outputs = entries_of(before, "outputs");
  const auto new_outputs = entries_of(after, "outputs");
  const Names old_names(old_outputs), new_names(new_outputs);
  for (const auto& output : old_outputs) {
    if (const Entry* same = new_names.find(output.name))
      compare_output(output.name, *output.json, *same->json, changes);
    else
      changes.push_back({"output_removed", quoted("output", output.name) + " removed",
                         text_at(*output.json, "type"), "", true, true});
  }
  for (const auto& output : new_outputs) {
    if (!old_names.find(output.name))
      changes.push_back({"output_added", quoted("output", output.name) + " added", "",
                         text_at(*output.json, "type"), false, false});
  }
  compare_order("output", old_outputs, new_outputs, changes);
}

std::string steps_of(const Json& contract) {
  const Json& steps = at(at(contract, "refused"), "steps");
  if (!steps.IsArray()) return "";
  std::vector<std::string> names;
  for (const auto& step : steps.GetArray())
    names.push_back(text_at(step, "step") + " (" + text_at(step, "expected") + ")");
  return joined(names);
}

// Reports a change in the steps that refuse rows. Only a run shows which rows are affected, so the
// change does not count as breaking a caller.
void compare_steps(const Json& before, const Json& after, Changes& changes) {
  if (steps_of(before) == steps_of(after)) return;
  changes.push_back({"steps_changed", "the steps that refuse rows differ", steps_of(before),
                     steps_of(after), false, false});
}

// Compares only the sizes: a free dimension accepts every size, whatever its name is.
bool same_shape(const Tensor& before, const Tensor& after) { return before.dims == after.dims; }

// `noun` is "input" or "output". `types_only` is set if both models have a contract. Then only the
// types and the order of the tensors are compared, because the comparison of the contracts reports
// all other differences.
void compare_tensors(const char* noun, const std::vector<Tensor>& before,
                     const std::vector<Tensor>& after, bool types_only, Changes& changes) {
  const bool inputs = std::string(noun) == "input";
  const Names old_names(before), new_names(after);
  for (const auto& tensor : before) {
    const Tensor* same = new_names.find(tensor.name);
    if (!same) {
      if (!types_only)
        changes.push_back({std::string(noun) + "_removed", quoted(noun, tensor.name) + " removed",
                           tensor.type_and_shape(), "", false, true});
    } else if (tensor.type != same->type || (!types_only && !same_shape(tensor, *same))) {
      const char* what = tensor.type != same->type ? " has another type" : " has another shape";
      changes.push_back({std::string(noun) + (tensor.type != same->type ? "_retyped" : "_reshaped"),
                         quoted(noun, tensor.name) + what, tensor.type_and_shape(),
                         same->type_and_shape(), false, true});
    }
  }
  for (const auto& tensor : after) {
    if (!types_only && !old_names.find(tensor.name))
      changes.push_back({std::string(noun) + "_added", quoted(noun, tensor.name) + " added", "",
                         tensor.type_and_shape(), false, inputs});
  }
  compare_order(noun, before, after, changes);
}

}  // namespace

std::map<std::string, std::string> guess_renames(const Signature& before, const Signature& after) {
  const auto old_features = entries_of(before, "features");
  const auto new_features = entries_of(after, "features");
  const auto new_gaps = gaps_between_common(new_features, old_features);
  std::map<std::string, std::string> renames;
  for (const auto& [anchor, removed] : gaps_between_common(old_features, new_features)) {
    const auto added = new_gaps.find(anchor);
    if (added == new_gaps.end() || !same_types(removed, added->second)) continue;
    for (size_t i = 0; i < removed.size(); ++i) renames[removed[i]->name] = added->second[i]->name;
  }
  return renames;
}

std::vector<Change> compare_signatures(const Signature& before, const Signature& after) {
  Changes changes;
  const bool both = before.has_contract() && after.has_contract();
  if (before.has_contract() && !after.has_contract())
    changes.push_back({"contract_removed", "contract removed",
                       "format " + text_at(before.contract, "format"), "none", true, false});
  if (!before.has_contract() && after.has_contract())
    changes.push_back({"contract_added", "contract added", "none",
                       "format " + text_at(after.contract, "format"), false, false});
  if (both) {
    compare_features(before, after, changes);
    compare_tensors("input", before.inputs, after.inputs, true, changes);
    compare_outputs(before, after, changes);
    compare_steps(before.contract, after.contract, changes);
  } else {
    compare_tensors("input", before.inputs, after.inputs, false, changes);
    compare_tensors("output", before.outputs, after.outputs, false, changes);
  }
  return changes;
}

}  // namespace sidecall::cli
