#!/bin/sh
# test_java.sh BUILD: checks and tests the Java module with the library in BUILD; `make test-java`
# runs it. Prints a summary, or the failures. Leaves BUILD/java/sidecall.jar and
# BUILD/java/sidecall-linux-ARCH.jar, which holds the native library.
#
# Needs the packages openjdk-25-jdk-headless and junit5 of Debian, or any JDK of 22 or newer and
# the jars of JUnit 5 in JUNIT_JARS. Needs Maven and its plugins, from Debian too, or in a local
# repository that MAVEN_REPOSITORY names, with the Surefire of SUREFIRE_VERSION.
# SIDECALL_ONNXRUNTIME names a library of ONNX Runtime, as in the tests of the other languages.
set -eu
build=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/.." && pwd)
log="$build/log/java.log"
out="$build/java"
jars=${JUNIT_JARS:-/usr/share/java}
junit="$jars/junit-platform-console-standalone.jar:$jars/opentest4j.jar"
annotations="$jars/junit-jupiter-api.jar:$jars/junit-platform-commons.jar:$jars/apiguardian-api.jar"
export SIDECALL_TEST_COMMAND="$build/bin/sidecall" SIDECALL_LIBRARY="$build/lib/libsidecall.so"
export SIDECALL_NET="$build/lib/libsidecall-net.so"
cd "$root/bindings/java"
mkdir -p "$build/log"
rm -rf "$out"
mkdir -p "$out"

fail() {
  echo "-- failed: $*; the whole output is in $log"
  exit 1
}

run() {
  if ! "$@" >>"$log" 2>&1; then
    tail -n 60 "$log" | cut -c 1-400
    fail "$@" | cut -c 1-200
    exit 1
  fi
}

: >"$log"
main=$(find src/main/java -name '*.java')
tests=$(find src/test/java -name '*.java')
# shellcheck disable=SC2086 # the names of the sources have no spaces
run javac --release 22 -Xlint:all -Werror -d "$out/classes" $main
# The examples in the comments are part of the manual, so a missing or broken comment is an error.
run javadoc -quiet -Xdoclint:all -Werror --release 22 -d "$out/doc" \
  --module-source-path "dev.sidecall=src/main/java" \
  --module dev.sidecall
run jar --create --file "$out/sidecall.jar" -C "$out/classes" .
machine=$(uname -m)
native="$out/native/dev/sidecall/native/linux-$machine"
mkdir -p "$native"
cp "$build/lib/libsidecall.so" "$native/"
run jar --create --file "$out/sidecall-linux-$machine.jar" -C "$out/native" .
rm -r "$out/native"
# shellcheck disable=SC2086
run javac --release 22 -Xlint:all,-classfile -Werror -d "$out/test-classes" \
  -cp "$out/classes:$annotations:$jars/opentest4j.jar" $tests
# The jar also works on the module path, without an environment that names the library.
example=$(env -u SIDECALL_LIBRARY java -Dsidecall.library="$build/lib/libsidecall.so" \
  --module-path "$out/sidecall.jar" --add-modules dev.sidecall \
  --enable-native-access=dev.sidecall "$root/examples/java/Penguins.java" \
  "$root/tests/vectors/models/penguins.onnx" 2>>"$log") || fail "examples/java/Penguins.java"
case $example in
"label: Gentoo"*) ;;
*) fail "examples/java/Penguins.java printed: $example" ;;
esac
run java --enable-native-access=ALL-UNNAMED -ea -cp "$junit:$out/sidecall.jar:$out/test-classes" \
  org.junit.platform.console.ConsoleLauncher execute --disable-banner --disable-ansi-colors \
  --details=tree --scan-classpath="$out/test-classes" \
  --config junit.jupiter.execution.timeout.default=600s \
  --config junit.jupiter.execution.timeout.thread.mode.default=SEPARATE_THREAD
# Maven makes the same jar, and runs the tests in its own way; some of them suffice to see that. It
# uses no network. Debian's version of Surefire is one that only Debian has.
version=$(cat "$root/VERSION")
run mvn --offline --batch-mode -Dtarget="$out/maven" -Dmaven.repo.local="$out/repository" \
  -Dmaven.repo.local.tail="${MAVEN_REPOSITORY:-/usr/share/maven-repo}" \
  -Dmaven.repo.local.tail.ignoreAvailability=true -Dsurefire.version="${SUREFIRE_VERSION:-2.22.3}" \
  -Dtest=HostileTest install
[ -e "$out/repository/dev/sidecall/sidecall/$version/sidecall-$version.jar" ] ||
  fail "pom.xml: expected version $version of dev.sidecall:sidecall"
passed=$(sed -n 's/^\[ *\([0-9]*\) tests successful *\]$/\1/p' "$log")
[ "${passed:-0}" -gt 0 ] || fail "no test was found"
echo "-- junit: $passed passed"
