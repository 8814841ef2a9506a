"""Reads which libraries a program or a library of Linux needs, without running it."""

from __future__ import annotations

import struct

LOAD, DYNAMIC = 1, 2  # types of segments
NEEDED, STRINGS = 1, 5  # tags of dynamic entries


def needed_libraries(content: bytes) -> list[str]:
    """The libraries that the loader needs for a 64-bit, little-endian ELF file.

    Raises ValueError for another file.
    """
    if not content.startswith(b"\x7fELF\x02\x01"):
        raise ValueError("the file is not a 64-bit, little-endian ELF file")
    try:
        return _needed(content)
    except (struct.error, StopIteration):
        raise ValueError("expected an ELF file, got one that is damaged") from None


def _needed(content: bytes) -> list[str]:
    (start,) = struct.unpack_from("<Q", content, 32)
    size, number = struct.unpack_from("<HH", content, 54)
    # Type, flags, offset in the file, address, physical address, bytes in the file.
    segments = [struct.unpack_from("<IIQQQQ", content, start + i * size) for i in range(number)]
    entries = [
        struct.unpack_from("<qQ", content, at)
        for kind, _, begin, _, _, length in segments
        if kind == DYNAMIC
        for at in range(begin, begin + length, 16)
    ]
    names = [value for tag, value in entries if tag == NEEDED]
    if not names:
        return []
    address = next(value for tag, value in entries if tag == STRINGS)
    strings = next(
        begin + address - first
        for kind, _, begin, first, _, length in segments
        if kind == LOAD and first <= address < first + length
    )
    return [_text_at(content, strings + name) for name in names]


def _text_at(content: bytes, begin: int) -> str:
    return content[begin : content.find(b"\0", begin)].decode(errors="replace")
