"""Each row on which the model itself fails is reported by itself; other rows are answered."""

from __future__ import annotations

import json
import signal
import sys

import models
import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from sidecall import export, serve
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.naive_bayes import CategoricalNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer


@pytest.fixture(params=["kernel", "shape"])
def picky(request, tmp_path):
    """A model that answers 10 * x if x is 0 to 4.

    For any other x, the run fails ("kernel"), or the output has no row for it ("shape").
    """
    constants = {"table": np.arange(5, dtype=np.float32) * 10, "five": np.array(5, np.int64)}
    nodes = [helper.make_node("Gather", ["table", "x"], ["y"])]
    if request.param == "shape":
        nodes = [
            helper.make_node("Less", ["x", "five"], ["known"]),
            helper.make_node("Compress", ["x", "known"], ["kept"], axis=0),
            helper.make_node("Gather", ["table", "kept"], ["y"]),
        ]
    graph = helper.make_graph(
        nodes,
        "picky",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["N"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    features = [{"name": "x", "type": "int64", "nullable": False, "input": "x", "column": 0}]
    outputs = [{"name": "y", "role": "prediction", "type": "float32"}]
    contract = {
        "format": 5,
        "model": {"name": "picky", "version": "1"},
        "features": features,
        "outputs": outputs,
    }
    return models.save(tmp_path / "picky.onnx", graph, contract).name


ROWS = [0, 4, 9, 3, 77, 2]  # the third and the fifth fail
LINES = "".join(f'{{"x": {x}}}\n' for x in ROWS)
CSV = "key,x\n" + "".join(f"{key},{x}\n" for key, x in zip("abcdef", ROWS, strict=True))


@pytest.mark.parametrize("batch", [1, 2, 512])
def test_failed_rows_of_json_lines_are_answered_with_null(sidecall, picky, batch):
    done = sidecall("predict", picky, "--on-error=null", f"--batch={batch}", stdin=LINES)
    assert done.code == 4
    assert [json.loads(line) for line in done.lines()] == [
        {"y": 0},
        {"y": 40},
        None,
        {"y": 30},
        None,
        {"y": 20},
    ]
    assert [line.split(": ")[0] for line in done.err.splitlines()] == [
        "<stdin>:3:1",
        "<stdin>:5:1",
        "sidecall",
    ]
    assert "2 rows of 6 had faults and were answered with null" in done.err


def test_failed_rows_of_csv_are_skipped(sidecall, picky):
    done = sidecall("predict", picky, "--on-error=skip", "--from=csv", "--keep=key", stdin=CSV)
    assert (done.code, done.lines()) == (4, ["key,y", "a,0", "b,40", "d,30", "f,20"])
    assert done.err.endswith("2 rows of 6 had faults and were left out\n")


def test_the_first_failed_row_ends_the_run_by_default(sidecall, picky):
    done = sidecall("predict", picky, stdin=LINES)
    assert done.code == 4
    assert [json.loads(line) for line in done.lines()] == [{"y": 0}, {"y": 40}]
    assert done.err.startswith("<stdin>:3:1: ") and done.err.count("\n") == 1


def test_a_stream_continues_after_a_failed_row(sidecall, picky):
    done = sidecall("predict", picky, "--stream", stdin=LINES)
    assert (done.code, done.err) == (0, "")
    answers = [json.loads(line) for line in done.lines()]
    assert [
        answer["error"]["status"] if "error" in answer else answer["y"] for answer in answers
    ] == [0, 40, "ENGINE", 30, "ENGINE", 20]


APP = """\
def double(x: float) -> float:
    if x < 0:
        raise ValueError("below zero")
    return 2 * x
"""


def test_an_exception_of_a_served_function_fails_only_its_row(sidecall, tmp_path):
    (tmp_path / "app.py").write_text(APP)
    at = f"shm:{tmp_path}/app.sock"
    sidecall.env["SIDECALL_PYTHON"] = sys.executable
    with sidecall.start("serve", "app:double", "--at", at) as process:
        try:
            done = sidecall(
                "predict",
                at,
                "--wait",
                "50",
                "--on-error=null",
                stdin='{"x": 1}\n{"x": -1}\n{"x": 3}\n',
            )
            assert done.code == 4
            assert done.lines() == ['{"prediction":2}', "null", '{"prediction":6}']
            assert "ValueError: below zero" in done.err
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)


class Fussy(BaseEstimator, RegressorMixin):
    """Raises for a whole batch if it contains 77 or 99, as steps of a pipeline do.

    No domain in the contract describes these values.
    """

    def fit(self, rows, target):
        self.n_features_in_ = 1
        return self

    def predict(self, rows):
        if np.isin(rows, (77, 99)).any():
            raise ValueError("neither 77 nor 99")
        return np.asarray(rows)[:, 0] * 10.0


@pytest.mark.parametrize("batch", [1, 2, 512])
def test_an_exception_of_a_served_pipeline_fails_only_its_row(sidecall, tmp_path, batch):
    rows = np.arange(40.0).reshape(-1, 1)
    model = make_pipeline(FunctionTransformer(), Fussy()).fit(rows, rows[:, 0])
    at = f"shm:{tmp_path}/fussy.sock"
    lines = "".join(f'{{"x0": {x}}}\n' for x in (1, 2, 99, 3, 77, 4))
    with serve(model, at, data=rows, block=False, log=None):
        done = sidecall("predict", at, "--on-error=null", f"--batch={batch}", stdin=lines)
        assert [json.loads(line) for line in done.lines()] == [
            {"prediction": x} for x in (10, 20)
        ] + [
            None,
            {"prediction": 30},
            None,
            {"prediction": 40},
        ]
        assert (done.code, done.err.count("ValueError: neither 77 nor 99")) == (4, 2)
        done = sidecall(
            "predict",
            at,
            "--on-error=skip",
            "--from=csv",
            f"--batch={batch}",
            stdin="x0\n1\n99\n2\n",
        )
        assert (done.code, done.lines()) == (4, ["prediction", "10", "20"])
        done = sidecall("predict", at, f"--batch={batch}", stdin=lines)
        assert (done.code, len(done.lines())) == (4, 2), "by default the first one ends the run"


@pytest.mark.parametrize("kind", [int, float], ids=["a list of codes", "a domain"])
def test_a_category_code_out_of_range_is_refused_in_process(sidecall, tmp_path, kind):
    data = np.random.default_rng(0).integers(0, 4, size=(200, 2)).astype(kind)
    export(CategoricalNB().fit(data, data[:, 0] > 1), tmp_path / "nb.onnx", data)
    done = sidecall(
        "predict",
        tmp_path / "nb.onnx",
        "--on-error=null",
        "--only=label",
        stdin='{"x0":1,"x1":2}\n{"x0":7777,"x1":2}\n{"x0":3,"x1":2}\n',
    )
    assert (done.code, done.lines()) == (2, ['{"label":false}', "null", '{"label":true}'])
    assert "7777" not in done.err and done.err.startswith("<stdin>:2:")
