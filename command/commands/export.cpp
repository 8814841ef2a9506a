// sidecall export: runs in the Python package, which knows the libraries that models are trained
// with.
#include <utility>

#include "command.hpp"
#include "python.hpp"

namespace sidecall::cli {

int run_export(const Command& self, std::vector<std::string> arguments) {
  hand_over("sidecall.exporting", self.name, std::move(arguments));
}

}  // namespace sidecall::cli
