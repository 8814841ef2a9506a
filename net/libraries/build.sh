#!/bin/sh
# build.sh FOLDER: downloads and builds the static libraries that libsidecall-net.so contains (see
# versions.txt) and installs them into FOLDER. make runs it. CMAKE_C_COMPILER chooses the compiler,
# as CMake's list of a program and its arguments. A library that FOLDER has already, built in the
# same way, is not built again, unless one before it changed: it may be compiled with the headers of
# that one. The licences go to FOLDER/licences.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
sources=${SOURCES:-$folder/sources}
jobs=${JOBS:-$(nproc)}
mkdir -p "$sources"

# The sources come from the mirror of Debian that this machine uses for its packages.
find_uri() { # find_uri SOURCE FILE
  lists=$sources/apt
  if [ ! -e "$lists/updated" ]; then
    mkdir -p "$lists/lists/partial" "$lists/cache/archives/partial"
    for file in /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list; do
      [ -s "$file" ] || continue
      case $file in
        *.sources) sed 's/^Types:.*/Types: deb-src/' "$file" >"$lists/net.sources" ;;
        *) sed -n 's/^deb /deb-src /p' "$file" >"$lists/net.list" ;;
      esac
      break
    done
    apt_private update >/dev/null && touch "$lists/updated"
  fi
  apt_private source --print-uris "$1" | sed -n "s|^'\([^']*/$2\)'.*|\1|p"
}
apt_private() {
  apt-get -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$sources/apt" \
    -o Dir::State::lists="$sources/apt/lists" -o Dir::Cache="$sources/apt/cache" "$@"
}

fetch() { # fetch SOURCE FILE SHA256 [PACKAGE]
  if [ ! -e "$sources/$2" ] && [ -n "${4:-}" ]; then
    echo "$4 --hash=sha256:$3" >"$sources/package.txt"
    "${PYTHON:-python3}" -m pip download --quiet --no-deps --no-binary "${4%%=*}" --require-hashes \
      --requirement "$sources/package.txt" --dest "$sources"
  elif [ ! -e "$sources/$2" ]; then
    command -v apt-get >/dev/null || {
      echo "missing: put $2 of Debian's source package $1 into $sources" >&2
      exit 1
    }
    uri=$(cd "$sources" && find_uri "$1" "$2")
    [ -n "$uri" ] || {
      echo "$1: expected $2 in Debian's source archive, got another version: see versions.txt" >&2
      exit 1
    }
    /usr/lib/apt/apt-helper download-file "$uri" "$sources/$2" "SHA256:$3"
  fi
  echo "$3  $sources/$2" | sha256sum --check --quiet
}

build() { # build NAME FILE FOLDER OPTION...
  name=$1
  file=$2
  inner=$3
  shift 3
  rm -rf "$folder/src/$name" "$folder/build/$name"
  mkdir -p "$folder/src/$name"
  depth=$(echo "x/$inner" | sed 's|/$||; s|[^/]||g' | wc -m)
  tar -xf "$sources/$file" -C "$folder/src/$name" --strip-components="$depth" \
    --wildcards "*/${inner:+$inner/}*"
  [ ! -e "$here/$name.cmake" ] || cp "$here/$name.cmake" "$folder/src/$name/CMakeLists.txt"
  [ ! -e "$here/$name.patch" ] || patch -d "$folder/src/$name" -p1 <"$here/$name.patch"
  cmake -S "$folder/src/$name" -B "$folder/build/$name" -G Ninja -DCMAKE_BUILD_TYPE=Release \
    -DCMAKE_INSTALL_PREFIX="$folder" -DCMAKE_INSTALL_LIBDIR=lib -DCMAKE_PREFIX_PATH="$folder" \
    -DCMAKE_POSITION_INDEPENDENT_CODE=ON -DCMAKE_C_VISIBILITY_PRESET=hidden \
    -DBUILD_SHARED_LIBS=OFF -DBUILD_STATIC_LIBS=ON -DBUILD_TESTING=OFF \
    ${CMAKE_C_COMPILER:+"-DCMAKE_C_COMPILER=$CMAKE_C_COMPILER"} "$@"
  cmake --build "$folder/build/$name" -j "$jobs"
  cmake --install "$folder/build/$name"
  mkdir -p "$folder/licences"
  cp "$folder/src/$name/COPYING" "$folder/licences/$name" 2>/dev/null ||
    cp "$folder/src/$name/LICENSE" "$folder/licences/$name"
  rm -rf "$folder/src/$name" "$folder/build/$name"
}

