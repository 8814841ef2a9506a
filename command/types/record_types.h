// Describes the types of a model's records, which `predict` takes and returns. The writer of each
// language turns this description into source code.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/contract/contract.h"
#include "core/contract/signature.h"

namespace sidecall {

struct FeatureType {
  std::string name;
  int32_t dtype = 0;
  bool is_nullable = false;  // may be absent or null

  // A closed list: the feature takes only the values of `allowed`. Their kind is kString, kBool or
  // kFloat. For an int64 feature it is kInt, unless `has_exact_values` is false.
  bool is_closed = false;
  std::vector<Value> allowed;
  // False if a number of the list has no exact literal: NaN and infinities, and in the list of an
  // int64 feature also fractions and numbers from 2^53 on.
  bool has_exact_values = true;

  // The outer ends of the numbers that the feature takes, if its model does not take all. An end
  // for a float32 tensor is the number itself or its shortest decimal form, whichever is further
  // out, so that both are inside.
  std::optional<Interval<double>> numbers;    // of a feature of type float32 or float64
  std::optional<Interval<int64_t>> integers;  // of a feature of type int64 or datetime
  bool has_holes = false;                     // numbers between these ends are refused
  std::string expected;                       // the domain in words: "a number from 0 to 1"
  bool takes_empty = true;                    // the empty string

  // Of a datetime feature.
  bool has_zone = false;
  bool takes_number = false;  // a plain number, which counts a unit since 1970
  std::string unit;           // "s", "ms", "us" or "ns": a datetime with a smaller part is refused

  // The integer that stands for a missing value in the tensor, and is refused in a record, although
  // the domain holds it.
  std::optional<int64_t> reserved;
};

struct OutputType {
  std::string name;
  int32_t dtype = 0;
  int32_t form = 0;               // SIDECALL_FORM_*
  std::vector<std::string> keys;  // of its columns: members of an object, or elements of an array
  // The classes that a label can have. Empty if it has none, or if they are not of the type of the
  // output's values.
  std::vector<Value> classes;
};

struct RecordTypes {
  std::string name, version;  // of the model; "" if there is none
  std::string id;
  bool has_contract = false;  // without a contract there are no records
  std::vector<FeatureType> features;
  std::vector<OutputType> outputs;
};

// `contract` is nullptr if the file has none; `id` is the id of the model.
RecordTypes record_types(const Signature& signature, const Contract* contract,
                         const std::string& id);

}  // namespace sidecall
