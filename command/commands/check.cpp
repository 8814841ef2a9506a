// sidecall check: runs in the Python package, which can load the pipeline.
#include <utility>

#include "command.hpp"
#include "python.hpp"

namespace sidecall::cli {

int run_check(const Command& self, std::vector<std::string> arguments) {
  hand_over("sidecall.exporting", self.name, std::move(arguments));
}

}  // namespace sidecall::cli
