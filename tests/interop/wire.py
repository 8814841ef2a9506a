"""The byte formats of shm/PROTOCOL.md, written from that page alone: messages, descriptors, tables.

Used by client.py and server.py.
"""

import array
import fcntl
import os
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

MAGIC = b"sidecall"
VERSION = 1
OPEN, CONNECT, STATUS = 1, 2, 3  # kinds of HELLO
WELCOME_KIND, REFUSED_KIND, STATUS_KIND, ONE_SHOT_KIND = 1, 2, 3, 4
ALWAYS_RING = 1  # flag of HELLO
HAS_CONTRACT, VERIFIED, HAS_PIDFD = 1, 2, 4  # flags of WELCOME
SAME_LAYOUT, ONE_SHOT = 1, 2  # flags of descriptors
RING = b"\x01"
RIGHTS = (socket.SOL_SOCKET, socket.SCM_RIGHTS)

HELLO = struct.Struct("<8sHHIIIQQ24s")
WELCOME = struct.Struct("<8sHHIIIQQQQQ32s64sQI20s")
REFUSED = struct.Struct("<8sHHIiIQ")
STATUS_MESSAGE = struct.Struct("<8sHHIQQ")
ONE_SHOT_MESSAGE = struct.Struct("<8sHHIQQ")
# A descriptor without its sequence: slot, flags, timeout, cpu, zero.
REQUEST = struct.Struct("<IIQI36s")
# Status, flags, nanoseconds, cpu, zero, bytes, fault rows, fault texts, faults found, zero.
RESPONSE = struct.Struct("<iIQIIQIII12s")
ENTRY = struct.Struct("<iIQQ16q8s")
ERROR = struct.Struct("<iIq128s96s96s1024s")
# Status, kind of the name, name, expected, got.
FAULT_TEXT = struct.Struct("<iI128s96s96s")
FAULT_ROW = struct.Struct("<qII")  # row, text, zero
FAULT_KINDS = ("feature", "input", "output", "column", "step")

SEAL, SHRINK, GROW, WRITE, FUTURE_WRITE = 1, 2, 4, 8, 16
SEALED_SIZE = SHRINK | GROW | SEAL
SEALED = SEALED_SIZE | WRITE

HEAD_WORDS = 16  # words of 8 bytes before the ring
DESCRIPTOR_WORDS = 8

# name -> number, bits of one element
DTYPES = {
    "float32": (1, 32),
    "uint8": (2, 8),
    "int8": (3, 8),
    "uint16": (4, 16),
    "int16": (5, 16),
    "int32": (6, 32),
    "int64": (7, 64),
    "string": (8, 0),
    "bool": (9, 8),
    "float16": (10, 16),
    "float64": (11, 64),
    "uint32": (12, 32),
    "uint64": (13, 64),
    "bfloat16": (16, 16),
    "float8e4m3fn": (17, 8),
    "float8e4m3fnuz": (18, 8),
    "float8e5m2": (19, 8),
    "float8e5m2fnuz": (20, 8),
    "uint4": (21, 4),
    "int4": (22, 4),
}
STATUS_NAMES = {
    0: "OK",
    10: "INVALID_ARGUMENT",
    11: "BUSY",
    12: "NOT_RUN",
    13: "CANCELLED",
    40: "DTYPE_MISMATCH",
    41: "SHAPE_MISMATCH",
    44: "MISSING_VALUE",
    45: "UNKNOWN_CATEGORY",
    46: "INVALID_STRING",
    48: "OUT_OF_RANGE",
    49: "REFUSED",
    50: "PEER_DIED",
    51: "TIMEOUT",
    52: "UNREACHABLE",
    53: "DENIED",
    54: "PROTOCOL",
    60: "ENGINE",
    63: "OUT_OF_MEMORY",
    99: "INTERNAL",
}
STATUS_NUMBERS = {name: number for number, name in STATUS_NAMES.items()}


class Violation(Exception):
    """The peer violated the protocol."""


def require(holds: bool, what: str) -> None:
    if not holds:
        raise Violation(what)


class Spec(NamedTuple):
    """One input or output of the signature.

    A dim of -1 is free. For an output, dims may be None: the signature gives no shape.
    """

    name: str
    dtype: str
    dims: tuple[int, ...] | None


