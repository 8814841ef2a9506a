# Checks that versions agree. VERSION is the source; the header repeats it for C programs, and npm's
# package.json for npm.
set(header "${PROJECT_SOURCE_DIR}/include/sidecall/sidecall.h")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${header}" "${PROJECT_SOURCE_DIR}/VERSION")
set(in_header "")
foreach(part MAJOR MINOR PATCH)
  file(STRINGS "${header}" line REGEX "^#define SIDECALL_VERSION_${part} [0-9]+")
  string(REGEX MATCH "[0-9]+$" number "${line}")
  list(APPEND in_header "${number}")
endforeach()
list(JOIN in_header "." in_header)
if(NOT in_header STREQUAL PROJECT_VERSION)
  message(FATAL_ERROR "sidecall.h: expected version ${PROJECT_VERSION} as in VERSION, got ${in_header}")
endif()

set(package "${PROJECT_SOURCE_DIR}/bindings/node/package.json")
if(EXISTS "${package}")  # a Python sdist does not contain it
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${package}")
  file(READ "${package}" text)
  string(JSON in_package GET "${text}" version)
  if(NOT in_package STREQUAL PROJECT_VERSION)
    message(FATAL_ERROR "bindings/node/package.json: expected version ${PROJECT_VERSION} as in VERSION, got ${in_package}")
  endif()
endif()
