"""`layout="triton"` and `export_layout`: what they write, as protobuf's own parser reads it.

tests/net/test_foreign_servers.py serves such a folder with Triton.
"""

from __future__ import annotations

from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import pytest
import sidecall
from contract_reader import File, check_contract
from google.protobuf import text_format
from onnx import TensorProto, helper
from sidecall.exporting import DataError, FileError, ModelError, triton
from sklearn.linear_model import LinearRegression
from test_command import run


def load_model_config() -> Any:
    """The messages of Triton's configurations, without the package around them: its other messages
    have the names of those of tests/net/peer.py, which a process may have too.
    """
    package = find_spec("tritonclient")
    assert package is not None and package.submodule_search_locations is not None
    folder = Path(package.submodule_search_locations[0]) / "grpc"
    spec = spec_from_file_location("model_config_pb2", folder / "model_config_pb2.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


model_config_pb2 = load_model_config()
MODELS = Path(__file__).parents[2] / "vectors/models"
ID = "ab" * 32


def parsed(text: str) -> Any:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def graph_of(*inputs: Any) -> Any:
    return helper.make_graph([], "g", list(inputs), [])


def config_of(*inputs: Any) -> Any:
    return parsed(triton.config("m", graph_of(*inputs), ID))


def tensor(name: str, kind: int = TensorProto.FLOAT, shape: Any = ("N", 1)) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def described(specs: Any) -> list[tuple[str, str, list[int]]]:
    names = model_config_pb2.DataType.Name
    return [(spec.name, names(spec.data_type), list(spec.dims)) for spec in specs]


def line() -> tuple[LinearRegression, np.ndarray[Any, Any]]:
    data = np.random.default_rng(0).normal(size=(60, 2))
    return LinearRegression().fit(data, data[:, 0] + 1), data


def content_of(path: Path) -> dict[str, bytes]:
    return {
        each.relative_to(path).as_posix(): each.read_bytes()
        for each in path.rglob("*")
        if each.is_file()
    }


def test_every_field_of_the_configuration(tmp_path: Path) -> None:
    written = sidecall.export_layout(MODELS / "penguins.onnx", tmp_path / "p", "triton")
    assert written == tmp_path / "p/1/model.onnx"
    assert set(content_of(tmp_path / "p")) == {"config.pbtxt", "1/model.onnx"}
    assert written.read_bytes() == (MODELS / "penguins.onnx").read_bytes()
    config = parsed((tmp_path / "p/config.pbtxt").read_text("ascii"))
    assert {field.name for field, _ in config.ListFields()} == {
        *("name", "backend", "version_policy", "input", "output", "instance_group", "parameters"),
    }
    assert (config.name, config.backend) == ("p", "onnxruntime")
    assert config.max_batch_size == 0
    assert config.version_policy.WhichOneof("policy_choice") == "latest"
    assert config.version_policy.latest.num_versions == 1
    groups = [(group.kind, group.count) for group in config.instance_group]
    assert groups == [(model_config_pb2.ModelInstanceGroup.KIND_CPU, 0)]
    assert described(config.input) == [
        ("island", "TYPE_STRING", [-1, 1]),
        ("sex", "TYPE_STRING", [-1, 1]),
        ("bill_length_mm", "TYPE_FP32", [-1, 1]),
        ("bill_depth_mm", "TYPE_FP32", [-1, 1]),
        ("flipper_length_mm", "TYPE_FP32", [-1, 1]),
        ("body_mass_g", "TYPE_FP32", [-1, 1]),
        ("year", "TYPE_FP32", [-1, 1]),
    ]
    assert described(config.output) == [
        ("label", "TYPE_STRING", [-1]),
        ("probabilities", "TYPE_FP32", [-1, 3]),
    ]
    with sidecall.open(written) as model:
        model_id = model.id
    assert {key: value.string_value for key, value in config.parameters.items()} == {
        "sidecall.model_id": model_id,
        "intra_op_thread_count": "1",
        "inter_op_thread_count": "1",
    }


def test_the_output_that_tells_refusals_is_listed(tmp_path: Path) -> None:
    sidecall.export_layout(MODELS / "steps.onnx", tmp_path / "steps", "triton")
    config = parsed((tmp_path / "steps/config.pbtxt").read_text())
    assert described(config.output) == [
        ("prediction", "TYPE_FP32", [-1, 1]),
        ("refused", "TYPE_INT64", [-1, 1]),
    ]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (TensorProto.BOOL, "TYPE_BOOL"),
        (TensorProto.UINT8, "TYPE_UINT8"),
        (TensorProto.UINT16, "TYPE_UINT16"),
        (TensorProto.UINT32, "TYPE_UINT32"),
        (TensorProto.UINT64, "TYPE_UINT64"),
        (TensorProto.INT8, "TYPE_INT8"),
        (TensorProto.INT16, "TYPE_INT16"),
        (TensorProto.INT32, "TYPE_INT32"),
        (TensorProto.INT64, "TYPE_INT64"),
        (TensorProto.FLOAT16, "TYPE_FP16"),
        (TensorProto.FLOAT, "TYPE_FP32"),
        (TensorProto.DOUBLE, "TYPE_FP64"),
        (TensorProto.STRING, "TYPE_STRING"),
        (TensorProto.BFLOAT16, "TYPE_BF16"),
    ],
)
def test_every_type_of_triton_has_its_name(kind: int, name: str) -> None:
    assert described(config_of(tensor("x", kind)).input) == [("x", name, [-1, 1])]


