# The C and C++ tests, the examples, and the checks of the ABI; ctest runs all of them.
find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)
add_test(NAME abi COMMAND "${Python3_EXECUTABLE}" "${PROJECT_SOURCE_DIR}/tools/check_abi.py" --library "$<TARGET_FILE:sidecall>")
foreach(folder tests/c tests/abi tests/core tests/outcomes tests/exits tests/shm tests/fuzz tests/faults tests/soak examples)
  if(EXISTS "${PROJECT_SOURCE_DIR}/${folder}/CMakeLists.txt")
    add_subdirectory(${folder})
  endif()
endforeach()
# This library replaces malloc, which sanitizers do too.
if(NOT SIDECALL_SANITIZE)
  add_subdirectory(tests/anomalies)
endif()
