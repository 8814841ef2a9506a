# Builds the parts of the wheel that are not Python files: the module, the one shared library for
# both backends, and the header that cffi reads. An ordinary build writes the module and the library
# to the folder `python` of the build folder, where PythonPrebuilt.cmake finds them.
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
if(NOT pybind11_DIR)
  execute_process(COMMAND "${Python_EXECUTABLE}" -m pybind11 --cmakedir
    OUTPUT_VARIABLE pybind11_DIR OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
find_package(pybind11 3 CONFIG REQUIRED)

if(SKBUILD)
  set(library sidecall)
else()
  set(library sidecall-python-library)  # the same objects under the name that the wheel uses
  sidecall_add_shared(${library})
endif()
# A wheel cannot hold symbolic links, and two versions in one process must not share a SONAME.
set_target_properties(${library} PROPERTIES OUTPUT_NAME "sidecall-${PROJECT_VERSION}")

file(GLOB sources CONFIGURE_DEPENDS "${PROJECT_SOURCE_DIR}/python/src/*.cpp")
pybind11_add_module(sidecall-python MODULE ${sources})
set_target_properties(sidecall-python PROPERTIES OUTPUT_NAME _native INSTALL_RPATH "$ORIGIN")
target_link_libraries(sidecall-python PRIVATE ${library} sidecall-base sidecall-flags)

if(SKBUILD)
  install(TARGETS sidecall sidecall-python LIBRARY DESTINATION sidecall)
  install(DIRECTORY include/sidecall DESTINATION sidecall/include FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
else()
  set_target_properties(${library} sidecall-python PROPERTIES
    LIBRARY_OUTPUT_DIRECTORY "${PROJECT_BINARY_DIR}/python" BUILD_WITH_INSTALL_RPATH ON)
endif()
