// Reads the features and outputs of a contract and checks them against the graph; used by
// model.cpp.
#include "contract.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

#include "base/text/datetime.h"
#include "contract_reader.h"
#include "core/error.h"
#include "core/hash.h"

namespace sidecall {
namespace {

bool fits(int32_t feature, int32_t tensor) {
  const bool is_float = tensor == SIDECALL_DTYPE_FLOAT32 || tensor == SIDECALL_DTYPE_FLOAT64;
  switch (feature) {
    case SIDECALL_DTYPE_STRING:
      return tensor == SIDECALL_DTYPE_STRING;
    case SIDECALL_DTYPE_BOOL:
      return tensor == SIDECALL_DTYPE_BOOL || tensor == SIDECALL_DTYPE_INT64 || is_float;
    case SIDECALL_DTYPE_INT64:
      return tensor == SIDECALL_DTYPE_INT64 || is_float;
    case SIDECALL_DTYPE_DATETIME:
      return tensor == SIDECALL_DTYPE_INT64;
    case SIDECALL_DTYPE_FLOAT32:
    case SIDECALL_DTYPE_FLOAT64:
      return is_float;
    default:
      return false;
  }
}

bool has_room_for(const Signature& signature, int64_t width) {
  return width <= kMaxWidth - static_cast<int64_t>(signature.columns.size());
}

// Reserves at least twice the capacity, as push_back does. Otherwise each of many outputs would
// copy the whole list.
void make_room_for(int64_t width, Signature* signature) {
  std::vector<Column>& columns = signature->columns;
  const size_t size = columns.size() + static_cast<size_t>(width);
  if (size > columns.capacity()) columns.reserve(std::max(size, 2 * columns.capacity()));
}

int64_t width_of(const TensorSpec& spec) { return spec.dims.size() < 2 ? 1 : spec.dims[1]; }

void read_type(const JsonNode& node, const TensorSpec& tensor, Feature* feature) {
  const JsonNode type = node.member("type");
  const std::string name = type.text();
  feature->dtype = feature_dtype_from_name(name);
  feature->tensor_dtype = tensor.dtype;
  if (!fits(feature->dtype, tensor.dtype)) {
    type.fail("a type that fits input '" + tensor.name + "' of " + dtype_name(tensor.dtype),
              "'" + name + "'");
  }
}

int32_t read_unit(const JsonNode& node) {
  const std::string name = node.text();
  const int32_t per_second = units_per_second(name);
  if (per_second == 0) node.fail("s, ms, us or ns", "'" + name + "'");
  return per_second;
}

void read_datetime(const JsonNode& node, Feature* feature) {
  if (!feature->is_datetime()) return;
  feature->per_second = read_unit(node.member("unit"));
  feature->missing_int = kMissingDatetime;
  const JsonNode zone = node.member("zone"), epoch = node.member("epoch");
  feature->zone = zone.text_or("");
  if (zone.exists() && (feature->zone.empty() || feature->zone.find('\0') != std::string::npos))
    zone.fail("the name of a zone", "an empty one or one with a NUL");
  if (!epoch.exists()) return;
  if (!zone.exists()) epoch.fail("a feature with a zone", "one without");
  feature->epoch_per_second = read_unit(epoch);
}

void read_missing(const JsonNode& node, Feature* feature) {
  feature->nullable = node.member("nullable").boolean();
  if (!feature->nullable) return;
  const JsonNode missing = node.member("missing");
  const bool is_float = feature->tensor_dtype == SIDECALL_DTYPE_FLOAT32 ||
                        feature->tensor_dtype == SIDECALL_DTYPE_FLOAT64;
  if (missing.is_string()) {
    if (missing.text() != "nan" || !is_float)
      missing.fail(is_float ? "\"nan\"" : "a reserved value", "another string");
    return;
  }
  const JsonNode value = missing.member("value");
  if (is_float) missing.fail("\"nan\" for a floating-point tensor", "a reserved value");
  if (feature->tensor_dtype == SIDECALL_DTYPE_BOOL)
    missing.fail("a tensor that can hold a reserved value", "a bool tensor");
  if (feature->tensor_dtype == SIDECALL_DTYPE_STRING) {
    feature->missing_string = value.text();
  } else {
    feature->missing_int = value.integer();
    if (feature->is_datetime() && feature->missing_int != kMissingDatetime)
      value.fail(std::to_string(kMissingDatetime), std::to_string(feature->missing_int));
  }
}

void read_allowed(const JsonNode& node, Feature* feature) {
  const JsonNode allowed = node.member("allowed");
  if (!allowed.exists()) return;
  if (feature->is_datetime())
    allowed.fail("no list of values for a feature of type datetime", "one");
  feature->is_closed = true;
  for (const JsonNode& element : allowed.elements()) {
    if (feature->dtype == SIDECALL_DTYPE_STRING) {
      feature->allowed_strings.insert(element.text());
    } else {
      const double number =
          element.is_bool() ? static_cast<double>(element.boolean()) : element.number();
      feature->allowed_numbers.insert(feature->tensor_dtype == SIDECALL_DTYPE_FLOAT32
                                          ? static_cast<double>(static_cast<float>(number))
                                          : number);
    }
  }
}

void read_feature(const JsonNode& node, const Signature& signature, Feature* feature) {
  feature->name = node.member("name").text();
  if (feature->name.empty() || feature->name.find('\0') != std::string::npos)
    node.member("name").fail("a name", "an empty one or one with a NUL");
  const JsonNode input = node.member("input");
  feature->input = signature.input_names.find(input.text());
  if (feature->input < 0) input.fail("an input of the graph", "'" + input.text() + "'");
  const TensorSpec& tensor = signature.inputs[static_cast<size_t>(feature->input)];
  const bool is_table = tensor.has_rows() && tensor.dims.size() <= 2 && width_of(tensor) > 0;
  if (!is_table)
    input.fail("an input of shape [N] or [N,width]",
               describe_tensor(tensor.dtype, tensor.dims, &tensor.dim_names));
  feature->width = width_of(tensor);
  feature->column = node.member("column").integer();
  if (feature->column < 0 || feature->column >= feature->width) {
    node.member("column").fail("a column below " + std::to_string(feature->width),
                               std::to_string(feature->column));
  }
  read_type(node, tensor, feature);
  read_datetime(node, feature);
  read_missing(node, feature);
  read_allowed(node, feature);
  read_refusals(node, feature);
}

// Every column of every input must belong to exactly one feature. Otherwise a record could not fill
// the tensors.
void check_places(const JsonNode& list, const Signature& signature) {
  for (const TensorSpec& input : signature.inputs) {
    const int64_t width = width_of(input);
    if (width > static_cast<int64_t>(signature.features.size())) {
      list.fail("a feature for each of the " + std::to_string(width) + " columns of input '" +
                    input.name + "'",
                std::to_string(signature.features.size()) + " features");
    }
  }
  // Sorted by input and column. Features with the same place keep their order.
  std::vector<const Feature*> places;
  for (const Feature& feature : signature.features) places.push_back(&feature);
  std::stable_sort(places.begin(), places.end(), [](const Feature* a, const Feature* b) {
    return a->input != b->input ? a->input < b->input : a->column < b->column;
  });
  const auto twice =
      std::adjacent_find(places.begin(), places.end(), [](const Feature* a, const Feature* b) {
        return a->input == b->input && a->column == b->column;
      });
  if (twice != places.end()) {
    const Feature& second = **std::next(twice);
    list.fail("one feature for each column", "two in column " + std::to_string(second.column) +
                                                 " of the input of '" + second.name + "'");
  }
  auto next = places.begin();
  for (size_t i = 0; i < signature.inputs.size(); ++i) {
    const int64_t width = std::max<int64_t>(width_of(signature.inputs[i]), 1);
    for (int64_t column = 0; column < width; ++column, ++next) {
      if (next != places.end() && (*next)->input == static_cast<int32_t>(i) &&
          (*next)->column == column)
        continue;
      list.fail("a feature for every column", "none for column " + std::to_string(column) +
                                                  " of input '" + signature.inputs[i].name + "'");
    }
  }
}

void read_features(const JsonNode& root, Signature* signature) {
  const JsonNode list = root.member("features");
  const JsonElements nodes = list.elements();
  signature->features.reserve(nodes.size());
  for (const JsonNode& node : nodes) {
    read_feature(node, *signature, &signature->features.emplace_back());
    const std::string& name = signature->features.back().name;
    if (signature->feature_names.find(name) >= 0)
      node.member("name").fail("a unique name", "'" + name + "' again");
    signature->feature_names.add(name, signature->features.size() - 1);
  }
  check_places(list, *signature);
}

void check_output(const JsonNode& node, const TensorSpec& tensor, int32_t dtype, int64_t width) {
  const bool bool_label = dtype == SIDECALL_DTYPE_BOOL && tensor.dtype == SIDECALL_DTYPE_INT64;
  if (dtype != tensor.dtype && !bool_label)
    node.member("type").fail(std::string("the graph's ") + dtype_name(tensor.dtype),
                             "'" + node.member("type").text() + "'");
  const bool is_table = tensor.has_rows() && tensor.dims.size() <= 2;
  const int64_t graph_width = width_of(tensor);
  if (!is_table || (graph_width >= 0 && graph_width != width)) {
    node.fail("a tensor of rows by " + std::to_string(width),
              describe_tensor(tensor.dtype, tensor.dims, &tensor.dim_names));
  }
}

// `seen` has a flag for each output.
void read_output(const JsonNode& node, std::vector<bool>* seen, Signature* signature) {
  const std::string name = node.member("name").text();
  const int32_t output = signature->output_names.find(name);
  if (output < 0) node.member("name").fail("an output of the graph", "'" + name + "'");
  const int32_t dtype = dtype_from_name(node.member("type").text());
  const auto [width, has_members, has_width, classes] = parse_layout(node);
  if ((*seen)[static_cast<size_t>(output)])
    node.member("name").fail("each output once", "'" + name + "' again");
  (*seen)[static_cast<size_t>(output)] = true;
  check_output(node, signature->outputs[static_cast<size_t>(output)], dtype, width);
  if (read_finite(node, dtype)) signature->finite_outputs.push_back(output);
  if (!has_room_for(*signature, width))
    node.fail("at most " + std::to_string(kMaxWidth) + " columns in all outputs together", "more");
  if (!has_members && !has_width) {
    signature->columns.push_back({name, "", dtype, output, 0, SIDECALL_FORM_SCALAR});
    return;
  }
  make_room_for(width, signature);
  for (int64_t column = 0; column < width; ++column) {
    const std::string key =
        has_members ? class_text(classes[static_cast<size_t>(column)]) : std::to_string(column);
    signature->columns.push_back({name + "." + key, key, dtype, output, column,
                                  has_members ? SIDECALL_FORM_MEMBER : SIDECALL_FORM_ELEMENT});
  }
}

// Column names must be unique: class 'b' of output 'a' has the same name as an output 'a.b'.
void check_columns(const JsonNode& list, const Signature& signature) {
  std::unordered_set<std::string_view, SeededHash> names;
  names.reserve(signature.columns.size());
  for (const Column& column : signature.columns) {
    if (!names.insert(column.name).second)
      list.fail("each column once", "'" + column.name + "' again");
  }
}

Contract read_contract(const JsonNode& root, bool has_graph, Signature* signature) {
  Contract contract;
  const JsonNode model = root.member("model");
  contract.name = model.member("name").text_or("");
  contract.version = model.member("version").text_or("");
  contract.id = model.member("id").text_or("");
  const JsonNode engine = root.member("versions").exists()
                              ? root.member("versions").member("onnxruntime")
                              : root.member("versions");
  contract.engine = engine.text_or("unknown");
  signature->has_contract = true;
  read_steps(root, has_graph, signature);
  read_features(root, signature);
  if (root.member("outputs").size() == 0)
    root.member("outputs").fail("at least one output", "none");
  std::vector<bool> seen(signature->outputs.size());
  for (const JsonNode& node : root.member("outputs").elements())
    read_output(node, &seen, signature);
  check_columns(root.member("outputs"), *signature);
  contract.golden = parse_golden(root, *signature);
  return contract;
}

}  // namespace

struct ContractDocument::Parsed {
  explicit Parsed(const std::string& json) : root(open_contract(json, &document)) {}
  json::Document document;
  const JsonNode root;
};

ContractDocument::ContractDocument(std::string json, std::string where)
    : json_(std::move(json)),
      where_(std::move(where)),
      parsed_(at_place(where_, [&] { return std::make_unique<const Parsed>(json_); })) {}

ContractDocument::~ContractDocument() = default;

std::string ContractDocument::proven_version(const char* engine) const {
  return at_place(where_, [&]() -> std::string {
    const JsonNode engines = parsed_->root.member("engines");
    return engines.exists() ? engines.member(engine).text_or("") : "";
  });
}

std::string ContractDocument::refused_output() const {
  return at_place(where_, [&]() -> std::string {
    const JsonNode refused = parsed_->root.member("refused");
    return refused.exists() ? refused.member("output").text() : "";
  });
}

Contract ContractDocument::read(bool has_graph, Signature* signature) {
  Contract contract =
      at_place(where_, [&] { return read_contract(parsed_->root, has_graph, signature); });
  parsed_.reset();
  contract.text = std::move(json_);
  return contract;
}

void add_plain_columns(Signature* signature) {
  for (size_t i = 0; i < signature->outputs.size(); ++i) {
    const TensorSpec& spec = signature->outputs[i];
    const int64_t width = width_of(spec);
    if (!spec.has_rows() || spec.dims.size() > 2 || width < 1 || !has_room_for(*signature, width))
      continue;
    make_room_for(width, signature);
    const auto output = static_cast<int32_t>(i);
    if (width == 1)
      signature->columns.push_back({spec.name, "", spec.dtype, output, 0, SIDECALL_FORM_SCALAR});
    for (int64_t column = 0; width > 1 && column < width; ++column) {
      const std::string key = std::to_string(column);
      signature->columns.push_back(
          {spec.name + "." + key, key, spec.dtype, output, column, SIDECALL_FORM_ELEMENT});
    }
  }
}

}  // namespace sidecall
