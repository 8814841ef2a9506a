// sidecall compare: handed over to the Python package, which can ask the original.
#include "command.hpp"
#include "python.hpp"

namespace sidecall::cli {

int run_compare(const Command& self, std::vector<std::string> arguments) {
  hand_over("sidecall.comparing", self.name, arguments);
}

}  // namespace sidecall::cli
