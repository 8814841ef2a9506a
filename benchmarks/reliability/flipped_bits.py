"""Counts the exported files that still open after one of their bits is flipped. None may.

Each bit of five small files of different kinds is flipped, and random bits of two large ones. The
files are opened with verify="off", so that no golden row can notice the change. Used by run.py.
Without it, a million bits of the large files take about ten minutes:

python benchmarks/reliability/flipped_bits.py 1000000
"""

import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import sidecall
from sklearn.compose import make_column_transformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

VECTORS = Path(__file__).resolve().parents[2] / "tests/vectors/models"
SEED = 52


def flip_bits(folder: Path, random_flips: int) -> list[dict]:
    """One row for each file: how many bits were flipped, and how many files then opened."""
    linear, forest, text = (_write(folder, name, False) for name in ("linear", "forest", "text"))
    rows = [_flip_all(path) for path in (linear, forest, text, VECTORS / "dates.onnx")]
    for name in ("with_id.onnx", "weights.bin"):
        shutil.copy(VECTORS / "external" / name, folder)
    for name in ("with_id.onnx", "weights.bin"):
        rows.append(_flip_on_disk(folder / "with_id.onnx", folder / name))
    generator = np.random.default_rng(SEED)
    for name in ("forest", "text"):
        path = _write(folder, name, True)
        bits = generator.integers(8 * path.stat().st_size, size=random_flips // 2)
        rows.append(_flip_all(path, bits.tolist()))
    return rows


def _write(folder: Path, name: str, is_large: bool) -> Path:
    generator = np.random.default_rng(SEED)
    size = 2000 if is_large else 60
    numbers = generator.normal(size=(size, 3)).round(3)
    target = generator.integers(3, size=size)
    data: object = numbers
    if name == "linear":
        model = LinearRegression().fit(numbers, numbers @ [1, 2, 3])
    elif name == "forest":
        labels = np.array(["setosa", "versicolor", "virginica"])[target]
        data = pd.DataFrame(numbers, columns=["a", "b", "c"])
        data["place"] = generator.choice(["north", "east", "south", "west"], size)
        trees = RandomForestClassifier(30 if is_large else 3, random_state=SEED)
        columns = make_column_transformer((OneHotEncoder(), ["place"]), remainder="passthrough")
        model = make_pipeline(columns, trees).fit(data, labels)
    else:
        words = [f"word{i}" for i in range(20_000 if is_large else 40)]
        data = [" ".join(generator.choice(words, 12)) for _ in range(size)]
        model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(data, target % 2)
    path = folder / f"{name}-{'large' if is_large else 'small'}.onnx"
    sidecall.export(model, path, data, progress=False)
    return path


def _flip_all(path: Path, bits: Iterable[int] | None = None) -> dict:
    """Flips all bits, or the given ones, in memory."""
    content = bytearray(path.read_bytes())
    options = {"verify": "off", "engine": "native"}
    sidecall.open(bytes(content), **options).close()

    def opens(bit: int) -> str:
        content[bit // 8] ^= 1 << bit % 8
        try:
            return _outcome(lambda: sidecall.open(bytes(content), **options))
        finally:
            content[bit // 8] ^= 1 << bit % 8

    return _row(path, Counter(map(opens, range(8 * len(content)) if bits is None else bits)))


def _flip_on_disk(model: Path, changed: Path) -> dict:
    """Flips all bits of a file that belongs to the model."""
    content = changed.read_bytes()
    sidecall.open(model, verify="off").close()

    def opens(bit: int) -> str:
        with changed.open("r+b") as file:
            file.seek(bit // 8)
            file.write(bytes([content[bit // 8] ^ 1 << bit % 8]))
        try:
            return _outcome(lambda: sidecall.open(model, verify="off"))
        finally:
            changed.write_bytes(content)

    return _row(changed, Counter(map(opens, range(8 * len(content)))))


def _outcome(open_model: Callable[[], sidecall.Model]) -> str:
    try:
        open_model().close()
    except sidecall.errors.Error as error:
        return error.code
    return "opened"


def _row(path: Path, outcomes: Counter[str]) -> dict:
    wrong = sum(count for name, count in outcomes.items() if not name.startswith("FILE_"))
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "flips": outcomes.total(),
        "wrong": wrong,
        "outcomes": dict(outcomes.most_common()),
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        for row in flip_bits(Path(name), int(sys.argv[1])):
            print(row, flush=True)