options_of() {
  case $1 in
    mbedtls) echo -DENABLE_PROGRAMS=OFF -DENABLE_TESTING=OFF -DGEN_FILES=OFF \
      -DMBEDTLS_FATAL_WARNINGS=OFF ;;
    nghttp2) echo -DENABLE_LIB_ONLY=ON -DENABLE_DOC=OFF ;;
    # Nothing but HTTP: no other protocols, and nothing that is read from files or the environment.
    # The files with trusted certificates differ between systems, so net/client looks for them.
    curl) echo -DHTTP_ONLY=ON -DBUILD_CURL_EXE=OFF -DBUILD_LIBCURL_DOCS=OFF -DBUILD_MISC_DOCS=OFF \
      -DENABLE_CURL_MANUAL=OFF -DCURL_ENABLE_SSL=ON -DCURL_USE_OPENSSL=OFF -DCURL_USE_MBEDTLS=ON \
      -DMBEDTLS_INCLUDE_DIR="$folder/include" -DMBEDTLS_LIBRARY="$folder/lib/libmbedtls.a" \
      -DMBEDX509_LIBRARY="$folder/lib/libmbedx509.a" \
      -DMBEDCRYPTO_LIBRARY="$folder/lib/libmbedcrypto.a" -DUSE_NGHTTP2=ON \
      -DNGHTTP2_INCLUDE_DIR="$folder/include" -DNGHTTP2_LIBRARY="$folder/lib/libnghttp2.a" \
      -DCURL_USE_PKGCONFIG=OFF -DCURL_USE_LIBPSL=OFF -DCURL_USE_LIBSSH2=OFF -DUSE_LIBIDN2=OFF \
      -DCURL_ZLIB=OFF -DCURL_BROTLI=OFF -DCURL_ZSTD=OFF -DENABLE_THREADED_RESOLVER=ON \
      -DENABLE_UNIX_SOCKETS=ON -DCURL_CA_BUNDLE=none -DCURL_CA_PATH=none \
      -DCURL_DISABLE_ALTSVC=ON -DCURL_DISABLE_COOKIES=ON -DCURL_DISABLE_DOH=ON \
      -DCURL_DISABLE_HSTS=ON -DCURL_DISABLE_NETRC=ON -DCURL_DISABLE_PROXY=ON \
      -DCURL_DISABLE_AWS=ON -DCURL_DISABLE_BASIC_AUTH=ON -DCURL_DISABLE_DIGEST_AUTH=ON \
      -DCURL_DISABLE_KERBEROS_AUTH=ON -DCURL_DISABLE_NEGOTIATE_AUTH=ON \
      -DCURL_DISABLE_BEARER_AUTH=ON -DCURL_DISABLE_NTLM=ON -DCURL_DISABLE_MIME=ON \
      -DCURL_DISABLE_FORM_API=ON -DENABLE_WEBSOCKETS=OFF -DCURL_DISABLE_INSTALL=OFF ;;
  esac
}

made_by=
grep -v '^#' "$here/versions.txt" | while read -r name file hash package inner; do
  mark=$folder/.$name
  made_by=$({
    echo "$made_by $name $file $hash"
    cat "$here/build.sh" "$here/$name.patch" "$here/$name.cmake" 2>/dev/null
  } | sha256sum)
  recipe="$file $hash ${CMAKE_C_COMPILER:-} $made_by"
  [ "$(cat "$mark" 2>/dev/null)" != "$recipe" ] || continue
  fetch "$name" "$file" "$hash" "$package"
  build "$name" "$file" "$inner" $(options_of "$name")
  echo "$recipe" >"$mark"
done
