"""What it costs that opening compares a file with its id, in fresh processes. Used by run.py.

A file is compared with a twin that has the same bytes, except that its two keys have other names.
So the twin is a file that was not exported: the same library opens it without computing an id. From
the difference, the time that hashing may take is subtracted: a second for each 1.5 GB. Both are
opened with verify="off", so golden rows are not part of either time. The time to read the contract
of the exported file, and to remember its bytes for the next open, counts as a cost of the check.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import sidecall
from sidecall.exporting import artifact
from sklearn.ensemble import RandomForestRegressor

BYTES_PER_SECOND = 1.5e9
SEED = 52
OPEN = """
import sys, time
import sidecall
begin = time.perf_counter()
model = sidecall.open(sys.argv[1], verify="off", engine="native")
print(time.perf_counter() - begin)
"""


def measure_opens(folder: Path, rounds: int, *, is_quick: bool) -> list[dict]:
    rows = []
    for path in (_write_forest(folder, is_quick), _write_weights(folder, is_quick)):
        twin = _write_twin(path)
        times = {each: [] for each in (path, twin)}
        for _ in range(rounds):
            for each, found in times.items():
                found.append(_open_seconds(each))
        checked, unchecked = (float(np.median(found)) for found in times.values())
        size = path.stat().st_size
        rows.append(
            {
                "file": path.name,
                "mb": round(size / 1e6, 1),
                "checked_ms": round(1e3 * checked, 2),
                "unchecked_ms": round(1e3 * unchecked, 2),
                "ratio": round((checked - size / BYTES_PER_SECOND) / unchecked, 3),
                "rounds": rounds,
            }
        )
    return rows


def _open_seconds(path: Path) -> float:
    command = [sys.executable, "-c", OPEN, str(path)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _write_twin(path: Path) -> Path:
    content = path.read_bytes()
    for key in (b"\x0a\x11sidecall.contract", b"\x0a\x0bsidecall.id"):
        if content.count(key) != 1:
            raise RuntimeError(f"{path}: expected the key {key!r} once")
        content = content.replace(key, key[:-1] + b"_")
    twin = path.with_suffix(".twin.onnx")
    twin.write_bytes(content)
    return twin


def _write_forest(folder: Path, is_quick: bool) -> Path:
    generator = np.random.default_rng(SEED)
    data = generator.normal(size=(500 if is_quick else 20_000, 10)).round(4)
    trees = RandomForestRegressor(20, random_state=SEED, n_jobs=-1).fit(data, data.sum(1) ** 3)
    path = folder / "forest.onnx"
    sidecall.export(trees, path, data[:500], progress=False)
    return path


def _write_weights(folder: Path, is_quick: bool) -> Path:
    """A graph of one step, y = x + w[0], with many weights: almost nothing but reading the file."""
    from onnx import TensorProto, helper, numpy_helper

    weights = np.random.default_rng(SEED).random(10_000 if is_quick else 25_000_000, np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["w", "first"], ["one"]),
            helper.make_node("Add", ["x", "one"], ["prediction"]),
        ],
        "weights",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 1])],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["N", 1])],
        [
            numpy_helper.from_array(weights, "w"),
            numpy_helper.from_array(np.zeros(1, np.int64), "first"),
        ],
    )
    contract = {
        "format": 5,
        "model": {"name": "weights"},
        "features": [
            {"name": "x", "type": "float32", "nullable": False, "input": "x", "column": 0}
        ],
        "outputs": [{"name": "prediction", "role": "prediction", "type": "float32"}],
    }
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = folder / "weights.onnx"
    path.write_bytes(artifact.seal(proto, json.dumps(contract))[0])
    return path
