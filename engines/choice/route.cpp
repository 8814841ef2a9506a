// Holds the table of routes; see route.h.
#include "route.h"

#include "engine.h"
#include "engines/oip/engine.h"
#include "engines/shm/engine.h"
#ifdef SIDECALL_WITH_TEST_ROUTE
#include "engines/test/engine.h"
#endif

namespace sidecall {
namespace {

// A way to models that are not files: which URIs it opens, and how.
struct ModelRoute {
  bool (*opens)(const std::string& uri) noexcept;
  std::shared_ptr<const Model> (*open)(const std::string& uri,
                                       const sidecall_model_options& options);
};

// A new route needs a folder in engines/ and a line here. The languages need nothing.
constexpr ModelRoute kRoutes[] = {
    {is_remote, open_remote},
    {is_network, open_network},
#ifdef SIDECALL_WITH_TEST_ROUTE
    {is_test, open_test},
#endif
};

}  // namespace

std::shared_ptr<const Model> open_uri(const std::string& uri,
                                      const sidecall_model_options& options) {
  for (const ModelRoute& route : kRoutes) {
    if (route.opens(uri)) return route.open(uri, options);
  }
  return Model::open(uri, options, open_local_engine);
}

}  // namespace sidecall
