# What the wheel holds besides Python files: the module, the one shared library for both backends, and the header that cffi reads.
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
find_package(pybind11 3 CONFIG REQUIRED)

file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/python/src/*.cpp")
pybind11_add_module(sidecall-python MODULE ${sources})
set_target_properties(sidecall-python PROPERTIES OUTPUT_NAME _native INSTALL_RPATH "$ORIGIN")
target_link_libraries(sidecall-python PRIVATE sidecall sidecall-flags)

install(TARGETS sidecall sidecall-python LIBRARY DESTINATION sidecall)
install(DIRECTORY include/sidecall DESTINATION sidecall/include FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