def test_names_keep_every_character() -> None:
    odd = onnx.load(MODELS / "odd_names.onnx").graph
    names = [each.name for each in odd.input] + [
        'quote " backslash \\ both \\"',
        "new\nline\ttab\r\0nul\x7f\x1b",
        "Größe 体重 😀 \u2028",
        "\\n \\101 {}",
        "# no comment",
        "'",
    ]
    config = config_of(*map(tensor, names))
    assert [spec.name for spec in config.input] == names


def test_fixed_and_free_dimensions() -> None:
    specs = [tensor("a", shape=[4, "N", None]), tensor("b", shape=[None]), tensor("c", shape=[1])]
    assert [dims for *_, dims in described(config_of(*specs).input)] == [[4, -1, -1], [-1], [1]]


def test_initializers_are_no_inputs() -> None:
    graph = graph_of(tensor("x"), tensor("weight"))
    graph.initializer.append(helper.make_tensor("weight", TensorProto.FLOAT, [1], [1.0]))
    assert [spec.name for spec in parsed(triton.config("m", graph, ID)).input] == ["x"]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (tensor("x", TensorProto.INT4), "a type that Triton has a name for, got int4"),
        (tensor("x", TensorProto.COMPLEX64), "has a name for, got complex64"),
        (tensor("x", shape=None), "a known number of dimensions, got an unknown one"),
        (tensor("x", shape=[]), "at least one dimension, and none of size 0"),
        (tensor("x", shape=["N", 0]), "at least one dimension, and none of size 0"),
        (
            helper.make_tensor_sequence_value_info("x", TensorProto.FLOAT, ["N"]),
            "a type that Triton has a name for, got sequence",
        ),
    ],
)
def test_what_triton_cannot_describe_is_refused(spec: Any, message: str) -> None:
    with pytest.raises(FileError, match=f"input 'x': expected .*{message}"):
        triton.config("m", graph_of(spec), ID)


def test_export_writes_the_layout_and_a_report_of_the_file(tmp_path: Path) -> None:
    model, data = line()
    report = sidecall.export(model, tmp_path / "models/line.v2", data, layout="triton")
    assert report.path == tmp_path / "models/line.v2/1/model.onnx"
    file = File(report.path)
    check_contract(file)
    assert file.contract["model"]["name"] == "line.v2"
    config = parsed((tmp_path / "models/line.v2/config.pbtxt").read_text())
    assert config.name == "line.v2"
    assert config.parameters["sidecall.model_id"].string_value == report.id
    # Nothing else is left in the repository, and any user may read the model, as any other file.
    assert [each.name for each in (tmp_path / "models").iterdir()] == ["line.v2"]
    assert (tmp_path / "models/line.v2").stat().st_mode & 0o777 == (
        tmp_path / "models"
    ).stat().st_mode & 0o777


def test_an_unchanged_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    sidecall.export_layout(MODELS / "penguins.onnx", tmp_path / "m", "triton")
    sidecall.export_layout(MODELS / "gbm.onnx", tmp_path / "m", "triton")
    assert content_of(tmp_path / "m")["1/model.onnx"] == (MODELS / "gbm.onnx").read_bytes()
    with sidecall.open(MODELS / "gbm.onnx") as model:
        assert model.id in (tmp_path / "m/config.pbtxt").read_text()


