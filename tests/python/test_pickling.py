"""Models in other processes: a pickle opens the same model again, or raises an error."""

from __future__ import annotations

import concurrent.futures
import copy
import multiprocessing
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import pytest
import sidecall
from sidecall import errors
from vector_files import MODELS
from vector_servers import Servers

RECORD = {"a": 1, "b": 2, "c": True, "d": 0.5}
ANSWER = {"prediction": 621.0}
Load = Callable[..., sidecall.Model]


def predict(model: sidecall.Model, record: dict[str, Any]) -> Any:
    return model.predict(record)


def test_a_pickled_model_answers_as_before_in_another_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    shutil.copy(MODELS / "matrix.onnx", tmp_path / "größe.onnx")
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(sidecall.open("größe.onnx", extra="ignore", backend=backend))  # type: ignore[arg-type]
    monkeypatch.chdir("/")
    twin = pickle.loads(data)
    assert twin.predict(RECORD | {"more": 1}) == ANSWER
    assert type(twin._native).__module__.endswith("_" + backend)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_every_kind_of_source_is_opened_again(protocol: int, tmp_path: Path) -> None:
    path = MODELS / "matrix.onnx"
    odd = tmp_path / "a:b?engine=native"
    shutil.copy(path, odd)
    for source in (path, str(path), path.as_uri(), f"{path}?engine=onnxruntime", odd):
        model = sidecall.open(source)
        twin = pickle.loads(pickle.dumps(model, protocol))
        assert twin.predict(RECORD) == ANSWER
        assert twin.engine == model.engine
    model = sidecall.open(path.read_bytes(), timeout=7)
    twin = copy.deepcopy(model)
    assert twin.id == model.id
    assert twin._timeout_ns == model._timeout_ns


def test_a_relative_path_through_a_link_keeps_its_meaning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real/inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real/inner")
    shutil.copy(MODELS / "matrix.onnx", tmp_path / "real/model.onnx")
    monkeypatch.chdir(tmp_path)
    data = pickle.dumps(sidecall.open("link/../model.onnx"))
    monkeypatch.chdir("/")
    assert pickle.loads(data).predict(RECORD) == ANSWER


def test_workers_of_other_processes_take_a_model() -> None:
    model = sidecall.open(MODELS / "matrix.onnx")
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(predict, model, RECORD).result() == ANSWER
    tasks = [joblib.delayed(predict)(model, RECORD) for _ in range(3)]
    assert joblib.Parallel(n_jobs=2)(tasks) == [ANSWER] * 3


@pytest.mark.usefixtures("network_library")
@pytest.mark.parametrize("route", ["shm", "http", "grpc"])
def test_a_model_of_a_server_is_opened_again_in_another_folder(
    route: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = Servers(network=True)
    try:
        model = sidecall.open(servers.address_over(route, "matrix.onnx"), wait=30)
        data = pickle.dumps(model)
        monkeypatch.chdir(tmp_path)
        assert pickle.loads(data).predict(RECORD) == ANSWER
    finally:
        servers.close()


def test_another_model_in_the_same_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    shutil.copy(MODELS / "matrix.onnx", path)
    data = pickle.dumps(sidecall.open(path))
    shutil.copy(MODELS / "slow.onnx", path)
    with pytest.raises(
        errors.VerificationFailed, match=r"model\.onnx': expected the pickled model"
    ):
        pickle.loads(data)
    path.unlink()
    with pytest.raises(errors.FileNotFound):
        pickle.loads(data)


def test_a_closed_model_is_not_pickled(load: Load) -> None:
    model = load("matrix.onnx")
    model.close()
    with pytest.raises(errors.InvalidArgument, match="the model is closed"):
        pickle.dumps(model)
