// Runs the test vectors through sidecall.hpp, in the way that a C++ program uses this header: it
// looks up names with methods that throw, and sets values one by one.
#include <sidecall/sidecall.hpp>

#include <algorithm>

#include "vector_runner.h"

namespace vectors {
namespace {

using rapidjson::Value;

// Rebuilds the error from the methods of the exception, so that each of them is compared.
template <typename Body>
auto translate(Body body) {
  try {
    return body();
  } catch (const sidecall::Error& error) {
    Failure failure{};
    failure.error = SIDECALL_ERROR_INIT;
    failure.error.status = error.status();
    failure.error.retryable = error.retryable() ? 1 : 0;
    failure.error.row = error.row();
    failure.error.num_faults = error.num_faults();
    std::string(error.name()).copy(failure.error.name, sizeof failure.error.name - 1);
    std::string(error.expected()).copy(failure.error.expected, sizeof failure.error.expected - 1);
    std::string(error.got()).copy(failure.error.got, sizeof failure.error.got - 1);
    std::string(error.what()).copy(failure.error.message, sizeof failure.error.message - 1);
    throw failure;
  }
}

class CppModel : public Model {
 public:
  explicit CppModel(sidecall::Model model) : model_(std::move(model)) {}

  Named run(const Named& inputs) override {
    return translate([&] {
      sidecall::Call call(model_);
      for (const auto& [name, tensor] : inputs) {
        const sidecall::Span<const int64_t> dims(tensor.dims.data(), tensor.dims.size());
        const std::string_view text(reinterpret_cast<const char*>(tensor.bytes.data()),
                                    tensor.bytes.size());
        const int32_t input = model_.input(name);
        const auto view =
            tensor.dtype == SIDECALL_DTYPE_STRING
                ? sidecall::View::strings(text, {tensor.offsets.data(), tensor.offsets.size()},
                                          dims)
                : sidecall::View::raw(tensor.dtype, tensor.bytes.data(), tensor.bytes.size(), dims);
        // Binds instead of copying, because the C backend already covers copying. A tensor that
        // needs a conversion cannot be bound, so it is copied.
        const bool is_own = input < 0 || tensor.dtype == model_.input_spec(input)->dtype;
        is_own ? call.bind_input(input, view) : call.copy_input(input, view);
      }
      call.run();
      return outputs(call);
    });
  }

  std::string predict_json(const std::string& json) override {
    return translate([&] { return model_.predict_json(json); });
  }

  rapidjson::Document predict(const Value& record) override {
    return translate([&] {
      const int64_t rows = record.IsArray() ? record.Size() : 1;
      sidecall::Call call(model_, rows);
      call.clear();
      for (int64_t row = 0; row < rows; ++row)
        set(call, row, record.IsArray() ? record[static_cast<rapidjson::SizeType>(row)] : record);
      call.run();
      rapidjson::Document out;
      rapidjson::Document list(rapidjson::kArrayType, &out.GetAllocator());
      for (int64_t row = 0; row < rows; ++row)
        list.PushBack(get(call, row, out.GetAllocator()), out.GetAllocator());
      static_cast<Value&>(out) = record.IsArray() ? list.Move() : list[0];
      return out;
    });
  }

 private:
  Named outputs(sidecall::Call& call) {
    Named out;
    for (int32_t i = 0; i < model_.num_outputs(); ++i) {
      const sidecall::View view = call.output(i);
      Tensor tensor{view.dtype(), {view.dims().begin(), view.dims().end()}, {}, {}};
      tensor.bytes.assign(view.bytes().begin(), view.bytes().end());
      if (view.dtype() == SIDECALL_DTYPE_STRING) {
        tensor.bytes.clear();
        tensor.offsets.push_back(0);
        for (size_t k = 0; k < view.size(); ++k) {
          const std::string_view text = view.str(k);
          tensor.bytes.insert(tensor.bytes.end(), text.begin(), text.end());
          tensor.offsets.push_back(static_cast<int64_t>(tensor.bytes.size()));
        }
      }
      out.emplace_back(model_.output_spec(i)->name, std::move(tensor));
    }
    return out;
  }

