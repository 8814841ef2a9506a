# Finds the headers that the library and the command are compiled against. Nothing here is linked:
# ONNX Runtime is opened at run time.
find_package(Threads REQUIRED)

# Sets `variable` to the folder that holds `header`, or stops with a message that says what to do.
function(sidecall_require_header variable header package)
  find_path(${variable} ${header} ${ARGN} DOC "Folder that holds ${header} (Debian: ${package})")
  mark_as_advanced(${variable})
  if(NOT ${variable})
    message(FATAL_ERROR "${header} not found: install Debian's package ${package}, or give its folder with -D${variable}=DIR")
  endif()
endfunction()

if(NOT SIDECALL_NATIVE_ONLY)
  if(SIDECALL_ONNXRUNTIME_INCLUDE AND NOT EXISTS "${SIDECALL_ONNXRUNTIME_INCLUDE}/onnxruntime_c_api.h")
    message(FATAL_ERROR "SIDECALL_ONNXRUNTIME_INCLUDE: expected a folder with onnxruntime_c_api.h, got ${SIDECALL_ONNXRUNTIME_INCLUDE}")
  endif()
  sidecall_require_header(SIDECALL_ONNXRUNTIME_INCLUDE onnxruntime_c_api.h libonnxruntime-dev
                          PATH_SUFFIXES onnxruntime onnxruntime/core/session)
  file(STRINGS "${SIDECALL_ONNXRUNTIME_INCLUDE}/onnxruntime_c_api.h" api REGEX "^#define ORT_API_VERSION [0-9]+")
  string(REGEX MATCH "[0-9]+" api "${api}")
  if(NOT api OR api LESS 21)
    message(FATAL_ERROR "${SIDECALL_ONNXRUNTIME_INCLUDE}/onnxruntime_c_api.h: expected ORT_API_VERSION 21 or newer, got '${api}'")
  endif()
endif()

sidecall_require_header(SIDECALL_RAPIDJSON_INCLUDE rapidjson/document.h rapidjson-dev)

add_library(sidecall-dependencies INTERFACE)
# SYSTEM suppresses our warnings in headers of other projects.
target_include_directories(sidecall-dependencies SYSTEM INTERFACE "${SIDECALL_RAPIDJSON_INCLUDE}")
if(NOT SIDECALL_NATIVE_ONLY)
  target_include_directories(sidecall-dependencies SYSTEM INTERFACE "${SIDECALL_ONNXRUNTIME_INCLUDE}")
endif()

if(SIDECALL_BUILD_COMMAND)
  sidecall_require_header(SIDECALL_CLI11_INCLUDE CLI/CLI.hpp libcli11-dev)
  add_library(sidecall-cli11 INTERFACE)
  target_include_directories(sidecall-cli11 SYSTEM INTERFACE "${SIDECALL_CLI11_INCLUDE}" "${SIDECALL_RAPIDJSON_INCLUDE}")
  # CLI11's own code is compiled once instead of in each file that includes it, which takes half of
  # the command's compile time away. CLI11 as a single header cannot do this.
  file(GLOB cli11_code CONFIGURE_DEPENDS "${SIDECALL_CLI11_INCLUDE}/CLI/impl/*_inl.hpp")
  if(cli11_code)
    list(TRANSFORM cli11_code REPLACE ".*/CLI/(.*)" "#include <CLI/\\1>\n")
    list(JOIN cli11_code "" cli11_code)
    file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/cli11.cpp" CONTENT "#include <CLI/CLI.hpp>\n${cli11_code}" @ONLY)
    add_library(sidecall-cli11-code OBJECT "${PROJECT_BINARY_DIR}/cli11.cpp")
    target_include_directories(sidecall-cli11-code SYSTEM PRIVATE "${SIDECALL_CLI11_INCLUDE}")
    target_compile_definitions(sidecall-cli11-code PUBLIC CLI11_COMPILE)
    target_link_libraries(sidecall-cli11 INTERFACE sidecall-cli11-code "$<TARGET_OBJECTS:sidecall-cli11-code>")
  endif()
endif()
if(SIDECALL_BUILD_TESTS)
  find_package(Catch2 3 QUIET)
  if(NOT Catch2_FOUND)
    message(FATAL_ERROR "Catch2 3 not found: install Debian's package catch2, or configure with -DSIDECALL_BUILD_TESTS=OFF")
  endif()
endif()
