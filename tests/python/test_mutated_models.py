"""If sidecall accepts a mutated model file, protobuf reads the file in the same way.

Protobuf finds no unknown field in the file, and would write as many bytes as it has read.
"""

from __future__ import annotations

import random
from pathlib import Path

import onnx
import pytest
import sidecall

MODELS = Path(__file__).resolve().parents[1] / "vectors/models"


def is_accepted(data: bytes) -> bool:
    """Whether the reader of sidecall accepts the bytes.

    If only ONNX Runtime or the contract refuses the model, the reader has accepted the bytes.
    """
    try:
        sidecall.open(data, verify="off")
    except sidecall.errors.FileInvalid:
        return False
    except sidecall.errors.Error:
        return True
    return True


def mutated(data: bytes, random_bytes: random.Random) -> bytes:
    """The data with one byte changed, removed or inserted."""
    at = random_bytes.randrange(len(data))
    change = bytes([random_bytes.randrange(256)])
    return (
        data[:at] + random_bytes.choice([change, b"", change + data[at : at + 1]]) + data[at + 1 :]
    )


# Files without a contract, because a file with one does not open after any change.
@pytest.mark.parametrize("name", ["add", "matmul", "strings", "from_int4", "optional_input"])
def test_protobuf_reads_accepted_files_in_the_same_way(name):
    source = random.Random(name)
    original = (MODELS / f"{name}.onnx").read_bytes()
    accepted = 0
    for _ in range(1500):
        data = mutated(original, source)
        if not is_accepted(data):
            continue
        accepted += 1
        read = onnx.load_from_string(data)
        known = onnx.ModelProto()
        known.CopyFrom(read)
        known.DiscardUnknownFields()  # type: ignore[attr-defined]
        assert known.SerializeToString(deterministic=True) == read.SerializeToString(
            deterministic=True
        )
        # Overlong numbers or duplicate fields would make `data` longer than `read`, which has none.
        assert read.ByteSize() == len(data)
    assert accepted > 50
