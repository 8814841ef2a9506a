"""Modules of PyTorch: the file answers as the module does, and what cannot be exported is refused.

torch is imported inside the tests, because only `make test-long` installs it.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pytest
import sidecall
from sidecall.exporting.errors import DataError, ModelError, StepError

ROOT = Path(__file__).resolve().parents[4]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build")).resolve()
NODE = """
const { open } = require(process.argv[1]);
(async () => {
  const model = await open(process.argv[2]);
  const rows = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  console.log(JSON.stringify(rows.map((row) => model.predictSync(row))));
})();
"""
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module")
def modules() -> Any:
    import torch
    import torch_modules

    torch.set_num_threads(1)
    return torch_modules


@pytest.fixture(scope="module")
def network(modules: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any, Path]:
    """The images, the module's answers to them, and the file of the network for digits."""
    module, images = modules.digits()
    path = tmp_path_factory.mktemp("digits") / "digits.onnx"
    sidecall.export(module, path, images[:300], classes=list(range(10)), progress=False)
    return images, modules.answers_of(module, images).numpy(), path


@pytest.fixture(scope="module", params=["float32", "float64"])
def table(
    request: pytest.FixtureRequest, modules: Any, tmp_path_factory: pytest.TempPathFactory
) -> tuple[pd.DataFrame, np.ndarray, Path, float]:
    """The rows, the module's answers, the file, and how near the answers must be."""
    import torch

    module, numbers, city = modules.journeys(getattr(torch, request.param))
    frame = pd.DataFrame(numbers.numpy(), columns=["km", "price", "age", "Größe"])
    path = tmp_path_factory.mktemp("table") / "journeys.onnx"
    example = (frame, pd.Series(city.numpy(), name="city"))
    sidecall.export(module, path, example, classes=["lo", "mid", "hi"], progress=False)
    answers = modules.answers_of(module, numbers, city).numpy()
    return frame.assign(city=city.numpy()), answers, path, 1e-5 if numbers.itemsize == 4 else 1e-12


@pytest.mark.parametrize("engine", ["native", "onnxruntime"])
def test_a_tabular_network_answers_on_both_engines(table: Any, engine: str) -> None:
    rows, expected, path, tolerance = table
    with sidecall.open(path, engine=engine) as model:
        found = model.predict(rows)
        assert model.contract["engines"].keys() == {"onnxruntime", "native"}
    scores = found[[f"scores.{name}" for name in ("lo", "mid", "hi")]].to_numpy()
    np.testing.assert_allclose(scores, expected, rtol=tolerance, atol=tolerance)
    assert scores.dtype == expected.dtype
    assert found["label"].tolist() == [("lo", "mid", "hi")[k] for k in expected.argmax(axis=1)]


def test_a_row_alone_has_the_answer_that_it_has_in_a_batch(table: Any) -> None:
    rows, expected, path, tolerance = table
    with sidecall.open(path) as model:
        for k in range(8):
            scores = model.predict(rows.iloc[k].to_dict())["scores"]
            np.testing.assert_allclose(
                list(scores.values()), expected[k], rtol=tolerance, atol=tolerance
            )


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"city": 5}, "OUT_OF_RANGE"),
        ({"city": -1}, "OUT_OF_RANGE"),
        ({"city": 2**40}, "OUT_OF_RANGE"),
        ({"city": 1.5}, "DTYPE_MISMATCH"),
        ({"city": None}, "MISSING_VALUE"),
        ({"km": float("inf")}, "OUT_OF_RANGE"),
        ({"km": float("nan")}, "MISSING_VALUE"),
        ({"km": "1"}, "DTYPE_MISMATCH"),
    ],
)
def test_the_file_refuses_what_the_module_does_not_answer(
    table: Any, change: dict[str, Any], status: str
) -> None:
    rows, _, path, _ = table
    with sidecall.open(path) as model, pytest.raises(sidecall.Error) as caught:
        model.predict(rows.iloc[0].to_dict() | change)
    assert str(caught.value.code) == status


