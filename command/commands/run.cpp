// sidecall run: reads input tensors from .npy files and writes output tensors to .npy files.
#include <fcntl.h>
#include <sidecall/binding.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <list>
#include <memory>

#include "formats/npy.hpp"
#include "model/model.hpp"
#include "terminal/output.hpp"
#include "terminal/platform.hpp"

namespace sidecall::cli {
namespace {

// An argument of the form NAME=@FILE.
struct Named {
  std::string name;
  std::string file;
};

Named parse_named(const char* option, const std::string& text) {
  const size_t at = text.find("=@");  // a name may contain '=', but is unlikely to contain "=@"
  if (at == std::string::npos || at + 2 == text.size())
    throw Failure(kUsage,
                  std::string("run: ") + option + ": expected NAME=@FILE.npy, got '" + text + "'");
  return {text.substr(0, at), text.substr(at + 2)};
}

// Whether the path is a device or pipe, which must not be replaced by a file.
bool is_special(const std::string& path) {
  struct stat found = {};
  return ::stat(path.c_str(), &found) == 0 && !S_ISREG(found.st_mode);
}

// Resolves symbolic links, so that the target file is replaced and not the link.
std::string followed(const std::string& path) {
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(path.c_str(), nullptr),
                                                         &std::free);
  return real ? real.get() : path;
}

// Writes a file completely or not at all: the file gets its name only when it is complete.
void write_whole(const std::string& path, std::string_view bytes) {
  if (path == "-") return out().write(bytes);
  const bool in_place = is_special(path);
  const std::string file = followed(path);
  const std::string partial = in_place ? file : file + ".partial";
  const int fd =
      ::open(partial.c_str(), O_WRONLY | O_CLOEXEC | (in_place ? 0 : O_CREAT | O_TRUNC), 0666);
  if (fd == -1) throw Failure(kEnvironment, path + ": " + error_text(errno));
  int error = write_all(fd, bytes);
  if (::close(fd) != 0 && error == 0) error = errno;
  if (!in_place) {
    if (error == 0 && ::rename(partial.c_str(), file.c_str()) != 0) error = errno;
    if (error != 0) ::unlink(partial.c_str());
  }
  if (error != 0) throw Failure(kEnvironment, path + ": " + error_text(error));
}

class Run {
 public:
  Run(const std::string& uri, const ModelOptions& options) : model_(open_model(uri, options)) {
    sidecall_call* call = nullptr;
    check(sidecall_call_open(model_.get(), 1, &call, &err_));
    call_.reset(call);
  }

  void give(const Named& tensor) {
    const int32_t input = find(SIDECALL_KIND_INPUT, tensor.name);
    arrays_.push_back(read_npy(tensor.file));
    Array& array = arrays_.back();
    if (array.dtype == 0) {
      sidecall_call_describe_mismatch(call_.get(), input, array.numpy_dtype.c_str(), &err_);
      check(err_.status);
    }
    const sidecall_view view = array.view();
    // Copying converts a float32 file for a float64 input, and a float64 file for a float32 input.
    const bool is_bound = array.dtype != SIDECALL_DTYPE_STRING &&
                          array.dtype == sidecall_model_input_spec(model_.get(), input)->dtype;
    check(is_bound ? sidecall_call_bind_input(call_.get(), input, &view, &err_)
                   : sidecall_call_copy_input(call_.get(), input, &view, &err_));
  }

  void run(int64_t timeout_ns) { check(sidecall_call_run(call_.get(), timeout_ns, &err_)); }

  std::string npy(int32_t output) {
    sidecall_view view = SIDECALL_VIEW_INIT;
    check(sidecall_call_output(call_.get(), output, &view, &err_));
    return to_npy(name_of(output), view);
  }

  int32_t find(int32_t kind, const std::string& name) {
    int32_t index = -1;
    check(sidecall_model_find(model_.get(), kind, name.data(), name.size(), &index, &err_));
    return index;
  }
  std::string name_of(int32_t output) const {
    return sidecall_model_output_spec(model_.get(), output)->name;
  }
  int32_t num_outputs() const { return sidecall_model_num_outputs(model_.get()); }

