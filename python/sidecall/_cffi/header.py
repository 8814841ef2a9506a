"""The C ABI for Python without a compiler: cffi reads the headers beside the library."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import cffi

from sidecall import errors
from sidecall._library import header, libsidecall

_DEFINE = re.compile(r"#define (SIDECALL_\w+) (-?\d+)\b")


def declarations(text: str) -> tuple[str, dict[str, int]]:
    """Returns the part of a C header that cffi can read, and the numbers that the header defines.

    That part is the declarations, without preprocessor lines and C++ branches.
    """
    text = text.replace("\\\n", " ")  # join a macro that continues on the next line
    kept: list[str] = []
    branches: list[bool] = []  # for each open #if or #ifdef: whether the current branch is C
    for line in text.splitlines():
        if line.startswith("#if"):
            branches.append("__cplusplus" not in line)
        elif line.startswith("#else"):
            branches[-1] = not branches[-1]
        elif line.startswith("#endif"):
            branches.pop()
        elif not line.startswith("#") and all(branches):
            kept.append(line)
    return "\n".join(kept).replace("SIDECALL_API ", ""), {
        name: int(number) for name, number in _DEFINE.findall(text)
    }


ffi = cffi.FFI()
_parts = [
    declarations(header(name).read_text(encoding="utf-8"))
    for name in ("sidecall.h", "binding.h", "server.h")
]
_source = "\n".join(part for part, _ in _parts)
constants = {name: number for _, numbers in _parts for name, number in numbers.items()}
ffi.cdef(_source)
lib: Any = ffi.dlopen(str(libsidecall()))

NULL = ffi.NULL


def new_struct(name: str) -> Any:
    """Makes a struct with its defaults, as the macro NAME_init does in C."""
    struct = ffi.new(f"{name} *")
    getattr(lib, f"{name}_init_sized")(struct, ffi.sizeof(name))
    return struct


_VIEW_SIZE = ffi.sizeof("sidecall_view")


def new_view() -> Any:
    """Makes an empty sidecall_view, as SIDECALL_VIEW_INIT does.

    Each tensor of a call needs a view, so for speed this function does not call the library.
    """
    view = ffi.new("sidecall_view *")
    view.struct_size = _VIEW_SIZE
    return view


DTYPE_NAMES = {
    number: ffi.string(lib.sidecall_dtype_name(number)).decode() for number in range(1, 23)
}
DTYPES = {name: number for number, name in DTYPE_NAMES.items() if name != "unknown"}
DTYPE_NAMES[constants["SIDECALL_DTYPE_DATETIME"]] = "datetime"  # of features, not of tensors


def text_of(pointer: Any, length: int | None = None) -> str:
    """Returns UTF-8 in C memory as a str."""
    raw: bytes = ffi.string(pointer) if length is None else ffi.buffer(pointer, length)[:]
    return raw.decode("utf-8", "surrogateescape")


def encoded(text: object) -> bytes:
    """Returns UTF-8. A lone surrogate is encoded too, so that the library can refuse it."""
    return str(text).encode("utf-8", "surrogatepass")


_new_uninitialized = ffi.new_allocator(should_clear_after_alloc=False)


class CallError:
    """A sidecall_error with room for faults. The memory is not touched before a failure."""

    MAX_FAULTS = 1000  # the library keeps no more
    _unused: ClassVar[list[CallError]] = []

    def __init__(self, max_faults: int = 4) -> None:
        self.struct = new_struct("sidecall_error")
        self._faults = _new_uninitialized("sidecall_fault[]", max_faults)
        self.struct.faults = self._faults
        self.struct.faults_capacity = max_faults

    @classmethod
    def take(cls) -> CallError:
        """Returns an error with room for all faults of a run."""
        try:
            return cls._unused.pop()
        except IndexError:
            return cls(cls.MAX_FAULTS)

    def give_back(self) -> None:
        self._unused.append(self)

    def check(self, status: int) -> None:
        """Raises unless the status is OK."""
        if status:
            raise self.exception(status)

    def exception(self, status: int) -> errors.Error:
        """Makes the exception for a status from the fields that the library has filled in."""
        struct = self.struct
        stored = min(struct.num_faults, struct.faults_capacity)
        listed = [_fields(fault) for fault in struct.faults[0:stored]]
        faults = [
            (fault.status, *fields, _or_none(fault.message))
            for fault, fields in zip(struct.faults[0:stored], listed, strict=True)
        ]
        return errors.make(
            status, _or_none(struct.message), bool(struct.retryable), *_fields(struct), faults
        )


def _or_none(chars: Any) -> str | None:
    raw: bytes = ffi.string(chars)
    return raw.decode("utf-8", "replace") or None


def _fields(struct: Any) -> tuple[int | None, str | None, str | None, str | None]:
    return (
        None if struct.row < 0 else struct.row,
        _or_none(struct.name),
        _or_none(struct.expected),
        _or_none(struct.got),
    )
