// Runs the test vectors through sidecall.h, in the way that a language binding uses this header.
#include <sidecall/binding.h>

#include <cstring>
#include <vector>

#include "vector_runner.h"

namespace vectors {
namespace {

using rapidjson::Value;

void check(sidecall_status status, const sidecall_error& error) {
  if (status != SIDECALL_OK) throw Failure{error};
}

template <typename Function, typename... Arguments>
void call(Function function, Arguments... arguments) {
  sidecall_error error = SIDECALL_ERROR_INIT;
  check(function(arguments..., &error), error);
}

class CModel : public Model {
 public:
  explicit CModel(sidecall_model* model) : model_(model) {}
  CModel(const CModel&) = delete;
  CModel& operator=(const CModel&) = delete;
  ~CModel() override {
    sidecall_call_close(call_);
    sidecall_model_close(model_);
  }

  Named run(const Named& inputs) override;
  std::string predict_json(const std::string& json) override;
  rapidjson::Document predict(const Value& record) override;

 private:
  sidecall_call* ready() {
    if (call_ == nullptr) call(sidecall_call_open, model_, int64_t{1}, &call_);
    return call_;
  }
  virtual void set(int64_t row, const Value& record);
  virtual Value get(int64_t row, int32_t column, rapidjson::Document::AllocatorType& allocator);
  Value get_record(int64_t row, rapidjson::Document::AllocatorType& allocator);

 protected:
  sidecall_model* model_;
  // One call for all runs of this model, because a call must stay usable after a failed run.
  sidecall_call* call_ = nullptr;
};

Named CModel::run(const Named& inputs) {
  call(sidecall_call_reset, ready());
  for (const auto& [name, tensor] : inputs) {
    int32_t index = -1;
    call(sidecall_model_find, static_cast<const sidecall_model*>(model_), SIDECALL_KIND_INPUT,
         name.data(), name.size(), &index);
    sidecall_view view = SIDECALL_VIEW_INIT;
    view.dtype = tensor.dtype;
    view.rank = static_cast<int32_t>(tensor.dims.size());
    view.dims = tensor.dims.data();
    view.data = const_cast<unsigned char*>(tensor.bytes.data());
    view.data_bytes = tensor.bytes.size();
    view.offsets = tensor.offsets.empty() ? nullptr : tensor.offsets.data();
    call(sidecall_call_copy_input, call_, index, static_cast<const sidecall_view*>(&view));
  }
  call(sidecall_call_run, call_, int64_t{-1});
  Named outputs;
  for (int32_t i = 0; i < sidecall_model_num_outputs(model_); ++i) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    call(sidecall_call_output, call_, i, &view);
    Tensor tensor{view.dtype, {view.dims, view.dims + view.rank}, {}, {}};
    const auto* bytes = static_cast<const unsigned char*>(view.data);
    tensor.bytes.assign(bytes, bytes + view.data_bytes);
    if (view.offsets != nullptr) {
      int64_t count = 1;
      for (const int64_t dim : tensor.dims) count *= dim;
      tensor.offsets.assign(view.offsets, view.offsets + count + 1);
    }
    outputs.emplace_back(sidecall_model_output_spec(model_, i)->name, std::move(tensor));
  }
  return outputs;
}

std::string CModel::predict_json(const std::string& json) {
  sidecall_text* text = nullptr;
  call(sidecall_predict_json, static_cast<const sidecall_model*>(model_), json.data(), json.size(),
       &text);
  std::string out(text->data, text->length);
  sidecall_text_close(text);
  return out;
}

// The statuses are ignored: the run reports what the setters refused.
void CModel::set(int64_t row, const Value& record) {
  for (const auto& member : record.GetObject()) {
    const std::string name(member.name.GetString(), member.name.GetStringLength());
    const int32_t feature = sidecall_model_feature(model_, name.c_str());
    const Value& value = member.value;
    if (feature < 0) sidecall_call_set_unknown(call_, row, name.data(), name.size(), nullptr);
    else if (value.IsNull()) sidecall_call_set_missing(call_, row, feature, nullptr);
    else if (value.IsBool())
      sidecall_call_set_bool(call_, row, feature, value.GetBool() ? 1 : 0, nullptr);
    else if (value.IsInt64()) sidecall_call_set_i64(call_, row, feature, value.GetInt64(), nullptr);
    else if (value.IsNumber())
      sidecall_call_set_f64(call_, row, feature, value.GetDouble(), nullptr);
    else if (value.IsString())
      sidecall_call_set_str(call_, row, feature, value.GetString(), value.GetStringLength(),
                            nullptr);
    else
      sidecall_call_set_invalid(call_, row, feature, value.IsArray() ? "array" : "object", nullptr);
  }
}

Value CModel::get(int64_t row, int32_t column, rapidjson::Document::AllocatorType& allocator) {
  switch (sidecall_model_column_spec(model_, column)->dtype) {
    case SIDECALL_DTYPE_STRING: {
      const char* text = nullptr;
      size_t length = 0;
      call(sidecall_call_get_str, call_, row, column, &text, &length);
      return Value(text, static_cast<rapidjson::SizeType>(length), allocator);
    }
    case SIDECALL_DTYPE_FLOAT32:
    case SIDECALL_DTYPE_FLOAT64: {
      double number = 0;
      call(sidecall_call_get_f64, call_, row, column, &number);
      return Value(number);
    }
    default: {
      int64_t number = 0;
      call(sidecall_call_get_i64, call_, row, column, &number);
      return sidecall_model_column_spec(model_, column)->dtype == SIDECALL_DTYPE_BOOL
                 ? Value(number != 0)
                 : Value(number);
    }
  }
}

Value CModel::get_record(int64_t row, rapidjson::Document::AllocatorType& allocator) {
  Value record(rapidjson::kObjectType);
  for (int32_t i = 0; i < sidecall_model_num_columns(model_); ++i) {
    const sidecall_column_spec* spec = sidecall_model_column_spec(model_, i);
    const Value name(sidecall_model_output_spec(model_, spec->output)->name, allocator);
    if (spec->form == SIDECALL_FORM_SCALAR) {
      record.AddMember(Value(name, allocator), get(row, i, allocator), allocator);
      continue;
    }
    const bool is_object = spec->form == SIDECALL_FORM_MEMBER;
    if (!record.HasMember(name))
      record.AddMember(Value(name, allocator),
                       Value(is_object ? rapidjson::kObjectType : rapidjson::kArrayType),
                       allocator);
    if (is_object)
      record[name].AddMember(Value(spec->key, allocator), get(row, i, allocator), allocator);
    else record[name].PushBack(get(row, i, allocator), allocator);
  }
  return record;
}

rapidjson::Document CModel::predict(const Value& record) {
  const int64_t rows = record.IsArray() ? record.Size() : 1;
  call(sidecall_call_resize, ready(), rows);
  call(sidecall_call_clear, call_);
  for (int64_t row = 0; row < rows; ++row)
    set(row, record.IsArray() ? record[static_cast<rapidjson::SizeType>(row)] : record);
  call(sidecall_call_run, call_, int64_t{-1});
  rapidjson::Document out;
  auto& allocator = out.GetAllocator();
  if (!record.IsArray()) {
    static_cast<Value&>(out) = get_record(0, allocator);
    return out;
  }
  out.SetArray();
  for (int64_t row = 0; row < rows; ++row) out.PushBack(get_record(row, allocator), allocator);
  return out;
}

// Sets and reads many values with one call.
class RowModel final : public CModel {
 public:
  using CModel::CModel;

