"""A build with the native engine alone, and a small C program that contains it.

The program needs no library but the C library, and is at most 2 MB.
"""

import json
import os
import re
from pathlib import Path

import pytest

from .conftest import BUILD, ROOT, VERSION, library_dir, needed, run, write_determinant

pytestmark = pytest.mark.long

PENGUINS = ROOT / "tests" / "vectors" / "models" / "penguins.onnx"
RECORD = {"island": "Biscoe", "bill_length_mm": 48.2}
GUIDE = (ROOT / "docs" / "c.md").read_text(encoding="utf-8")
LARGEST = 2_000_000
PROGRAM = """
#include <sidecall/sidecall.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_model *model = NULL;
  sidecall_text *answer = NULL;
  if (argc != 3) return 2;
  if (sidecall_model_open(argv[1], NULL, &model, &err) != SIDECALL_OK ||
      sidecall_predict_json(model, argv[2], strlen(argv[2]), &answer, &err) != SIDECALL_OK) {
    printf("%s: %s\\n", sidecall_status_name(err.status), err.message);
    return 1;
  }
  puts(answer->data);
  sidecall_text_close(answer);
  sidecall_model_close(model);
  return 0;
}
"""
# Calls every function of the public headers, so that all of them must be in the library.
EVERYTHING = """
#include <sidecall/binding.h>
#include <sidecall/server.h>
#include <stdio.h>
typedef void (*function)(void);
int main(void) {
  const function all[] = {%s};
  unsigned found = 0;
  for (unsigned i = 0; i < sizeof all / sizeof all[0]; ++i) found += all[i] != 0;
  printf("%%u\\n", found);
  return 0;
}
"""

# Without optimisation, so that each function of the header is one of the program's.
CPP_PROGRAM = """
#include <cstdio>
#include <sidecall/server.hpp>
#include <sidecall/sidecall.hpp>

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  const sidecall::Model model(argv[1]);
  sidecall::Call call(model, 1);
  try {
    call.set(0, model.feature("island"), 1.5);
  } catch (const sidecall::Error &error) {
    std::puts(error.what());
  }
  try {
    sidecall::Model missing("missing.onnx");
  } catch (const sidecall::Error &error) {
    std::puts(error.what());
  }
  call.clear();
  call.run();
  std::puts("ran");
  return 0;
}
"""