  // Ignores the exception of a refused value: the call remembers the refusal, and its run reports
  // all refusals together.
  template <typename Body>
  static void remembered(Body body) {
    try {
      body();
    } catch (const sidecall::Error& error) {
      if (error.status() == SIDECALL_BUSY || error.status() == SIDECALL_INVALID_ARGUMENT) throw;
    }
  }

  void set(sidecall::Call& call, int64_t row, const Value& record) {
    for (const auto& member : record.GetObject()) {
      const std::string name(member.name.GetString(), member.name.GetStringLength());
      const int32_t feature = sidecall_model_feature(model_.get(), name.c_str());
      const Value& value = member.value;
      remembered([&] {
        if (feature < 0)
          sidecall_call_set_unknown(call.get(), row, name.data(), name.size(), nullptr);
        else if (value.IsNull()) call.set_missing(row, feature);
        else if (value.IsBool()) call.set(row, feature, value.GetBool());
        else if (value.IsInt()) call.set(row, feature, value.GetInt());
        else if (value.IsInt64()) call.set(row, feature, value.GetInt64());
        else if (value.IsNumber()) call.set(row, feature, value.GetDouble());
        else if (value.IsString())
          call.set(row, feature, std::string_view(value.GetString(), value.GetStringLength()));
        else
          sidecall_call_set_invalid(call.get(), row, feature, value.IsArray() ? "array" : "object",
                                    nullptr);
      });
    }
  }

  // Reads by the names of the columns, as an application would.
  Value get(const sidecall::Call& call, int64_t row,
            rapidjson::Document::AllocatorType& allocator) {
    Value record(rapidjson::kObjectType);
    for (int32_t i = 0; i < model_.num_columns(); ++i) {
      const sidecall_column_spec* spec = model_.column_spec(i);
      Value value;
      if (spec->dtype == SIDECALL_DTYPE_STRING) value = text(call.get_str(row, i), allocator);
      else if (spec->dtype == SIDECALL_DTYPE_BOOL) value.SetBool(call.get_i64(row, i) != 0);
      else if (spec->dtype == SIDECALL_DTYPE_INT64) value.SetInt64(call.get_i64(row, i));
      else value.SetDouble(call.get_f64(row, i));
      const std::string output = model_.output_spec(spec->output)->name;
      const std::string name =
          spec->form == SIDECALL_FORM_SCALAR ? output : output + "." + spec->key;
      if (model_.column(name) != i)
        throw std::runtime_error("column '" + name +
                                 "': the lookup of this name gives another index");
      if (spec->form == SIDECALL_FORM_SCALAR) {
        record.AddMember(text(output, allocator), value, allocator);
        continue;
      }
      const Value key = text(output, allocator);
      const bool is_object = spec->form == SIDECALL_FORM_MEMBER;
      if (!record.HasMember(key))
        record.AddMember(text(output, allocator),
                         Value(is_object ? rapidjson::kObjectType : rapidjson::kArrayType),
                         allocator);
      if (is_object) record[key].AddMember(text(spec->key, allocator), value, allocator);
      else record[key].PushBack(value, allocator);
    }
    return record;
  }

  static Value text(std::string_view value, rapidjson::Document::AllocatorType& allocator) {
    return Value(value.data(), static_cast<rapidjson::SizeType>(value.size()), allocator);
  }

  sidecall::Model model_;
};

class CppBackend : public Backend {
 public:
  std::unique_ptr<Model> open(const Case& one) override {
    return translate([&] {
      sidecall::Options options;
      options.verify = one.verify;
      options.extra = one.extra;
      if (!one.as_bytes) return std::make_unique<CppModel>(sidecall::Model(one.uri, options));
      const std::string bytes = read_file(one.uri);
      return std::make_unique<CppModel>(
          sidecall::Model::from_bytes(bytes.data(), bytes.size(), options));
    });
  }
};

}  // namespace

std::unique_ptr<Backend> cpp_backend() { return std::make_unique<CppBackend>(); }

}  // namespace vectors
