# cmake -DFOLDER=A -DFILES=LIST -DOUT=B -P EmbedFiles.cmake: writes files of a folder as C++.
# cmake/Network.cmake runs it for the page of the server.
# net/server/http/page.h declares the result.
set(arrays "")
set(table "")
set(count 0)
foreach(name IN LISTS FILES)
  file(READ "${FOLDER}/${name}" bytes HEX)
  string(REGEX REPLACE "(..)" "'\\\\x\\1'," bytes "${bytes}")
  string(APPEND arrays "constexpr char k${count}[] = {${bytes}};\n")
  string(APPEND table "    {\"${name}\", {k${count}, sizeof k${count}}},\n")
  math(EXPR count "${count} + 1")
endforeach()
file(WRITE "${OUT}" "// Written by cmake/EmbedFiles.cmake.
#include \"net/server/http/page.h\"

namespace sidecall::net {
namespace {
${arrays}}  // namespace

const PageFile kPageFiles[] = {
${table}};
const size_t kNumPageFiles = ${count};

}  // namespace sidecall::net
")
