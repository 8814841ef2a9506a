// Chooses the engine that runs a file; see engine.h.
#include "engine.h"

#include <optional>

#include "base/text/utf8.h"
#include "core/error.h"
#include "core/platform.h"
#include "core/text.h"
#include "core/uri.h"
#include "engines/native/engine.h"
#include "engines/onnxruntime/engine.h"
#include "engines/onnxruntime/library.h"

namespace sidecall {
namespace {

std::optional<int32_t> engine_of_environment() {
  const char* text = platform::environment("SIDECALL_ENGINE");
  if (text == nullptr || *text == '\0') return std::nullopt;
  if (const std::optional<int32_t> engine = engine_named(text)) return engine;
  throw Error(
      SIDECALL_INVALID_ARGUMENT,
      "SIDECALL_ENGINE: expected auto, native or onnxruntime, got '" + printable(text) + "'");
}

// A reason may repeat texts of the file, which may have any length.
std::string shortened(std::string reason) {
  constexpr size_t kMaxBytes = 500;
  if (reason.size() <= kMaxBytes) return reason;
  reason.resize(cut_length(reason, kMaxBytes));
  return reason + "...";
}

// Opens a file with the engine that "auto" takes.
class AutomaticChoice {
 public:
  AutomaticChoice(const OnnxFile& file, const std::string& label,
                  const sidecall_model_options& options, const ContractDocument* contract)
      : file_(file), label_(label), options_(options) {
    if (contract == nullptr) {
      why_not_native_ = "the file has no contract, which could prove it on the native engine";
      return;
    }
    const std::string version = contract->proven_version("native");
    is_proven_ = version == kNativeNumerics;
    if (is_proven_) return;
    why_not_native_ = version.empty()
                          ? "the export did not prove the file on the native engine"
                          : "the export proved the file on version " + printable(version) +
                                " of the native engine, and this is version " + kNativeNumerics;
  }

  ChosenEngine open() {
    if (is_proven_) {
      try {
        return {open_native_engine(file_, label_, options_), "the export proved the file on it"};
      } catch (const Error& error) {
        if (error.status() != SIDECALL_UNSUPPORTED) throw;
        why_not_native_ = "the native engine refuses the file: " + std::string(error.what());
      }
    }
    try {
      return {open_ort_engine(file_, label_, options_), shortened(why_not_native_)};
    } catch (const Error& error) {
      const bool is_absent =
          error.status() == SIDECALL_ENGINE_NOT_FOUND || error.status() == SIDECALL_ENGINE_TOO_OLD;
      // If a library is named, but cannot be used, the caller must learn that.
      if (!is_absent || names_ort_library(options_.onnxruntime)) throw;
      return open_without_onnxruntime(error);
    }
  }

 private:
  ChosenEngine open_without_onnxruntime(const Error& absent) const {
    try {
      return {open_native_engine(file_, label_, options_),
              "no usable ONNX Runtime was found, and it has all operators of the file"};
    } catch (const Error& error) {
      if (error.status() != SIDECALL_UNSUPPORTED) throw;
      throw Error(absent.status(), "the native engine cannot run this model: " +
                                       std::string(error.what()) + "; " + absent.what());
    }
  }

  const OnnxFile& file_;
  const std::string& label_;
  const sidecall_model_options& options_;
  bool is_proven_ = false;
  std::string why_not_native_;
};

}  // namespace

ChosenEngine open_local_engine(const OnnxFile& file, const std::string& label,
                               const sidecall_model_options& options,
                               const ContractDocument* contract) {
  const std::optional<int32_t> of_environment = engine_of_environment();
  const char* reason = of_environment ? "SIDECALL_ENGINE names it" : "the caller named it";
  switch (of_environment.value_or(options.engine)) {
    case SIDECALL_ENGINE_NATIVE:
      return {open_native_engine(file, label, options), reason};
    case SIDECALL_ENGINE_ONNXRUNTIME:
      return {open_ort_engine(file, label, options), reason};
    default:
      return AutomaticChoice(file, label, options, contract).open();
  }
}

}  // namespace sidecall
