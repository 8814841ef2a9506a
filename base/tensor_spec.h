// What a model declares about one of its inputs or outputs. Made from a graph, or from the
// signature that a server announces.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sidecall {

using Dims = std::vector<int64_t>;

struct TensorSpec {
  std::string name;
  int32_t dtype = 0;                        // SIDECALL_DTYPE_*
  Dims dims = {};                           // -1 for a free dimension
  std::vector<std::string> dim_names = {};  // one per dimension; "" for none
  // False if the graph declares no shape for an output, not even a rank. `dims` is empty then.
  bool is_shaped = true;
  bool has_rows() const { return !dims.empty() && dims[0] < 0; }
};

}  // namespace sidecall
