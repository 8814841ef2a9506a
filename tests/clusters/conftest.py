"""A model of flights, with the rows and the answers of the original pipeline."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import sidecall
from flights_model import Flights
from scaleout.flights import FEATURES, answer, fit, read_flights
from sidecall.exporting import artifact

ROWS, FILES = 24_000, 12


@pytest.fixture(scope="session")
def flights(tmp_path_factory: pytest.TempPathFactory) -> Flights:
    folder = tmp_path_factory.mktemp("flights")
    frame = read_flights()
    pipeline = fit(frame, rows=2000, trees=20)
    sidecall.export(pipeline, folder / "flights.onnx", frame[FEATURES].iloc[:1000])
    rows = frame.iloc[:ROWS].drop(columns="arr_delay")
    (folder / "rows").mkdir()
    for index in range(FILES):
        rows.iloc[index::FILES].to_parquet(folder / f"rows/{index}.parquet", index=False)
    return Flights(folder / "flights.onnx", rows, answer(pipeline, rows), folder / "rows")


@pytest.fixture(scope="session")
def wrong_model(flights: Flights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same graph, but golden rows that ask for other answers."""
    proto = onnx.load(flights.model)
    (contract,) = (each.value for each in proto.metadata_props if each.key == "sidecall.contract")
    start = contract.index('"outputs"', contract.index('"verification"'))
    changed = contract[:start] + contract[start:].replace("[0.", "[3.")
    assert changed != contract
    wrong = tmp_path_factory.mktemp("wrong") / "flights.onnx"
    wrong.write_bytes(artifact.seal(proto, changed)[0])
    return wrong


@pytest.fixture
def run_example(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Runs a program of examples/batch in the cluster of the test; returns what it prints."""

    def run(name: str, model: Path, rows: Path, out: Path) -> str:
        program = str(Path(__file__).parents[2] / "examples/batch" / name)
        words = [program, str(model), str(rows), str(out), "--keep", "id"]
        monkeypatch.setattr(sys, "argv", words)
        capsys.readouterr()
        runpy.run_path(program, run_name="__main__")
        return capsys.readouterr().out

    return run
