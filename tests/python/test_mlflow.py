"""The MLflow flavour: a file goes into a model store and comes out, and answers as before."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import sidecall
from vector_files import MODELS

pytestmark = pytest.mark.long  # importing MLflow takes some seconds
PENGUINS = MODELS / "penguins.onnx"
# With every feature, because MLflow makes tables of records.
RECORD = {
    "island": "Biscoe",
    "bill_length_mm": 48.2,
    "bill_depth_mm": None,
    "flipper_length_mm": 221.0,
    "body_mass_g": None,
    "sex": None,
    "year": 2008.0,
}


@pytest.fixture
def mlflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """MLflow with a store in a folder of the test."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path}/store")
    import mlflow
    import sidecall.mlflow  # noqa: F401

    return mlflow


def test_a_logged_file_answers_records_and_frames(mlflow):
    info = sidecall.mlflow.log_model(PENGUINS, name="penguins")
    with sidecall.open(PENGUINS) as model:
        expected = model.predict(RECORD)
    loaded = mlflow.pyfunc.load_model(info.model_uri)
    for rows in (pd.DataFrame([RECORD]), [RECORD], RECORD):
        (answer,) = loaded.predict(rows).to_dict("records")
        assert answer["label"] == expected["label"]
        assert answer["probabilities.Gentoo"] == expected["probabilities"]["Gentoo"]
    with sidecall.mlflow.load_model(info.model_uri) as opened:
        assert opened.predict(RECORD) == expected


def test_the_signature_is_that_of_the_contract(mlflow):
    info = sidecall.mlflow.log_model(PENGUINS)
    with sidecall.open(PENGUINS) as model:
        assert info.signature.inputs.input_names() == [f.name for f in model.features]
        assert info.signature.outputs.input_names() == [c.name for c in model.columns]
        assert all(column.required for column in info.signature.inputs.inputs)
        assert info.flavors["sidecall"]["model_id"] == model.id


def test_the_stored_file_is_the_exported_file(mlflow, tmp_path):
    sidecall.mlflow.save_model(PENGUINS, tmp_path / "saved", pip_requirements=["sidecall"])
    stored = tmp_path / "saved/data/penguins.onnx"
    assert stored.read_bytes() == PENGUINS.read_bytes()
    assert "sidecall" in (tmp_path / "saved/requirements.txt").read_text().split()


def test_a_saved_model_needs_this_version_of_sidecall(mlflow, tmp_path):
    sidecall.mlflow.save_model(PENGUINS, tmp_path / "saved")
    text = (tmp_path / "saved/requirements.txt").read_text()
    assert f"=={sidecall.__version__}" in text


def test_integers_that_may_be_missing_pass(mlflow, tmp_path):
    sklearn_tree = pytest.importorskip("sklearn.tree")
    frame = pd.DataFrame({"n": [1, 2, 3, 4] * 20})
    model = sklearn_tree.DecisionTreeRegressor().fit(frame, frame["n"])
    sidecall.export(model, tmp_path / "tree.onnx", frame)
    info = sidecall.mlflow.log_model(tmp_path / "tree.onnx")
    loaded = mlflow.pyfunc.load_model(info.model_uri)
    assert loaded.predict(pd.DataFrame({"n": [3]}))["prediction"].tolist() == [3.0]
    assert len(loaded.predict(pd.DataFrame({"n": [3, None]}))) == 2


def test_a_feature_that_must_not_be_missing_is_an_error(mlflow, tmp_path):
    sidecall.mlflow.save_model(MODELS / "gbm.onnx", tmp_path / "saved")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "saved"))
    with pytest.raises(mlflow.exceptions.MlflowException, match="missing"):
        loaded.predict(pd.DataFrame({"x0": [1.0]}))


def test_files_that_do_not_open_are_not_stored(mlflow, tmp_path):
    (tmp_path / "broken.onnx").write_bytes(PENGUINS.read_bytes()[:-20])
    with pytest.raises(sidecall.Error):
        sidecall.mlflow.log_model(tmp_path / "broken.onnx")
    with pytest.raises(sidecall.errors.FileNotFound):
        sidecall.mlflow.save_model(tmp_path / "absent.onnx", tmp_path / "saved")
    with pytest.raises(sidecall.errors.NoContract, match=r"add\.onnx': expected a contract"):
        sidecall.mlflow.save_model(MODELS / "add.onnx", tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


def test_a_damaged_store_is_noticed_when_the_model_loads(mlflow, tmp_path):
    sidecall.mlflow.save_model(PENGUINS, tmp_path / "saved")
    shutil.copy(MODELS / "add.onnx", tmp_path / "saved/data/penguins.onnx")
    with pytest.raises(sidecall.errors.NoContract):
        mlflow.pyfunc.load_model(str(tmp_path / "saved")).predict([RECORD])


def test_models_of_other_flavours_are_refused(mlflow, tmp_path):
    class Echo(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return model_input

    mlflow.pyfunc.save_model(str(tmp_path / "echo"), python_model=Echo())
    with pytest.raises(mlflow.exceptions.MlflowException, match="sidecall"):
        sidecall.mlflow.load_model(str(tmp_path / "echo"))