def test_node_and_the_command_answer_as_python(table: Any, network: Any, tmp_path: Path) -> None:
    rows, _, journeys, _ = table
    images, _, digits = network
    pixels = images[:20].reshape(20, 64).numpy().tolist()
    for path, records in (
        (journeys, rows.head(20).to_dict("records")),
        (digits, [dict(zip(names_of(digits), row, strict=True)) for row in pixels]),
    ):
        with sidecall.open(path) as model:
            expected = [model.predict(record) for record in records]
        package = str(ROOT / "bindings" / "node")
        answered = json.loads(
            output_of(["node", "-e", NODE, package, str(path)], json.dumps(records))
        )
        assert answered == expected
        lines = "".join(json.dumps(record) + "\n" for record in records)
        command = [str(BUILD / "bin" / "sidecall"), "predict", str(path)]
        printed = output_of(command, lines).splitlines()
        assert [json.loads(line) for line in printed] == expected


def names_of(path: Path) -> list[str]:
    with sidecall.open(path) as model:
        return [feature.name for feature in model.features]


def output_of(command: list[str], text: str) -> str:
    (library,) = (Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*")
    done = subprocess.run(
        command,
        input=text,
        capture_output=True,
        text=True,
        env=os.environ | {"SIDECALL_ONNXRUNTIME": str(library)},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_network_for_images_answers_as_the_module(network: Any) -> None:
    images, expected, path = network
    with sidecall.open(path) as model:
        found = model.run({"input": images.reshape(len(images), 64).numpy()})
        assert model.contract["shapes"] == {"input": [1, 8, 8]}
        assert model.contract["verification"]["rows"] == 32
        assert "native" not in model.contract["engines"]
    np.testing.assert_allclose(found["scores"], expected, rtol=1e-5, atol=1e-5)
    assert np.array_equal(found["label"], expected.argmax(axis=1))


def test_the_report_says_why_the_native_engine_does_not_run_a_network_for_images(
    modules: Any, tmp_path: Path
) -> None:
    module, images = modules.digits()
    report = sidecall.export(module, tmp_path / "m.onnx", images[:50], progress=False)
    assert "(Conv): this engine does not have the operator" in str(report)
    with pytest.raises(sidecall.errors.Unsupported):
        sidecall.open(tmp_path / "m.onnx", engine="native")


def test_the_file_holds_nothing_about_the_source_code(network: Any, table: Any) -> None:
    for path in (network[2], table[2]):
        content = path.read_bytes()
        for word in (b"torch_modules", b"stack_trace", b"forward(", b"/home", b"pkg."):
            assert word not in content
        onnx.checker.check_model(onnx.load(path))


def test_the_module_is_left_as_it_was(modules: Any, tmp_path: Path) -> None:
    module = modules.linear()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    sidecall.export(module, tmp_path / "m.onnx", modules.rows(), progress=False)
    assert not module.training
    assert all(value.requires_grad for value in module.parameters())
    assert all(value.equal(before[name]) for name, value in module.state_dict().items())


def test_one_number_for_each_row_is_a_prediction(modules: Any, tmp_path: Path) -> None:
    """The codes are a column of a float matrix, which the module cuts to whole numbers."""
    module = modules.Codes().eval()
    frame = pd.DataFrame({"a": [0.5, 1.0, -2.0], "b": [1.0, 2.0, 3.0], "code": [0, 3, 2]})
    sidecall.export(module, tmp_path / "m.onnx", frame, golden="real", progress=False)
    with sidecall.open(tmp_path / "m.onnx") as model:
        assert [(f.name, f.dtype) for f in model.features] == [
            ("a", "float32"),
            ("b", "float32"),
            ("code", "int64"),
        ]
        assert model.contract["verification"]["source"] == "real"
        record = frame.iloc[0].to_dict()
        import torch

        expected = modules.answers_of(module, torch.tensor(frame.to_numpy("float32")))[0]
        assert model.predict(record)["prediction"] == pytest.approx(float(expected), rel=1e-6)
        for code in (4, -1, 10**9):
            with pytest.raises(sidecall.errors.OutOfRange):
                model.predict(record | {"code": code})


def test_several_outputs_have_the_names_that_the_module_gives(modules: Any, tmp_path: Path) -> None:
    import torch

    parts = {
        "dict": lambda self, x: {"mean": self.layer(x), "label": x[:, 0] > 0},
        "named": lambda self, x: modules.Pair(self.layer(x).mean(1), self.layer(x)),
        "tuple": lambda self, x: (
            x.half(),
            (x * 3).int(),
            self.layer(x)[:, :, None].repeat(1, 1, 2),
        ),
    }
    names = {
        "dict": {"mean": "float32", "label_output": "bool"},
        "named": {"mean": "float32", "scores": "float32"},
        "tuple": {"prediction0": "float32", "prediction1": "int64", "prediction2": "float32"},
    }
    x = modules.rows()
    for key, function in parts.items():
        module = modules.Function(function).eval()
        sidecall.export(module, tmp_path / "m.onnx", x, progress=False)
        answers = modules.answers_of(module, x)
        with sidecall.open(tmp_path / "m.onnx") as model:
            outputs = {entry["name"]: entry["type"] for entry in model.contract["outputs"]}
            assert outputs == names[key]
            found = model.run({"x": x.numpy()})
            for name, part in zip(
                outputs, answers.values() if key == "dict" else answers, strict=True
            ):
                flat = part.reshape(len(x), -1).to(torch.float64).numpy()
                np.testing.assert_allclose(
                    found[name].reshape(flat.shape), flat, rtol=1e-5, atol=1e-6
                )
            model.predict(dict.fromkeys(["x0", "x1", "x2"], 0.5))


def test_arguments_by_name_narrow_integers_and_booleans(modules: Any, tmp_path: Path) -> None:
    import torch

    class Mixed(torch.nn.Module):
        def forward(self, pixels: Any, scores: Any, is_open: Any) -> Any:
            return pixels.float().mean((1, 2)) + torch.where(is_open, scores[:, 0], -scores[:, 1])

    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (20, 2, 3), dtype=torch.uint8, generator=generator)
    scores, is_open = torch.randn(20, 2, generator=generator), torch.arange(20) % 3 == 0
    module = Mixed().eval()
    example = {"is_open": is_open, "scores": scores, "pixels": pixels}
    sidecall.export(module, tmp_path / "m.onnx", example, progress=False)
    with sidecall.open(tmp_path / "m.onnx") as model:
        found = model.run(
            {
                "is_open": is_open.reshape(20, 1).numpy(),
                "scores_input": scores.numpy(),
                "pixels": pixels.reshape(20, 6).long().numpy(),
            }
        )
        expected = modules.answers_of(module, pixels, scores, is_open).numpy()
        np.testing.assert_allclose(found["prediction"].ravel(), expected, rtol=1e-5)
        record = {f"pixels.{i}.{j}": 7 for i in range(2) for j in range(3)}
        record |= {"scores.0": 1.0, "scores.1": 2.0, "is_open": False}
        assert model.predict(record)["prediction"] == pytest.approx(5.0)
        with pytest.raises(sidecall.errors.OutOfRange):
            model.predict(record | {"pixels.0.0": 256})


def test_a_module_that_takes_missing_values_has_nullable_features(
    modules: Any, tmp_path: Path
) -> None:
    import torch

    module = modules.Function(lambda self, x: self.layer(torch.nan_to_num(x, nan=0.25))).eval()
    sidecall.export(module, tmp_path / "m.onnx", modules.rows(), progress=False)
    with sidecall.open(tmp_path / "m.onnx") as model:
        assert all(feature.nullable for feature in model.features)
        found = model.predict({"x0": 0.5, "x1": -1.0})["prediction"]
    expected = modules.answers_of(module, torch.tensor([[0.5, -1.0, torch.nan]]))
    np.testing.assert_allclose(found, expected[0].numpy(), rtol=1e-5)


def test_a_row_whose_sums_overflow_is_refused(modules: Any, tmp_path: Path) -> None:
    import torch

    module = modules.Function(lambda self, x: torch.exp(self.layer(x))).eval()
    sidecall.export(module, tmp_path / "m.onnx", modules.rows(), progress=False)
    large = torch.tensor([[4e3, -4e3, 4e3], [-4e3, 4e3, -4e3]])
    assert torch.isinf(modules.answers_of(module, large)).any()
    with sidecall.open(tmp_path / "m.onnx") as model, pytest.raises(sidecall.Error):
        model.run({"x": large.numpy()})


def test_probabilities_are_recognised(modules: Any, tmp_path: Path) -> None:
    module = modules.Function(lambda self, x: self.layer(x).softmax(1)).eval()
    for classes in (["no", "yes"], [False, True], [3, 7]):
        sidecall.export(
            module, tmp_path / "m.onnx", modules.rows(), classes=classes, progress=False
        )
        with sidecall.open(tmp_path / "m.onnx") as model:
            answer = model.predict({"x0": 1.0, "x1": 0.0, "x2": 0.0})
        assert answer["label"] in classes
        assert sum(answer["probabilities"].values()) == pytest.approx(1.0)


def test_check_compares_and_says_why_not(modules: Any) -> None:
    assert sidecall.check(modules.linear(), modules.rows()).ok
    report = sidecall.check(modules.linear())
    assert not report.ok
    assert "expected an example" in str(report)
    branching = modules.Function(lambda self, x: x * 2 if x.sum() > 0 else x).eval()
    assert not sidecall.check(branching, modules.rows()).ok


def refused(example: Any, module: Any, path: Path, **options: Any) -> Exception:
    with pytest.raises(sidecall.ExportError) as caught:
        sidecall.export(module, path / "m.onnx", example, progress=False, **options)
    assert not (path / "m.onnx").exists()
    return caught.value


FUNCTIONS: dict[str, tuple[Any, type[Exception], str]] = {
    "a branch": (
        lambda self, x: x * 2 if (x[:, 0] > 100).any() else x,
        StepError,
        "control flow depends on the values",
    ),
    "an operator": (
        lambda self, x: self.t.linalg.eigvalsh(x[:, :, None] * x[:, None, :]),
        StepError,
        "no ONNX operators for aten",
    ),
    "random answers": (
        lambda self, x: self.t.nn.functional.dropout(x, 0.5, True),
        ModelError,
        "change from one call to the next",
    ),
    "the mean of the batch": (
        lambda self, x: x - x.mean(0),
        ModelError,
        "depends on the other rows of its batch",
    ),
    "the number of rows": (
        lambda self, x: x * 2 if x.shape[0] > 5 else x,
        ModelError,
        "depends on the other rows of its batch",
    ),
    "a fixed batch": (lambda self, x: x.reshape(40, 3), ModelError, "must be free"),
    "a scalar": (lambda self, x: x.sum(), ModelError, "one entry for each of the 40 rows"),
    "a list in a list": (lambda self, x: [x, [x]], ModelError, "got list in output"),
    "nothing": (lambda self, x: None, ModelError, "got NoneType in output 'prediction'"),
    "no outputs": (lambda self, x: {}, ModelError, "returns nothing"),
    "a number": (lambda self, x: {"loss": 1.0, "y": x}, ModelError, "got float in output 'loss'"),
    "complex numbers": (lambda self, x: x.to(self.t.complex64), ModelError, "complex64"),
    "a sparse output": (lambda self, x: x.to_sparse(), ModelError, "sparse_coo"),
    "an error": (lambda self, x: x @ x, ModelError, "fails on the example: RuntimeError"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_module_that_no_file_can_stand_for_is_refused(
    modules: Any, name: str, tmp_path: Path
) -> None:
    import torch

    function, kind, text = FUNCTIONS[name]
    module = modules.Function(function)
    module.t = torch
    error = refused(modules.rows(), module.eval(), tmp_path)
    assert isinstance(error, kind)
    assert text in str(error)


def test_a_training_module_is_refused_with_its_part(modules: Any, tmp_path: Path) -> None:
    module = modules.Journeys().eval()
    module.layers[3].train()
    error = refused(modules.rows(), module, tmp_path)
    assert isinstance(error, ModelError)
    assert "'layers.3' (Dropout) in training mode" in str(error)
    assert "call module.eval()" in str(error)
    assert module.layers[3].training


def test_parameters_that_no_file_can_hold_are_refused(modules: Any, tmp_path: Path) -> None:
    import torch

    sparse = modules.linear()
    sparse.register_buffer("mask", torch.eye(3).to_sparse())
    quantized = modules.linear()
    quantized.register_buffer("q", torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8))
    for module, text in (
        (torch.nn.LazyLinear(2).eval(), "'weight' has no shape yet; call the module once"),
        (modules.linear().to("meta"), "expected device cpu, got meta; call module.cpu()"),
        (modules.linear().half(), "expected float32 or float64, got float16; call module.float()"),
        (modules.linear().bfloat16(), "got bfloat16"),
        (sparse, "parameter 'mask' is sparse (sparse_coo); make it dense"),
        (quantized, "parameter 'q' is quantized"),
        (modules.Counting().eval(), "changes its own parameters or buffers"),
        (torch.jit.script(modules.linear()), "TorchScript"),
        (torch.nn.DataParallel(modules.linear()).eval(), "export model.module"),
        (torch.compile(modules.linear()), "export model._orig_mod"),
        (torch.ones(3), "expected a torch.nn.Module, got Tensor"),
    ):
        error = refused(modules.rows(), module, tmp_path)
        assert isinstance(error, ModelError)
        assert text in str(error)


def test_an_example_that_describes_no_rows_is_refused(modules: Any, tmp_path: Path) -> None:
    import torch

    x = modules.rows()
    for example, text in (
        (None, "expected an example for a PyTorch module"),
        ("rows", "got str"),
        ([[1.0, 2.0, 3.0]], "got list"),
        ((), "at least one input"),
        (x[:0], "at least one row"),
        (x[:, :0], "rows of 1 to 65536 numbers, got 0"),
        (torch.zeros(2, 256, 257), "got 65792; torch.onnx.export writes a file"),
        (torch.tensor(1.0), "expected rows, got a single number"),
        (x.clone().requires_grad_(), "pass example.detach()"),
        (x.to_sparse(), "pass example.to_dense()"),
        (x.to("meta"), "one on meta; pass example.cpu()"),
        (torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), "pass example.dequantize()"),
        (x.half(), "got float16"),
        (np.array([["a", "b", "c"]]), "expected numbers or booleans, got <U1"),
        (pd.DataFrame({"a": ["x"], "b": [1.0], "c": [1.0]}), "column 'a': expected numbers"),
        (pd.DataFrame([[1.0, 2.0, 3.0]], columns=["a", "a", "b"]), "column 'a': expected one"),
        ({"y": x}, "expected arguments of forward (input), got 'y'"),
        ((x, x[:3]), "inputs with the same number of rows"),
    ):
        error = refused(example, modules.linear(), tmp_path)
        assert isinstance(error, DataError), error
        assert text in str(error)
    error = refused(x.double(), modules.linear(), tmp_path)
    assert isinstance(error, ModelError)
    assert "fails on the example: RuntimeError" in str(error)


def test_options_that_a_module_does_not_have_are_refused(modules: Any, tmp_path: Path) -> None:
    for options, text in (
        ({"precision": "float32"}, "precision: expected 'original' for a PyTorch module"),
        ({"dtype": "float32"}, "dtype: expected None for a PyTorch module"),
        ({"golden": "some"}, "golden: expected"),
        ({"feature_names": ["a"]}, "expected 3 feature names, got 1"),
        ({"classes": ["a", "a"]}, "different labels"),
        ({"classes": ["a", 1]}, "all strings, integers or booleans"),
        ({"classes": ["a", "b", "c"]}, "[N, 3], a score for each class, got [N, 2]"),
    ):
        error = refused(modules.rows(), modules.linear(), tmp_path, **options)
        assert isinstance(error, DataError)
        assert text in str(error)


@pytest.mark.parametrize("engine", ["native", "onnxruntime"])
def test_an_index_that_follows_from_two_features_never_reads_another_row(
    modules: Any, engine: str, tmp_path: Path
) -> None:
    """ONNX reads the last rows of a table for a negative index, which the module refuses."""
    import torch

    generator = torch.Generator().manual_seed(0)
    a, b = torch.randint(5, 9, (30,), generator=generator), torch.randint(2, 5, (30,))
    module = modules.Difference().eval()
    sidecall.export(module, tmp_path / "m.onnx", (a, b), progress=False)
    with sidecall.open(tmp_path / "m.onnx", engine=engine) as model:
        model.run({"a": a[:, None].numpy(), "b": b[:, None].numpy()})
        for first, second in ((5, 6), (5, 14), (5, -9)):
            with pytest.raises(IndexError):
                module(torch.tensor([first]), torch.tensor([second]))
            with pytest.raises(sidecall.Error):
                model.predict({"a": first, "b": second})


def test_onnxscript_is_asked_for(
    modules: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'sidecall\[torch\]'"):
        sidecall.export(modules.linear(), tmp_path / "m.onnx", modules.rows())


def test_a_module_inside_a_pipeline_is_refused(modules: Any, tmp_path: Path) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    x = modules.rows().numpy()
    pipeline = make_pipeline(StandardScaler().fit(x), modules.linear())
    assert isinstance(refused(x, pipeline, tmp_path), sidecall.ExportError)
