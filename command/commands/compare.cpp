// sidecall compare: runs in the Python package, which can run the original pipeline.
#include <utility>

#include "command.hpp"
#include "python.hpp"

namespace sidecall::cli {

int run_compare(const Command& self, std::vector<std::string> arguments) {
  hand_over("sidecall.comparing", self.name, std::move(arguments));
}

}  // namespace sidecall::cli