 private:
  void set(int64_t row, const Value& record) override;
  Value get(int64_t row, int32_t column, rapidjson::Document::AllocatorType& allocator) override;
};

sidecall_value value_of(const Value& value) {
  sidecall_value set{};
  const auto text = [&](int32_t kind, const char* data, size_t length) {
    set.kind = kind;
    set.text = data;
    set.length = length;
  };
  if (value.IsBool()) {
    set.kind = SIDECALL_VALUE_BOOL;
    set.i64 = value.GetBool() ? 1 : 0;
  } else if (value.IsInt64()) {
    set.kind = SIDECALL_VALUE_I64;
    set.i64 = value.GetInt64();
  } else if (value.IsNumber()) {
    set.kind = SIDECALL_VALUE_F64;
    set.f64 = value.GetDouble();
  } else if (value.IsString()) {
    text(SIDECALL_VALUE_STR, value.GetString(), value.GetStringLength());
  } else if (!value.IsNull()) {
    text(SIDECALL_VALUE_INVALID, value.IsArray() ? "array" : "object", value.IsArray() ? 5 : 6);
  }
  return set;
}

void RowModel::set(int64_t row, const Value& record) {
  std::vector<int32_t> features;
  std::vector<sidecall_value> values;
  for (const auto& member : record.GetObject()) {
    const std::string name(member.name.GetString(), member.name.GetStringLength());
    const int32_t feature = sidecall_model_feature(model_, name.c_str());
    if (feature < 0) {
      sidecall_call_set_unknown(call_, row, name.data(), name.size(), nullptr);
      continue;
    }
    features.push_back(feature);
    values.push_back(value_of(member.value));
  }
  if (!features.empty())
    sidecall_call_set_row(call_, row, features.data(), values.data(),
                          static_cast<int64_t>(values.size()), nullptr);
}

Value RowModel::get(int64_t row, int32_t column, rapidjson::Document::AllocatorType& allocator) {
  sidecall_value value{};
  call(sidecall_call_get_row, call_, row, static_cast<const int32_t*>(&column), &value, int64_t{1});
  switch (value.kind) {
    case SIDECALL_VALUE_STR:
      return Value(value.text, static_cast<rapidjson::SizeType>(value.length), allocator);
    case SIDECALL_VALUE_F64:
      return Value(value.f64);
    case SIDECALL_VALUE_BOOL:
      return Value(value.i64 != 0);
    default:
      return Value(value.i64);
  }
}

template <typename OpenModel>
class CBackend : public Backend {
 public:
  std::unique_ptr<Model> open(const Case& one) override {
    sidecall_model_options options;
    sidecall_model_options_init(&options);
    options.verify = one.verify;
    options.extra = one.extra;
    sidecall_model* model = nullptr;
    const sidecall_model_options* given = &options;
    if (one.as_bytes) {
      const std::string bytes = read_file(one.uri);
      call(sidecall_model_open_bytes, static_cast<const void*>(bytes.data()), bytes.size(), given,
           &model);
    } else {
      call(sidecall_model_open, one.uri.c_str(), given, &model);
    }
    return std::make_unique<OpenModel>(model);
  }
};

}  // namespace

std::unique_ptr<Backend> c_backend() { return std::make_unique<CBackend<CModel>>(); }
std::unique_ptr<Backend> c_row_backend() { return std::make_unique<CBackend<RowModel>>(); }

}  // namespace vectors
