"""The bodies of clients/README.md for transports that only move bytes.

JSON uses orjson; binary is the float32 rows as they are in memory. Used by transports/.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import orjson
from workload_folder import WorkloadFolder

CONTENT_TYPES = {"json": "application/json", "binary": "application/octet-stream"}


def codec(
    body: str, folder: WorkloadFolder
) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """Two functions: from a row to the request's body, from the response's body to the answer."""
    if body == "json":
        if folder.is_record:
            return orjson.dumps, orjson.loads
        name = folder.input_name
        return lambda rows: orjson.dumps(
            {name: rows}, option=orjson.OPT_SERIALIZE_NUMPY
        ), orjson.loads
    if body == "binary" and not folder.is_record:
        return np.ndarray.tobytes, _reader(folder)
    raise ValueError(f"body: expected 'json', or 'binary' for tensors, got '{body}'")


def _reader(folder: WorkloadFolder) -> Callable[[bytes], dict[str, np.ndarray]]:
    parts = []
    offset = 0
    for output in folder.outputs:
        dtype = np.dtype(output["dtype"]).newbyteorder("<")
        shape = (folder.rows, *output["dims"])
        count = int(np.prod(shape))
        parts.append((output["name"], dtype, count, offset, shape))
        offset += count * dtype.itemsize

    def read(body: bytes) -> dict[str, np.ndarray]:
        if len(body) != offset:
            raise ValueError(f"response: expected {offset} bytes, got {len(body)}")
        return {
            name: np.frombuffer(body, dtype, count, at).reshape(shape)
            for name, dtype, count, at, shape in parts
        }

    return read
