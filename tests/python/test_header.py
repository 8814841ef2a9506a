"""How cffi reads the header, and that the library agrees with the header."""

from __future__ import annotations

import pytest
from sidecall import _backend, _model
from sidecall._cffi import header
from sidecall._cffi.header import NULL, constants, declarations, ffi, lib, new_struct


def test_preprocessor_lines_are_filtered() -> None:
    text, numbers = declarations(
        "#ifndef A_H\n#define A_H\n#include <stdint.h>\n#if defined(X)\n#define SIDECALL_API\n#else\n#define SIDECALL_API y\n#endif\n"
        '#ifdef __cplusplus\nextern "C" {\n#endif\n#define SIDECALL_A 3   /* three */\n#define SIDECALL_B -1\n'
        "SIDECALL_API int f(void);\n#ifdef __cplusplus\nint g();\n#else\nint h(void);\n#endif\n#ifdef __cplusplus\n}\n#endif\n#endif\n"
    )
    assert text.split() == ["int", "f(void);", "int", "h(void);"]
    assert numbers == {"SIDECALL_A": 3, "SIDECALL_B": -1}


def test_every_declared_function_is_exported() -> None:
    names = [name for name in dir(lib) if name.startswith("sidecall_")]
    declared = [
        line
        for line in header._source.splitlines()
        if line.startswith(("sidecall_", "const ", "void ", "int", "uint", "size_t"))
    ]
    assert len(names) >= 50
    assert len(declared) >= len(names)
    for name in names:
        assert ffi.cast("void *", getattr(lib, name)) != ffi.NULL


def test_kinds_and_the_abi_version_equal_those_of_the_header() -> None:
    assert (constants["SIDECALL_KIND_INPUT"], constants["SIDECALL_KIND_OUTPUT"]) == (
        _backend.KIND_INPUT,
        _backend.KIND_OUTPUT,
    )
    assert (constants["SIDECALL_KIND_FEATURE"], constants["SIDECALL_KIND_COLUMN"]) == (
        _backend.KIND_FEATURE,
        _backend.KIND_COLUMN,
    )
    assert lib.sidecall_abi_version() == constants["SIDECALL_ABI_VERSION"]


@pytest.mark.parametrize("name", ["VERIFY", "EXTRA", "ENGINE"])
def test_the_choices_of_open_have_the_numbers_of_the_header(name: str) -> None:
    prefix = f"SIDECALL_{name}_"
    in_header = {
        key.removeprefix(prefix).lower(): number
        for key, number in constants.items()
        if key.startswith(prefix) and key.removeprefix(prefix) not in ("NOT_FOUND", "TOO_OLD")
    }
    assert in_header == getattr(_model, name)


def test_a_macro_over_several_lines_is_filtered_as_a_whole() -> None:
    text, numbers = declarations(
        "#define init(x) \\\n  init_sized((x), 4)\nvoid init_sized(void *x, size_t n);\n#define SIDECALL_A 3\n"
    )
    assert text.split() == ["void", "init_sized(void", "*x,", "size_t", "n);"]
    assert numbers == {"SIDECALL_A": 3}


STRUCTS = [name.removesuffix("_init_sized") for name in dir(lib) if name.endswith("_init_sized")]


def test_every_struct_that_callers_allocate_is_tested() -> None:
    with_size = {
        name
        for name in ffi.list_types()[0]
        if "struct_size" in dict(getattr(ffi.typeof(name), "fields", None) or ())
    }
    assert with_size == set(STRUCTS)


@pytest.mark.parametrize("name", STRUCTS)
def test_the_library_and_cffi_agree_on_the_layout_of_a_struct(name: str) -> None:
    """The library writes each default where cffi expects the field.

    It writes nothing beyond the given size.
    """
    struct = new_struct(name)
    assert struct.struct_size == ffi.sizeof(name)
    defaults = {field: getattr(struct, field) for field, _ in ffi.typeof(name).fields}
    expected = {"timeout_ns": -1, "row": -1, "group": -1, "spin_us": -1, "least_level": 1}
    expected |= {"capacity": 16384, "max_started": 128}
    if name == "sidecall_server_options":
        expected |= {"timeout_ns": 0, "events_level": 1}
    if name == "sidecall_log_lines":
        expected["fd"] = 2
    for field, value in defaults.items():
        if isinstance(value, int) and field != "struct_size":
            assert value == expected.get(field, 0), field
    memory = ffi.new("unsigned char[]", b"\xa5" * 4)
    getattr(lib, f"{name}_init_sized")(ffi.cast(f"{name} *", memory), 3)
    assert bytes(memory) == b"\xa5" * 4 + b"\0"
    getattr(lib, f"{name}_init_sized")(NULL, ffi.sizeof(name))