@pytest.mark.parametrize("change", ["config", "version", "other", "file", "model"])
def test_other_content_is_never_overwritten(tmp_path: Path, change: str) -> None:
    target = tmp_path / "m"
    sidecall.export_layout(MODELS / "penguins.onnx", target, "triton")
    if change == "config":
        with (target / "config.pbtxt").open("a") as config:
            config.write("dynamic_batching {}\n")
    elif change == "version":
        (target / "2").mkdir()
    elif change == "other":
        (target / "labels.txt").write_text("a\n")
    elif change == "model":
        (target / "1/model.onnx").write_bytes(b"\xff\xff")
    else:
        target = target / "config.pbtxt"
    before = content_of(tmp_path)
    with pytest.raises(FileError, match="path: expected a"):
        sidecall.export_layout(MODELS / "gbm.onnx", target, "triton")
    model, data = line()
    with pytest.raises(FileError, match="path: expected a"):
        sidecall.export(model, target, data, layout="triton")
    assert content_of(tmp_path) == before


@pytest.mark.parametrize("name", ["a b", "größe", ".hidden", "a%2Fb", "-", "..", "a\n", "a:b"])
def test_a_name_that_triton_does_not_take_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileError, match="path: expected FOLDER/NAME"):
        sidecall.export_layout(MODELS / "gbm.onnx", f"{tmp_path}/{name}", "triton")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_layout_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    for call in (
        lambda: sidecall.export_layout(MODELS / "gbm.onnx", tmp_path / "m", "kserve"),
        lambda: sidecall.export(object(), tmp_path / "m", layout="kserve"),
    ):
        with pytest.raises(DataError, match=r"^layout: expected 'triton', got 'kserve'$"):
            call()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("add.onnx", "one without a contract"),
        ("broken/cut_half.onnx", "cut_half.onnx"),
        ("verification/last_row.onnx", "golden row"),
    ],
)
def test_a_file_that_is_not_exported_is_refused(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        sidecall.export_layout(MODELS / name, tmp_path / "m", "triton")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_read_or_written_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot read .*: No such file"):
        sidecall.export_layout(tmp_path / "none.onnx", tmp_path / "m", "triton")
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match=r"cannot (read|write) .*: Not a directory"):
        sidecall.export_layout(MODELS / "gbm.onnx", tmp_path / "file/m", "triton")


def test_the_command_writes_the_layout_of_a_pipeline_and_of_a_file(tmp_path: Path) -> None:
    model, data = line()
    joblib.dump(model, tmp_path / "line.joblib")
    np.save(tmp_path / "line.npy", data)
    words = ["line.joblib", "--trust-pickle", "--data", "line.npy", "-o", "models/first"]
    done = run(tmp_path, "export", *words, "--layout", "triton")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("first (regression) -> models/first/1/model.onnx")
    file = "models/first/1/model.onnx"
    done = run(tmp_path, "export", file, "-o", "models/second", "--layout", "triton")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{file} -> models/second/1/model.onnx\n"
    first, second = content_of(tmp_path / "models/first"), content_of(tmp_path / "models/second")
    assert first["1/model.onnx"] == second["1/model.onnx"]
    assert parsed(second["config.pbtxt"].decode()).name == "second"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--layout", "kserve"], 1, "invalid choice: 'kserve'"),
        (["--layout", "triton", "--name", "n"], 1, "--name: {file} is exported already"),
        (["--layout", "triton", "--no-ranges"], 1, "--no-ranges: {file} is exported already"),
        ([], 2, "expected a fitted model as .joblib, .pkl or .pickle, got '.onnx'"),
    ],
)
def test_the_command_refuses_wrong_options(
    tmp_path: Path, words: list[str], code: int, message: str
) -> None:
    file = str(MODELS / "gbm.onnx")
    done = run(tmp_path, "export", file, "-o", "m", *words)
    assert done.returncode == code
    assert message.format(file=file) in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_which_file_is_not_there(tmp_path: Path) -> None:
    done = run(tmp_path, "export", "none.onnx", "-o", "m", "--layout", "triton")
    assert (done.returncode, done.stderr) == (2, "sidecall export: none.onnx: no such file\n")