def commands_of_the_guide() -> list[str]:
    """The two commands of the section: how to build the library, and how to link a program."""
    section = GUIDE.partition("## A small program without ONNX Runtime")[2]
    (block,) = re.findall(r"```sh\n(.*?)```", section.partition("\n## ")[0], flags=re.DOTALL)
    lines = block.replace("\\\n", "").splitlines()
    return [" ".join(line.split()) for line in lines if not line.startswith("#")]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed tree of a build with the native engine alone, built as the guide says."""
    configure = commands_of_the_guide()[0]
    options = re.findall(r"-D\S+", configure)
    assert "-DSIDECALL_NATIVE_ONLY=ON" in options
    build = BUILD / "native-only"  # kept, so that the next run compiles only what has changed
    tree = tmp_path_factory.mktemp("static") / "tree"
    options.append("-DSIDECALL_WERROR=ON")
    run("cmake", "-S", ROOT, "-B", build, "-G", "Ninja", *options)
    run("cmake", "--build", build, "-j", str(os.cpu_count()))
    run("cmake", "--install", build, "--prefix", tree)
    return tree


@pytest.fixture(scope="module")
def environment(tree: Path) -> dict[str, str]:
    return os.environ | {"PKG_CONFIG_PATH": str(library_dir(tree) / "pkgconfig")}


@pytest.fixture(scope="module")
def program(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A C program that the C compiler links with the line of the guide."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "program.c").write_text(PROGRAM, encoding="utf-8")
    run("sh", "-c", commands_of_the_guide()[1], cwd=folder, env=environment)
    return folder / "program"


def test_the_program_is_small_and_needs_only_the_c_library(program: Path) -> None:
    assert program.stat().st_size <= LARGEST
    assert ".symtab" not in run("readelf", "-S", program)
    libraries = {name for name in needed(program) if not name.startswith("ld-linux")}
    assert libraries <= {"libc.so.6", "libm.so.6"}


def test_the_program_answers_without_any_other_file(program: Path, tmp_path: Path) -> None:
    answer = json.loads(run(program, PENGUINS, json.dumps(RECORD), cwd=tmp_path, env={}))
    assert answer["label"] == "Gentoo"
    assert sum(answer["probabilities"].values()) == pytest.approx(1)


def test_a_mistake_in_a_record_is_reported_as_everywhere(program: Path) -> None:
    text = run(program, PENGUINS, '{"bill_length_mm": "long"}', env={}, expect=1)
    expected = "DTYPE_MISMATCH: feature 'bill_length_mm': expected float"
    assert text.startswith(expected)


def test_a_model_that_needs_onnxruntime_is_refused_in_one_line(
    program: Path, tmp_path: Path
) -> None:
    path = write_determinant(tmp_path)
    for uri, said in [
        (path, "node 'determinant'"),
        (f"{path}?engine=onnxruntime", "use a build without SIDECALL_NATIVE_ONLY"),
        (f"{PENGUINS}?engine=onnxruntime", "this build of sidecall has no ONNX Runtime"),
    ]:
        text = run(program, uri, "{}", env={}, expect=1)
        assert text.startswith("ENGINE_NOT_FOUND: ")
        assert said in text
        assert text.count("\n") == 1


def test_the_program_ignores_a_library_of_onnxruntime(program: Path, onnxruntime: Path) -> None:
    named = {"SIDECALL_ONNXRUNTIME": str(onnxruntime), "SIDECALL_ENGINE": "onnxruntime"}
    text = run(program, PENGUINS, "{}", env=named, expect=1)
    assert text.startswith("ENGINE_NOT_FOUND: this build of sidecall has no ONNX Runtime")


def test_every_function_of_the_headers_is_in_the_library(
    environment: dict[str, str], tmp_path: Path
) -> None:
    symbols = (ROOT / "bindings/c/abi/symbols.txt").read_text(encoding="utf-8").split()
    calls = ", ".join(f"(function){name}" for name in symbols)
    (tmp_path / "program.c").write_text(EVERYTHING % calls, encoding="utf-8")
    run("sh", "-c", commands_of_the_guide()[1], cwd=tmp_path, env=environment)
    assert run(tmp_path / "program", env={}) == f"{len(symbols)}\n"


def test_the_linker_can_leave_out_even_the_c_library(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "program.c").write_text(PROGRAM, encoding="utf-8")
    run("sh", "-c", f"{commands_of_the_guide()[1]} -static", cwd=tmp_path, env=environment)
    assert needed(tmp_path / "program") == set()
    answer = json.loads(run(tmp_path / "program", PENGUINS, json.dumps(RECORD), env={}))
    assert answer["label"] == "Gentoo"


def defined_symbols(file: Path) -> set[str]:
    return set(run("nm", "--defined-only", "--format=just-symbols", file).split())


def test_a_cpp_program_shares_no_symbol_with_the_library(
    tree: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "program.cpp").write_text(CPP_PROGRAM, encoding="utf-8")
    flags = run("pkg-config", "--cflags", "sidecall", env=environment).split()
    compiler = [os.environ.get("CXX", "c++"), "-std=c++17", "-O0", "-DSIDECALL_STATIC", *flags]
    run(*compiler, "-c", "program.cpp", "-o", "program.o", cwd=tmp_path)
    own = {name for name in defined_symbols(tmp_path / "program.o") if "8sidecall" in name}
    assert own
    assert not own & defined_symbols(library_dir(tree) / "libsidecall.a")
    libraries = run("pkg-config", "--static", "--libs", "sidecall", env=environment)
    libraries = libraries.replace("-lsidecall", "-l:libsidecall.a").split()
    run(*compiler[:1], "program.o", "-o", "program", *libraries, cwd=tmp_path)
    lines = run(tmp_path / "program", PENGUINS, cwd=tmp_path, env={}).splitlines()
    assert lines[0].startswith("feature 'island': expected string")
    assert "missing.onnx" in lines[1] and lines[2:] == ["ran"]


@pytest.mark.parametrize("languages", ["C", "C CXX"])
def test_a_cmake_project_links_the_native_engine_alone(
    tree: Path, tmp_path: Path, languages: str
) -> None:
    (tmp_path / "program.c").write_text(PROGRAM, encoding="utf-8")
    text = f"""
cmake_minimum_required(VERSION 3.25)
project(consumer {languages})
find_package(sidecall {VERSION} REQUIRED)
add_executable(program program.c)
target_link_libraries(program PRIVATE sidecall::static)
"""
    (tmp_path / "CMakeLists.txt").write_text(text, encoding="utf-8")
    build = tmp_path / "build"
    run("cmake", "-S", tmp_path, "-B", build, f"-DCMAKE_PREFIX_PATH={tree}")
    run("cmake", "--build", build)
    assert json.loads(run(build / "program", PENGUINS, json.dumps(RECORD)))["label"] == "Gentoo"
    if languages == "C":
        assert "libstdc++.so.6" not in needed(build / "program")


def test_the_build_needs_no_header_of_onnxruntime_and_refuses_the_tests(tmp_path: Path) -> None:
    option = "-DSIDECALL_NATIVE_ONLY=ON"
    no_header, tests = "-DSIDECALL_ONNXRUNTIME_INCLUDE=/nonexistent", "-DSIDECALL_BUILD_TESTS=ON"
    run("cmake", "-S", ROOT, "-B", tmp_path / "build", option, no_header)
    output = run("cmake", "-S", ROOT, "-B", tmp_path / "tests", option, tests, expect=1)
    said = "SIDECALL_BUILD_TESTS: expected OFF with SIDECALL_NATIVE_ONLY"
    assert said in " ".join(output.split())
