# Builds libsidecall-net.so, which contains libcurl, llhttp, nghttp2 and Mbed TLS as
# net/libraries/build.sh builds them. It exports one function for clients and one for servers, and
# none of its symbols bind to those of the host program: Node.js, for example, exports its own
# nghttp2.
set(SIDECALL_NET_LIBRARIES "${PROJECT_BINARY_DIR}/net-libraries" CACHE PATH "Folder into which net/libraries/build.sh installed")
if(NOT EXISTS "${SIDECALL_NET_LIBRARIES}/lib/libcurl.a")
  message(FATAL_ERROR "SIDECALL_NET_LIBRARIES: expected libcurl.a in ${SIDECALL_NET_LIBRARIES}/lib: run net/libraries/build.sh ${SIDECALL_NET_LIBRARIES}, or configure with -DSIDECALL_BUILD_NET=OFF")
endif()
sidecall_require_header(SIDECALL_PROTOZERO_INCLUDE protozero/pbf_reader.hpp libprotozero-dev)
# The libraries that the server needs; tests/fuzz links them too. Those of Mbed TLS come in link
# order.
set(SIDECALL_NET_SERVER_LIBRARIES llhttp nghttp2 mbedtls mbedx509 mbedcrypto everest p256m)
list(TRANSFORM SIDECALL_NET_SERVER_LIBRARIES
  REPLACE "(.+)" "${SIDECALL_NET_LIBRARIES}/lib/lib\\1.a")

# The page of the server. A library of its own, because tests/fuzz links the files too.
set(page_folder "${PROJECT_SOURCE_DIR}/net/server/http/page")
set(page_files index.html style.css page.js answer.js calls.js contract.js elements.js exact.js fields.js tensors.js)
set(page_source "${PROJECT_BINARY_DIR}/net-page/page_files.cpp")
list(TRANSFORM page_files PREPEND "${page_folder}/" OUTPUT_VARIABLE page_paths)
add_custom_command(OUTPUT "${page_source}" DEPENDS ${page_paths} "${PROJECT_SOURCE_DIR}/cmake/EmbedFiles.cmake"
  COMMAND "${CMAKE_COMMAND}" "-DFOLDER=${page_folder}" "-DFILES=${page_files}" "-DOUT=${page_source}"
    -P "${PROJECT_SOURCE_DIR}/cmake/EmbedFiles.cmake" VERBATIM)
add_library(sidecall-net-page OBJECT "${page_source}")
target_include_directories(sidecall-net-page PRIVATE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include")
set_target_properties(sidecall-net-page PROPERTIES POSITION_INDEPENDENT_CODE ON)

set(net_sources ${SIDECALL_NET_MESSAGES} ${SIDECALL_NET_SESSIONS})
list(REMOVE_DUPLICATES net_sources)
add_library(sidecall-net SHARED
  ${net_sources}
  net/client/api.cpp
  net/client/messages/answer_limits.cpp
  net/client/client.cpp
  net/client/transfer/connection_options.cpp
  net/client/transfer/curl_transfer.cpp
  net/client/grpc_client.cpp
  net/client/http_client.cpp
  net/client/transfer/loop.cpp
  net/client/transfer/probe.cpp
  net/client/replicas.cpp
  net/client/transfer/resolver.cpp
  net/server/api.cpp
  net/server/connection/listener.cpp
  net/server/connection/loop.cpp
  net/server/credentials/renewal.cpp
  net/server/server.cpp
)
target_compile_definitions(sidecall-net PRIVATE CURL_STATICLIB NGHTTP2_STATICLIB "SIDECALL_NET_VERSION=\"${PROJECT_VERSION}\"")
target_include_directories(sidecall-net PRIVATE "${PROJECT_SOURCE_DIR}" "${PROJECT_SOURCE_DIR}/include")
target_include_directories(sidecall-net SYSTEM PRIVATE "${SIDECALL_NET_LIBRARIES}/include" "${SIDECALL_PROTOZERO_INCLUDE}")
target_link_libraries(sidecall-net PRIVATE sidecall-net-page sidecall-base sidecall-flags sidecall-dependencies
  "${SIDECALL_NET_LIBRARIES}/lib/libcurl.a" ${SIDECALL_NET_SERVER_LIBRARIES} Threads::Threads)
set(net_version_script "${PROJECT_SOURCE_DIR}/net/api/libsidecall-net.map")
# dlclose() must not unload the library: its thread waits for the next request.
target_link_options(sidecall-net PRIVATE "LINKER:--version-script=${net_version_script}"
  LINKER:-z,nodelete LINKER:-Bsymbolic LINKER:--gc-sections)
if(NOT SIDECALL_SANITIZE)
  target_link_options(sidecall-net PRIVATE LINKER:--no-undefined)
endif()
set_target_properties(sidecall-net PROPERTIES LINK_DEPENDS "${net_version_script}")
