// The parts of the post transforms that are not templates; see post_transform.h.
#include "post_transform.h"

#include <iterator>
#include <string>

#include "core/text.h"

namespace sidecall::native {

PostTransform post_transform_of(const Node& node) {
  static constexpr std::string_view kNames[] = {"NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO",
                                                "PROBIT"};
  const std::string_view name = node.text("post_transform", "NONE");
  for (size_t i = 0; i < std::size(kNames); ++i) {
    if (name == kNames[i]) return static_cast<PostTransform>(i);
  }
  refuse_node(node, SIDECALL_FILE_INVALID,
              "post_transform: expected NONE, SOFTMAX, LOGISTIC, SOFTMAX_ZERO or PROBIT, got '" +
                  printable(std::string(name)) + "'");
}

float probit(float x) {
  const float y = 2 * x - 1;
  const float log = std::log((1 - y) * (1 + y));
  const float v = 2 / (3.14159265358979323846F * 0.147F) + 0.5F * log;
  const float w = 1 / 0.147F * log;
  const float root = std::sqrt(-v + std::sqrt(v * v - w));
  return 1.41421356237309504880F * (y < 0 ? -1.0F * root : root);
}

}  // namespace sidecall::native
