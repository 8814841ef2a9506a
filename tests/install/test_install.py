"""cmake --install: a foreign C program and a foreign CMake project find the library in a moved
tree and link to it, shared and static. The target uninstall removes what was installed.
"""

import os
import shutil
from pathlib import Path

import pytest

from .conftest import BUILD, ROOT, VERSION, library_dir, run

PROGRAM = """
#include <sidecall/sidecall.h>
#include <stdio.h>
int main(void) {
  sidecall_error err = SIDECALL_ERROR_INIT;
  sidecall_model *model;
  sidecall_status status = sidecall_model_open("absent.onnx", NULL, &model, &err);
  printf("%s %s\\n", sidecall_version(), sidecall_status_name(status));
  return 0;
}
"""
EXPECTED = f"{VERSION} FILE_NOT_FOUND\n"


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.c"
    path.write_text(PROGRAM, encoding="utf-8")
    return path


def test_a_c_program_builds_with_pkg_config(installed: Path, program: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PKG_CONFIG_PATH": str(library_dir(installed) / "pkgconfig")}
    assert run("pkg-config", "--modversion", "sidecall", env=environment).strip() == VERSION
    flags = run("pkg-config", "--cflags", "--libs", "sidecall", env=environment).split()
    run(
        "cc", "-std=c99", "-pedantic-errors", "-Werror", program, *flags, "-o", tmp_path / "program"
    )
    assert (
        run(tmp_path / "program", env=os.environ | {"LD_LIBRARY_PATH": str(library_dir(installed))})
        == EXPECTED
    )


def test_pkg_config_links_the_static_library_as_the_readme_says(
    installed: Path, program: Path, tmp_path: Path
) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    command = next(line for line in readme.splitlines() if line.endswith("libsidecall.a/')"))
    environment = os.environ | {"PKG_CONFIG_PATH": str(library_dir(installed) / "pkgconfig")}
    run("sh", "-c", f"{command} -Werror", cwd=program.parent, env=environment)
    assert "libsidecall" not in run("readelf", "-d", program.parent / "a.out")
    assert run(program.parent / "a.out") == EXPECTED


def cmake_project(
    folder: Path, version: str, *, target: str = "sidecall::sidecall", languages: str = "C"
) -> Path:
    text = f"""
cmake_minimum_required(VERSION 3.25)
project(consumer {languages})
find_package(sidecall {version} REQUIRED)
add_executable(program program.c)
target_link_libraries(program PRIVATE {target})
"""
    (folder / "CMakeLists.txt").write_text(text, encoding="utf-8")
    return folder


def test_a_cmake_project_builds_with_find_package(
    installed: Path, program: Path, tmp_path: Path
) -> None:
    project = cmake_project(program.parent, VERSION.rpartition(".")[0])
    run("cmake", "-S", project, "-B", tmp_path / "build", f"-DCMAKE_PREFIX_PATH={installed}")
    run("cmake", "--build", tmp_path / "build")
    assert run(tmp_path / "build" / "program") == EXPECTED


@pytest.mark.parametrize("languages", ["C", "CXX", "C CXX"])
def test_a_cmake_project_links_the_static_library(
    installed: Path, program: Path, tmp_path: Path, languages: str
) -> None:
    cmake_project(program.parent, VERSION, target="sidecall::static", languages=languages)
    if languages == "CXX":
        program.rename(program.with_suffix(".cpp"))
        lists = program.parent / "CMakeLists.txt"
        lists.write_text(lists.read_text(encoding="utf-8").replace("program.c)", "program.cpp)"))
    build = tmp_path / "build"
    run("cmake", "-S", program.parent, "-B", build, f"-DCMAKE_PREFIX_PATH={installed}")
    run("cmake", "--build", build)
    assert "libsidecall" not in run("readelf", "-d", build / "program")
    assert run(build / "program") == EXPECTED


def test_find_package_of_a_later_version_fails(
    installed: Path, program: Path, tmp_path: Path
) -> None:
    project = cmake_project(program.parent, "9.0")
    output = run(
        "cmake",
        "-S",
        project,
        "-B",
        tmp_path / "build",
        f"-DCMAKE_PREFIX_PATH={installed}",
        expect=1,
    )
    assert 'compatible with requested version "9.0"' in " ".join(output.split())


@pytest.fixture
def scratch_build(tmp_path: Path) -> Path:
    """A separate build folder for one test: configured by CMake, with copies of the built files."""
    build = tmp_path / "scratch"
    run("cmake", "-S", ROOT, "-B", build)
    for pattern in ("lib/libsidecall.*", "bin/sidecall", "share/*"):
        for path in BUILD.glob(pattern):
            copy = build / path.relative_to(BUILD)
            copy.parent.mkdir(exist_ok=True)
            shutil.copy2(path, copy, follow_symlinks=False)
    return build


def files_in(tree: Path) -> list[Path]:
    return [path for path in tree.rglob("*") if not path.is_dir() or path.is_symlink()]


def test_uninstall_removes_all_that_was_installed_and_nothing_else(
    scratch_build: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    foreign = [tree / "include" / "other.h", tree / "lib" / "libother.so"]
    for path in foreign:
        path.parent.mkdir(parents=True)
        path.write_text("not sidecall's", encoding="utf-8")
    output = run("cmake", "--install", scratch_build, "--prefix", tree)
    assert f"'{tree}/bin/sidecall doctor' says whether a library that is new enough" in output
    assert len(files_in(tree)) > len(foreign) + 10
    run("cmake", "--build", scratch_build, "--target", "uninstall")
    assert sorted(files_in(tree)) == foreign
    assert not [path for path in tree.rglob("sidecall") if path.is_dir()]


def test_uninstall_follows_destdir(scratch_build: Path, tmp_path: Path) -> None:
    environment = os.environ | {"DESTDIR": str(tmp_path / "package")}
    run("cmake", "--install", scratch_build, "--prefix", "/opt/sidecall", env=environment)
    assert (tmp_path / "package/opt/sidecall/include/sidecall/sidecall.h").is_file()
    run("cmake", "--build", scratch_build, "--target", "uninstall", env=environment)
    assert files_in(tmp_path / "package") == []


def test_uninstall_without_an_installation_says_what_is_missing(scratch_build: Path) -> None:
    output = run(
        "cmake", "-DBUILD=" + str(scratch_build), "-P", ROOT / "cmake/Uninstall.cmake", expect=1
    )
    assert "expected install_manifest.txt, which cmake --install writes, found none" in " ".join(
        output.split()
    )


def test_the_installed_command_runs(installed: Path) -> None:
    assert VERSION in run(installed / "bin" / "sidecall", "--version")


def test_completions_and_the_manual_page_are_installed(installed: Path) -> None:
    share = installed / "share"
    for shell, place in {
        "bash": "bash-completion/completions/sidecall",
        "zsh": "zsh/site-functions/_sidecall",
        "fish": "fish/vendor_completions.d/sidecall.fish",
    }.items():
        assert (share / place).read_text(encoding="utf-8") == run(
            installed / "bin" / "sidecall", "completion", shell
        )
    page = (share / "man" / "man1" / "sidecall.1").read_text(encoding="utf-8")
    assert page == run(installed / "bin" / "sidecall", "man")


def test_no_installed_file_links_onnxruntime(installed: Path) -> None:
    for path in (library_dir(installed) / "libsidecall.so", installed / "bin" / "sidecall"):
        dynamic = run("readelf", "-d", path)
        assert "onnxruntime" not in dynamic
        assert "RUNPATH" not in dynamic
    assert "Library soname: [libsidecall.so.1]" in run(
        "readelf", "-d", library_dir(installed) / "libsidecall.so"
    )


def test_a_bundled_onnxruntime_is_installed_beside_the_library(tmp_path: Path) -> None:
    bundled = tmp_path / "libonnxruntime.so.1.99.0"
    bundled.write_bytes(b"stands in for the library")
    run(
        "cmake",
        "-S",
        ROOT,
        "-B",
        tmp_path / "build",
        "-DSIDECALL_BUILD_TESTS=OFF",
        f"-DSIDECALL_BUNDLE_ONNXRUNTIME={bundled}",
    )
    run(
        "cmake",
        "--install",
        tmp_path / "build",
        "--component",
        "onnxruntime",
        "--prefix",
        tmp_path / "tree",
    )
    installed = list((tmp_path / "tree").rglob("libonnxruntime*"))
    assert [path.name for path in installed] == [bundled.name]
    assert installed[0].parent.name == "lib" or installed[0].parent.parent.name == "lib"


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "-DSIDECALL_ONNXRUNTIME_INCLUDE=/nonexistent",
            "expected a folder with onnxruntime_c_api.h",
        ),
        (
            "-DSIDECALL_ONNXRUNTIME_INCLUDE=SIDECALL_ONNXRUNTIME_INCLUDE-NOTFOUND",
            "install Debian's package libonnxruntime-dev",
        ),
        ("-DSIDECALL_BUNDLE_ONNXRUNTIME=/nonexistent/libonnxruntime.so", "no such file"),
    ],
)
def test_cmake_says_what_is_missing(tmp_path: Path, argument: str, message: str) -> None:
    # An empty root prevents CMake from finding the header that is installed on this machine.
    root = (
        f"-DCMAKE_FIND_ROOT_PATH={tmp_path}"
        if "NOTFOUND" in argument
        else "-DSIDECALL_BUILD_TESTS=OFF"
    )
    mode = "-DCMAKE_FIND_ROOT_PATH_MODE_INCLUDE=ONLY"
    output = run("cmake", "-S", ROOT, "-B", tmp_path / "build", argument, root, mode, expect=1)
    assert message in " ".join(output.split())


def test_the_build_type_is_release() -> None:
    assert "CMAKE_BUILD_TYPE:STRING=Release" in (BUILD / "CMakeCache.txt").read_text(
        encoding="utf-8"
    )
