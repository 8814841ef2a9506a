"""What the machine allows at best: the latency of loads and the bandwidth of caches, beside the
measured times; used by run.py.
"""

from pathlib import Path

import numpy as np
import trees
from calls import Measured
from cases import Case
from limits import ours_of
from models import RING
from programs import width_of
from rounds import Client

KIB = 1024
NODE_BYTES = 8  # a node of the native engine; the bits of small trees take about as much
# The bytes that are read to measure each cache. They fit into the caches of usual server CPUs, and
# those of "memory" into none.
LEVELS = {"L1": 16 * KIB, "L2": 512 * KIB, "L3": 16 * KIB * KIB, "memory": 256 * KIB * KIB}


def measure_machine(client: Client, quick: bool) -> list[dict]:
    """The best of some repetitions, because other processes can only slow them down."""
    loads, streamed, repeats = (100_000, 10_000_000, 1) if quick else (2_000_000, 2_000_000_000, 3)
    found = []
    for level, size in LEVELS.items():
        if quick and level == "memory":
            size = LEVELS["L3"]
        chase = min(client.ask("chase", size, loads)[0][0] for _ in range(repeats))
        times = max(1, streamed // size)
        stream = min(client.ask("stream", size, times)[0][0] for _ in range(repeats))
        found.append(
            {
                "cache": level,
                "bytes": size,
                "load_ns": float(chase) / loads,
                "gb_per_s": times * size / float(stream),
            }
        )
    return found


def _cache_sizes() -> dict[str, int]:
    """The bytes of each cache of data, as Linux reports them."""
    found = {}
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        kind, level, size = (
            (folder / name).read_text(encoding="utf-8").strip()
            for name in ("type", "level", "size")
        )
        if kind != "Instruction":
            found[f"L{level}"] = int(size.rstrip("K")) * KIB
    return found or {"L1": 32 * KIB, "L2": 1024 * KIB, "L3": 32 * KIB * KIB}


def _level_of(size: int) -> str:
    """The smallest cache that the nodes fit into."""
    fitting = [level for level, most in _cache_sizes().items() if size <= most and level in LEVELS]
    return min(fitting, default="memory")


def roofline_rows(
    cases: list[Case], measured: Measured, batch: int, machine: list[dict]
) -> list[dict]:
    """For each model of trees, times in us for one row.

    `one_by_one`: all loads of nodes, one after the other. `overlapped`: the loads of the longest
    path, if those of all other trees take place meanwhile. `bandwidth`: reading all visited nodes
    from their cache, and the row from memory.
    """
    levels = {one["cache"]: one for one in machine}
    found = []
    for case in cases:
        if case.judged is None:
            continue
        model = trees.read(case.folder / "model.onnx")
        width = width_of(case)
        rows = np.fromfile(case.folder / "features.f64", count=RING * width).reshape(-1, width)
        lengths = trees.path_lengths(model, rows)
        size = NODE_BYTES * len(model.feature)
        level = levels[_level_of(size)]
        loads, longest = lengths.sum(axis=1).mean(), lengths.max(axis=1).mean()
        nodes_us = loads * NODE_BYTES / level["gb_per_s"] / 1000
        row_us = width * 8 / levels["memory"]["gb_per_s"] / 1000
        ours, ours_batch = ours_of(measured[case.name, 1]), ours_of(measured[case.name, batch])
        found.append(
            {
                "scenario": case.name,
                "cache": level["cache"],
                "nodes": len(model.feature),
                "loads": float(loads),
                "one_by_one_us": float(loads * level["load_ns"] / 1000),
                "overlapped_us": float(longest * level["load_ns"] / 1000),
                "one_row_us": ours.percentile_us(50) if ours else 0.0,
                "bandwidth_us": float(nodes_us + row_us),
                "batch_row_us": ours_batch.percentile_us(50) / batch if ours_batch else 0.0,
            }
        )
    return found
