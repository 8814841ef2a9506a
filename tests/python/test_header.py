"""How cffi reads the header, and that the library tells the same as the header."""

from __future__ import annotations

from sidecall import _backend, _cffi_header
from sidecall._cffi_header import constants, declarations, ffi, lib


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
    declared = [line for line in _cffi_header._source.splitlines() if line.startswith(("sidecall_", "const ", "void ", "int", "uint"))]
    assert len(names) >= 50
    assert len(declared) >= len(names)
    for name in names:
        assert ffi.cast("void *", getattr(lib, name)) != ffi.NULL


def test_kinds_and_version() -> None:
    assert (constants["SIDECALL_KIND_INPUT"], constants["SIDECALL_KIND_OUTPUT"]) == (_backend.KIND_INPUT, _backend.KIND_OUTPUT)
    assert (constants["SIDECALL_KIND_FEATURE"], constants["SIDECALL_KIND_COLUMN"]) == (_backend.KIND_FEATURE, _backend.KIND_COLUMN)
    assert lib.sidecall_abi_version() == constants["SIDECALL_ABI_VERSION"]


def test_structs_have_the_librarys_size() -> None:
    """Their init functions write struct_size; a layout that cffi reads otherwise would differ."""
    error, options = ffi.new("sidecall_error *"), ffi.new("sidecall_model_options *")
    lib.sidecall_error_init(error)
    lib.sidecall_model_options_init(options)
    assert (error.struct_size, options.struct_size) == (ffi.sizeof("sidecall_error"), ffi.sizeof("sidecall_model_options"))