 private:
  void check(sidecall_status status) const {
    if (status != SIDECALL_OK) throw Failure(exit_code_of(status), err_.message);
  }

  Model model_;
  Call call_;
  std::list<Array> arrays_;  // the engine reads them in place, so they must not move
  sidecall_error err_ = SIDECALL_ERROR_INIT;
};

// Returns which output goes to which file. Without --out, the output of a model with one output
// goes to stdout.
std::vector<std::pair<int32_t, std::string>> destinations(Run& run,
                                                          const std::vector<std::string>& outs) {
  std::vector<std::pair<int32_t, std::string>> files;
  for (const auto& out : outs) {
    if (out.find("=@") != std::string::npos) {
      const Named named = parse_named("--out", out);
      files.emplace_back(run.find(SIDECALL_KIND_OUTPUT, named.name), named.file);
      continue;
    }
    for (int32_t i = 0; i < run.num_outputs(); ++i) {
      const std::string name = run.name_of(i);
      if (name.find('/') != std::string::npos)
        throw Failure(kUsage,
                      "run: --out: expected NAME=@FILE.npy for an output whose name contains '/', "
                      "got a folder");
      files.emplace_back(i, out + "/" + name + ".npy");
    }
  }
  if (!files.empty()) return files;
  if (run.num_outputs() > 1) {
    throw Failure(kUsage, "run: expected --out for a model with " +
                              std::to_string(run.num_outputs()) + " outputs, got none");
  }
  if (::isatty(STDOUT_FILENO) == 1)
    throw Failure(kUsage, "run: expected --out, or a pipe for the .npy file, got a terminal");
  return {{0, "-"}};
}

}  // namespace

int run_run(const Command& self, std::vector<std::string> words) {
  Arguments arguments(self,
                      "Each file is one array in C order, as numpy.save writes it; @- is stdin or\n"
                      "stdout. Without --out, a model with one output writes it to stdout.");
  ModelOptions options;
  std::string uri;
  std::vector<std::string> tensors, outs;
  CLI::App& app = arguments.app;
  app.add_option("MODEL", uri, kModelHelp)->required()->option_text(" ");
  app.add_option("--tensor", tensors, "input to read from a .npy file; once for each input")
      ->option_text("NAME=@FILE")
      ->take_all()
      ->expected(1);
  app.add_option("--out", outs, "output to write to a .npy file; or a folder, for all outputs")
      ->option_text("NAME=@FILE")
      ->take_all()
      ->expected(1);
  app.add_option("--verify", options.verify,
                 "what to do if a golden row fails when MODEL is opened: error (default), warn or "
                 "off (do not run the golden rows)")
      ->check(one_of({"error", "warn", "off"}))
      ->option_text("HOW");
  app.add_option("--timeout", options.timeout_s,
                 "deadline of the run (default: none in process, otherwise 30)")
      ->check(number_of_seconds())
      ->option_text("SECONDS");
  add_route_options(app, options);
  if (!arguments.parse(std::move(words))) return kOk;

  std::vector<Named> inputs;
  for (const auto& tensor : tensors) {
    inputs.push_back(parse_named("--tensor", tensor));
    const auto& name = inputs.back().name;
    if (std::count_if(inputs.begin(), inputs.end(),
                      [&](const Named& input) { return input.name == name; }) > 1)
      throw Failure(kUsage, "run: --tensor: expected each input once, got '" + name + "' twice");
  }
  if (std::count_if(inputs.begin(), inputs.end(),
                    [](const Named& input) { return input.file == "-"; }) > 1)
    throw Failure(kUsage, "run: --tensor: expected one input from stdin, got more");
  Run run(uri, options);
  const auto files = destinations(run, outs);
  for (const auto& input : inputs) run.give(input);
  run.run(run_timeout_ns(options));
  std::vector<std::string> bytes;  // make all files before writing the first
  bytes.reserve(files.size());
  for (const auto& [output, file] : files) bytes.push_back(run.npy(output));
  for (size_t i = 0; i < files.size(); ++i) write_whole(files[i].second, bytes[i]);
  return kOk;
}

}  // namespace sidecall::cli