class Fault(NamedTuple):
    """One fault of a failed request."""

    status: str
    row: int
    what: str
    name: str
    expected: str
    got: str


def texts_of(fields: list[bytes]) -> list[str]:
    return [field.partition(b"\0")[0].decode() for field in fields]


def read_faults(slot: memoryview, rows: int, texts: int) -> list[Fault]:
    end = ERROR.size + texts * FAULT_TEXT.size + rows * FAULT_ROW.size
    require(
        rows <= 1000 and texts <= rows and end <= len(slot),
        f"expected at most 1000 faults that fit in the slot, got {rows} with {texts} texts",
    )
    listed = bytes(slot[ERROR.size : end])
    shared = []
    for i in range(texts):
        status, kind, *fields = FAULT_TEXT.unpack_from(listed, i * FAULT_TEXT.size)
        shared.append((STATUS_NAMES[status], FAULT_KINDS[kind], texts_of(fields)))
    faults = []
    for row, text, zero in FAULT_ROW.iter_unpack(listed[texts * FAULT_TEXT.size :]):
        require(
            row >= -1 and text < texts and zero == 0,
            "expected a fault with a row of -1 or more and a listed text, got another",
        )
        status_name, what, fields = shared[text]
        faults.append(Fault(status_name, row, what, *fields))
    return faults


class Tensor(NamedTuple):
    """Elements in C order as raw bytes; for strings, the offsets followed by the text."""

    dtype: str
    dims: tuple[int, ...]
    data: bytes | memoryview

    def strings(self) -> list[str]:
        offsets = struct.unpack_from(f"<{prod(self.dims) + 1}q", self.data)
        text = bytes(self.data[8 * len(offsets) :])
        return [text[begin:end].decode() for begin, end in pairwise(offsets)]

    @staticmethod
    def of_strings(values: Sequence[str | bytes], dims: tuple[int, ...]) -> "Tensor":
        parts = [value.encode() if isinstance(value, str) else value for value in values]
        offsets = [0]
        for part in parts:
            offsets.append(offsets[-1] + len(part))
        return Tensor("string", dims, struct.pack(f"<{len(offsets)}q", *offsets) + b"".join(parts))


