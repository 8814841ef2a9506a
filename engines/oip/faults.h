// Reads the faults that a server of sidecall reports with an error.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace sidecall {

// `text`: see sidecall_net_error.faults. Sets *total, which also counts faults that the server left
// out. A text in another form has none: the error is then reported without them.
std::vector<Fault> read_faults(std::string_view text, size_t* total);

}  // namespace sidecall
