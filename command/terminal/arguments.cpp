// CLI11 with our help and error texts; see arguments.hpp.
#include "arguments.hpp"

#include <algorithm>
#include <charconv>
#include <memory>
#include <sstream>

#include "output.hpp"

namespace sidecall::cli {
namespace {

// Converts an error of CLI11 to the form of our error texts: what, expected, got. Always one line.
std::string plain_message(const CLI::ParseError& error) {
  std::string text = error.what();
  text = text.substr(0, text.find('\n'));
  const std::string name = text.substr(0, text.find(':'));
  if (dynamic_cast<const CLI::RequiredError*>(&error))
    return "expected " + text.substr(0, text.find(' ')) + ", got nothing";
  if (dynamic_cast<const CLI::ArgumentMismatch*>(&error))
    return name + ": expected a value, got nothing";
  if (dynamic_cast<const CLI::ExtrasError*>(&error))
    return "unexpected argument" + text.substr(text.find(':'));
  return text;
}

constexpr size_t kScreenWidth = 80;

// Breaks a text into lines of at most `width` characters.
std::string wrapped(const std::string& text, size_t width) {
  std::istringstream words(text);
  std::string result;
  size_t used = 0;
  for (std::string word; words >> word;) {
    const bool fits = used + 1 + word.size() <= width;
    if (!result.empty()) result += fits ? ' ' : '\n';
    used = result.empty() || !fits ? word.size() : used + 1 + word.size();
    result += word;
  }
  return result;
}

// The help of CLI11, whose descriptions of options are wrapped at the width of a screen.
class WrappingFormatter final : public CLI::Formatter {
 public:
  std::string make_option_desc(const CLI::Option* option) const override {
    return wrapped(CLI::Formatter::make_option_desc(option), kScreenWidth - get_column_width());
  }
};

std::function<void(Arguments&)> g_observer;

}  // namespace

void describe_instead(std::function<void(Arguments&)> observer) {
  g_observer = std::move(observer);
}

Arguments::Arguments(const Command& command, const std::string& notes)
    : app(std::string("sidecall ") + command.name + ": " + command.summary,
          std::string("sidecall ") + command.name),
      command_(command),
      notes_(notes) {
  app.formatter(std::make_shared<WrappingFormatter>());
  app.footer((notes.empty() ? "" : notes + "\n\n") + "Example:\n  " + command.example);
  app.get_formatter()->column_width(22);
  app.get_formatter()->label("Positionals", "Arguments");
  app.get_formatter()->label("OPTIONS", "options");
  app.set_help_flag("-h,--help", "show this help");
}

bool Arguments::parse(std::vector<std::string> arguments) {
  if (g_observer) {
    g_observer(*this);
    return false;
  }
  std::reverse(arguments.begin(), arguments.end());  // CLI11 expects the vector in reverse order
  try {
    app.parse(std::move(arguments));
  } catch (const CLI::CallForHelp&) {
    out().write(app.help());
    return false;
  } catch (const CLI::ParseError& error) {
    throw Failure(kUsage, std::string(command_.name) + ": " + plain_message(error) +
                              " (see sidecall " + command_.name + " --help)");
  }
  return true;
}

CLI::Validator one_of(std::vector<std::string> choices) {
  std::string name = kChoices;
  for (const auto& choice : choices) name += (&choice == &choices.front() ? "" : " ") + choice;
  return CLI::Validator(
      [choices = std::move(choices)](const std::string& given) {
        std::string expected;
        for (size_t i = 0; i < choices.size(); ++i) {
          if (choices[i] == given) return std::string();
          expected += (i == 0 ? "" : i + 1 == choices.size() ? " or " : ", ") + choices[i];
        }
        return "expected " + expected + ", got '" + given + "'";
      },
      "", name);
}

CLI::Validator number_of_seconds(ZeroSeconds zero) {
  return CLI::Validator(
      [zero](const std::string& given) {
        double seconds = 0;
        const bool is_number = CLI::detail::lexical_cast(given, seconds);
        const bool may_be_zero = zero == ZeroSeconds::kAllowed;
        if (is_number && may_be_zero && seconds == 0) return std::string();
        return is_number && seconds >= 1e-9 && seconds <= 1e9
                   ? std::string()
                   : std::string("expected a positive number of seconds") +
                         (may_be_zero ? " or 0" : "") + ", got '" + given + "'";
      },
      "");
}

CLI::Validator whole_number(int64_t least, int64_t most) {
  return CLI::Validator(
      [least, most](const std::string& given) {
        int64_t number = 0;
        const auto parsed = std::from_chars(given.data(), given.data() + given.size(), number);
        const bool is_whole = parsed.ec == std::errc() && parsed.ptr == given.data() + given.size();
        return is_whole && number >= least && number <= most
                   ? std::string()
                   : "expected a whole number from " + std::to_string(least) + " to " +
                         std::to_string(most) + ", got '" + given + "'";
      },
      "");
}

CLI::Validator number_between(double least, double most) {
  return CLI::Validator(
      [least, most](const std::string& given) {
        double number = 0;
        const bool is_number = CLI::detail::lexical_cast(given, number);
        return is_number && number >= least && number <= most
                   ? std::string()
                   : "expected a number from " + short_number(least) + " to " + short_number(most) +
                         ", got '" + given + "'";
      },
      "");
}

void add_onnxruntime_option(CLI::App& app, ModelOptions& options) {
  app.add_option("--onnxruntime", options.onnxruntime,
                 "ONNX Runtime library to load (default: SIDECALL_ONNXRUNTIME, otherwise a search)")
      ->option_text("PATH");
}

void add_engine_options(CLI::App& app, ModelOptions& options) {
  app.add_option("--engine", options.engine,
                 "engine that runs a file: onnxruntime; native, which is sidecall's own; or auto "
                 "(default): native if the export proved the file on it, otherwise onnxruntime")
      ->check(one_of({"auto", "native", "onnxruntime"}))
      ->option_text("NAME");
  add_onnxruntime_option(app, options);
}

void add_route_options(CLI::App& app, ModelOptions& options) {
  app.add_option("--wait", options.wait_s,
                 "how long to wait for a server that is still starting (default: 0)")
      ->check(number_of_seconds(ZeroSeconds::kAllowed))
      ->option_text("SECONDS");
  app.add_flag("--allow-exec", options.allow_exec,
               "allow MODEL to be exec:COMMAND, which starts COMMAND as the server");
  add_engine_options(app, options);
}

}  // namespace sidecall::cli
