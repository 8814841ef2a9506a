# Builds llhttp from the C files that its authors generate; they come without a build file.
cmake_minimum_required(VERSION 3.16)
project(llhttp C)
add_library(llhttp STATIC src/api.c src/http.c src/llhttp.c)
target_include_directories(llhttp PRIVATE include)
install(TARGETS llhttp ARCHIVE DESTINATION lib)
install(FILES include/llhttp.h DESTINATION include)
