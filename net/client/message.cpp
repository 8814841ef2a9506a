// Checks what a run sends; see message.h.
#include "message.h"

#include <sidecall/sidecall.h>

#include "base/dtype.h"
#include "net/common/datatype.h"
#include "net/common/error.h"
#include "net/common/tensor_data.h"

namespace sidecall::net {

int64_t count_elements(const sidecall_net_tensor& input) {
  return element_count(input.dims, static_cast<size_t>(input.rank));
}

const char* datatype_of(const sidecall_net_tensor& input) {
  const char* const name = datatype_name(input.dtype);
  if (name == nullptr)
    throw Error(SIDECALL_UNSUPPORTED,
                std::string("input '") + input.name +
                    "': expected a type of the Open Inference Protocol, got " +
                    dtype_name(input.dtype));
  return name;
}

}  // namespace sidecall::net