def align(size: int, step: int) -> int:
    return -(-size // step) * step


def head_bytes(slots: int) -> int:
    return align(8 * (HEAD_WORDS + DESCRIPTOR_WORDS * slots), 4096)


def slot_bytes(tensors: Sequence[Tensor]) -> int:
    return align(ENTRY.size * len(tensors), 64) + sum(
        align(len(tensor.data), 64) for tensor in tensors
    )


# Tables.
def write_tensors(slot: memoryview, tensors: Sequence[Tensor], with_table: bool = True) -> None:
    at = align(ENTRY.size * len(tensors), 64)
    for i, tensor in enumerate(tensors):
        size = len(tensor.data)
        slot[at : at + size] = tensor.data
        dims = (*tensor.dims, *[0] * (16 - len(tensor.dims)))
        if with_table:
            slot[ENTRY.size * i : ENTRY.size * (i + 1)] = ENTRY.pack(
                DTYPES[tensor.dtype][0], len(tensor.dims), at, size, *dims, bytes(8)
            )
        at += align(size, 64)


def read_table(
    table: bytes, specs: Sequence[Spec], limit: int
) -> list[tuple[Spec, tuple[int, ...], int, int]]:
    """Checks a private copy of a table. Returns spec, dims, offset and bytes of each tensor."""
    layout = []
    for i, spec in enumerate(specs):
        number, rank, offset, size, *dims, zero = ENTRY.unpack_from(table, ENTRY.size * i)
        name = f"tensor '{spec.name}'"
        code, bits = DTYPES[spec.dtype]
        require(number == code, f"{name}: expected dtype {code}, got {number}")
        require(
            rank <= 16 and not any(dims[rank:]) and not any(zero),
            f"{name}: expected a rank of at most 16 and zeros behind the dims, got others",
        )
        shape = tuple(dims[:rank])
        wanted = spec.dims if spec.dims is not None else (-1,) * rank
        fits = rank == len(wanted) and all(
            got >= 0 and want in (-1, got) for got, want in zip(shape, wanted, strict=True)
        )
        require(fits, f"{name}: expected {spec.dims}, got {shape}")
        elements = prod(shape)
        wrong = (
            size < 8 * (elements + 1)
            if spec.dtype == "string"
            else size != (elements * bits + 7) // 8
        )
        require(not wrong, f"{name}: expected the size of {shape}, got {size} bytes")
        inside = (
            offset % 64 == 0
            and ENTRY.size * len(specs) <= offset <= limit
            and size <= limit - offset
        )
        require(
            inside,
            f"{name}: expected a place in {limit} bytes, got offset {offset} and {size} bytes",
        )
        layout.append((spec, shape, offset, size))
    return layout


def check_strings(tensor: Tensor) -> Tensor:
    offsets = struct.unpack_from(f"<{prod(tensor.dims) + 1}q", tensor.data)
    rises = all(begin <= end for begin, end in pairwise(offsets))
    require(
        offsets[0] == 0 and rises and offsets[-1] == len(tensor.data) - 8 * len(offsets),
        "expected offsets from 0 to the end of the text that never decrease, got others",
    )
    return tensor


def read_tensors(slot: memoryview, specs: Sequence[Spec]) -> list[Tensor]:
    """Copies table and elements once and checks the copies."""
    layout = read_table(bytes(slot[: ENTRY.size * len(specs)]), specs, len(slot))
    tensors = [
        Tensor(spec.dtype, dims, bytes(slot[offset : offset + size]))
        for spec, dims, offset, size in layout
    ]
    return [check_strings(tensor) if tensor.dtype == "string" else tensor for tensor in tensors]


# Sockets and files.
def default_folder() -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime:
        return Path(runtime) / "sidecall"
    own = Path(f"/run/user/{os.getuid()}")
    return own / "sidecall" if own.exists() else Path(f"/tmp/sidecall-{os.getuid()}")


def path_of(address: str) -> tuple[str, bool]:
    """The socket's path, and whether it is in the default folder."""
    scheme, _, rest = address.partition(":")
    if scheme != "shm" or not rest:
        raise ValueError(f"address '{address}': expected shm:NAME or shm:/path")
    if rest.startswith("/"):
        return unquote(rest.removeprefix("//")), False
    return str(default_folder() / f"{rest}.sock"), True


def dial(address: str) -> socket.socket:
    path, is_default = path_of(address)
    if is_default:
        folder = Path(path).parent
        state = folder.lstat()
        if folder.is_symlink() or not folder.is_dir() or state.st_uid != os.getuid():
            raise PermissionError(f"{folder}: expected a folder of this user")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.connect(path)
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        if is_default and uid != os.getuid():
            raise PermissionError(f"{path}: expected a server of this user")
    except BaseException:
        sock.close()
        raise
    return sock


def receive(sock: socket.socket, flags: int = 0) -> tuple[bytes, list[int]]:
    """Receives one message and its descriptors. Truncated descriptors are a violation."""
    room = socket.CMSG_SPACE(8 * 4)  # socket.recv_fds ignores the flags that it is given
    data, ancillary, got, _ = sock.recvmsg(4096, room, flags | socket.MSG_CMSG_CLOEXEC)
    fds = [
        fd
        for level, kind, raw in ancillary
        if (level, kind) == RIGHTS
        for fd in array.array("i", raw[: len(raw) & ~3])
    ]
    if got & (socket.MSG_CTRUNC | socket.MSG_TRUNC):
        close_all(fds)
        raise Violation("expected a message of the protocol, got more bytes or descriptors")
    return data, fds


def send(
    sock: socket.socket, message: bytes, fds: Sequence[int] = (), flags: int = socket.MSG_DONTWAIT
) -> None:
    sock.sendmsg(
        [message], [(*RIGHTS, array.array("i", fds))] if fds else [], flags | socket.MSG_NOSIGNAL
    )


def close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def ring(sock: socket.socket) -> None:
    # If the socket is full, the peer has unread messages and is awake anyway. If the peer is gone,
    # the next receive reports it.
    with suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
        send(sock, RING)


def check_file(fd: int, size: int, seals: int) -> None:
    got = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
    require(got & seals == seals, f"expected the seals {seals}, got {got}")
    require(
        os.fstat(fd).st_size == size, f"expected a file of {size} bytes, got {os.fstat(fd).st_size}"
    )


def make_file(name: str, size: int, seals: int, fill: Callable[[int], object] | None = None) -> int:
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, size)
    if fill is not None:
        fill(fd)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)
    return fd
