# Finds the headers of Node-API for bindings/node in the npm packages that the lock file of
# bindings/node names.
# Nothing is linked, because node itself defines the symbols.
function(sidecall_require_npm_header variable header folder)
  find_path(${variable} ${header} PATHS "${folder}" NO_DEFAULT_PATH DOC "Folder that holds ${header}")
  mark_as_advanced(${variable})
  if(NOT ${variable})
    message(FATAL_ERROR "${header} not found: run npm ci in bindings/node, or give its folder with -D${variable}=DIR")
  endif()
endfunction()

set(modules "${PROJECT_SOURCE_DIR}/bindings/node/node_modules")
sidecall_require_npm_header(SIDECALL_NODE_API_INCLUDE node_api.h "${modules}/node-api-headers/include")
sidecall_require_npm_header(SIDECALL_NODE_ADDON_API_INCLUDE napi.h "${modules}/node-addon-api")

add_library(sidecall-node-api INTERFACE)
target_include_directories(sidecall-node-api SYSTEM INTERFACE "${SIDECALL_NODE_API_INCLUDE}" "${SIDECALL_NODE_ADDON_API_INCLUDE}")
# This adds the target sidecall-node, which writes lib/sidecall.node in the build folder.
add_subdirectory(bindings/node)
