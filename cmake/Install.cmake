# Installs the shared and the static library, headers, the command, find_package(sidecall) and
# pkg-config; the target `uninstall` removes them.
include(CMakePackageConfigHelpers)

install(TARGETS sidecall sidecall-static EXPORT sidecall
  LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY include/sidecall DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
if(TARGET sidecall-cli)
  install(TARGETS sidecall-cli RUNTIME DESTINATION "${CMAKE_INSTALL_BINDIR}")
  # The command writes its own completions and manual page. A cross build cannot run the
  # command and therefore installs none of them.
  if(NOT CMAKE_CROSSCOMPILING)
    set(made "${PROJECT_BINARY_DIR}/share")
    add_custom_command(OUTPUT "${made}/sidecall" "${made}/_sidecall" "${made}/sidecall.fish" "${made}/sidecall.1"
      COMMAND "${CMAKE_COMMAND}" -E make_directory "${made}"
      COMMAND sidecall-cli completion bash > "${made}/sidecall"
      COMMAND sidecall-cli completion zsh > "${made}/_sidecall"
      COMMAND sidecall-cli completion fish > "${made}/sidecall.fish"
      COMMAND sidecall-cli man > "${made}/sidecall.1"
      DEPENDS sidecall-cli VERBATIM)
    add_custom_target(sidecall-share ALL DEPENDS "${made}/sidecall.1")
    install(FILES "${made}/sidecall" DESTINATION "${CMAKE_INSTALL_DATADIR}/bash-completion/completions")
    install(FILES "${made}/_sidecall" DESTINATION "${CMAKE_INSTALL_DATADIR}/zsh/site-functions")
    install(FILES "${made}/sidecall.fish" DESTINATION "${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d")
    install(FILES "${made}/sidecall.1" DESTINATION "${CMAKE_INSTALL_MANDIR}/man1")
  endif()
endif()

# The further libraries that a C program needs if it links libsidecall.a: those that the C++
# compiler links by itself and the C compiler does not.
set(cxx_libraries ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
foreach(library IN LISTS CMAKE_C_IMPLICIT_LINK_LIBRARIES)
  list(REMOVE_ITEM cxx_libraries "${library}")
endforeach()
list(REMOVE_DUPLICATES cxx_libraries)
# A build with the native engine alone is for programs that need nothing but the C library, so these
# programs contain the C++ library too.
if(SIDECALL_NATIVE_ONLY)
  list(TRANSFORM cxx_libraries REPLACE "^stdc\\+\\+$" ":libstdc++.a")
  set(static_options -static-libgcc)
endif()

set(package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/sidecall")
install(EXPORT sidecall NAMESPACE sidecall:: FILE sidecallTargets.cmake DESTINATION "${package_dir}")
configure_package_config_file(cmake/sidecallConfig.cmake.in "${PROJECT_BINARY_DIR}/sidecallConfig.cmake" INSTALL_DESTINATION "${package_dir}")
# Before 1.0, a minor version may be incompatible.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/sidecallConfigVersion.cmake" COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/sidecallConfig.cmake" "${PROJECT_BINARY_DIR}/sidecallConfigVersion.cmake" DESTINATION "${package_dir}")

# The prefix is written relative to the .pc file, so that an installed tree can be moved.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}" OR IS_ABSOLUTE "${CMAKE_INSTALL_INCLUDEDIR}")
  set(pc_prefix "${CMAKE_INSTALL_PREFIX}")
  set(pc_libdir "${CMAKE_INSTALL_FULL_LIBDIR}")
  set(pc_includedir "${CMAKE_INSTALL_FULL_INCLUDEDIR}")
else()
  file(RELATIVE_PATH up "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
  set(pc_prefix "\${pcfiledir}/${up}")
  string(REGEX REPLACE "/$" "" pc_prefix "${pc_prefix}")
  set(pc_libdir "\${prefix}/${CMAKE_INSTALL_LIBDIR}")
  set(pc_includedir "\${prefix}/${CMAKE_INSTALL_INCLUDEDIR}")
endif()
set(pc_private ${cxx_libraries} ${CMAKE_DL_LIBS})
list(TRANSFORM pc_private PREPEND "-l")
list(APPEND pc_private -pthread ${static_options})
if(SIDECALL_NATIVE_ONLY)
  list(APPEND pc_private -Wl,--gc-sections)
endif()
list(JOIN pc_private " " pc_private)
configure_file(cmake/sidecall.pc.in sidecall.pc @ONLY)
install(FILES "${PROJECT_BINARY_DIR}/sidecall.pc" DESTINATION "${CMAKE_INSTALL_LIBDIR}/pkgconfig")

if(SIDECALL_BUNDLE_ONNXRUNTIME)
  if(NOT EXISTS "${SIDECALL_BUNDLE_ONNXRUNTIME}")
    message(FATAL_ERROR "SIDECALL_BUNDLE_ONNXRUNTIME: no such file: ${SIDECALL_BUNDLE_ONNXRUNTIME}")
  endif()
  get_filename_component(bundled "${SIDECALL_BUNDLE_ONNXRUNTIME}" REALPATH)
  # Install the library beside libsidecall, which searches there before it searches the packages
  # that pip or npm installed. The library keeps its full name, so that only libsidecall finds it.
  install(PROGRAMS "${bundled}" DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT onnxruntime)
elseif(TARGET sidecall-cli)
  install(CODE "message(STATUS \"ONNX Runtime is not part of this installation:\"
    \" '\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/sidecall doctor' says whether a library that is new enough is found\")")
endif()

add_custom_target(uninstall
  COMMAND "${CMAKE_COMMAND}" "-DBUILD=${PROJECT_BINARY_DIR}" -P "${PROJECT_SOURCE_DIR}/cmake/Uninstall.cmake"
  COMMENT "Removing the files that the last installation wrote" VERBATIM)
