# Builds the Python package without compiling: takes the module, the library and the command of an
# ordinary build that was configured with SIDECALL_BUILD_PYTHON.
file(GLOB prebuilt "${SIDECALL_PREBUILT}/python/*.so")
if(NOT prebuilt OR NOT EXISTS "${SIDECALL_PREBUILT}/bin/sidecall")
  message(FATAL_ERROR "SIDECALL_PREBUILT: expected a build with SIDECALL_BUILD_PYTHON=ON, got ${SIDECALL_PREBUILT}")
endif()
install(PROGRAMS ${prebuilt} DESTINATION sidecall)
install(DIRECTORY include/sidecall DESTINATION sidecall/include FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
file(COPY "${SIDECALL_PREBUILT}/bin/sidecall" DESTINATION "${PROJECT_BINARY_DIR}/bin")
