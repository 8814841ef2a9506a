"""Models without predict and transform: KernelDensity answers `scores`, NearestNeighbors
`distances` and `indices`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sidecall
from contract_reader import File, check_contract
from scipy.special import logsumexp
from sidecall.exporting import ModelError, StepError
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity, LocalOutlierFactor, NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

RNG = np.random.default_rng(8)
FITTED, FRESH = RNG.normal(size=(300, 3)), RNG.normal(size=(200, 3)) * 2
NAMES = ["x0", "x1", "x2"]


def export(path, model):
    report = sidecall.export(model, path, FRESH)
    check_contract(File(path))
    return [
        (output["name"], output["role"], output["type"], output.get("width"))
        for output in report.contract["outputs"]
    ]


@pytest.mark.parametrize("kernel", ["gaussian", "exponential"])
@pytest.mark.parametrize("metric", ["euclidean", "manhattan"])
@pytest.mark.parametrize("weights", [None, RNG.random(300)], ids=["alike", "weighted"])
def test_kernel_density_answers_scores(tmp_path, kernel, metric, weights):
    model = KernelDensity(kernel=kernel, bandwidth=2.0, metric=metric).fit(
        FITTED, sample_weight=weights
    )
    outputs = export(tmp_path / "m.onnx", model)
    assert [output[:2] + output[3:] for output in outputs] == [("scores", "scores", None)]
    with sidecall.open(tmp_path / "m.onnx") as opened:
        answers = opened.predict(pd.DataFrame(FRESH, columns=NAMES))["scores"]
    np.testing.assert_allclose(answers, model.score_samples(FRESH), rtol=1e-8)


def test_far_from_all_fitted_rows_the_density_is_exact_and_the_report_says_so(tmp_path):
    """Far from all fitted rows, the answer of scikit-learn is only the rounding error of a sum."""
    model = KernelDensity().fit(FITTED)
    report = sidecall.export(model, tmp_path / "m.onnx", FRESH)
    assert "more than six bandwidths away" in str(report)
    far = np.full(3, 50.0)
    with sidecall.open(tmp_path / "m.onnx") as opened:
        answer = opened.predict(dict(zip(NAMES, far.tolist(), strict=True)))["scores"]
    logs = -0.5 * ((FITTED - far) ** 2).sum(axis=1)
    assert answer == pytest.approx(
        logsumexp(logs) - np.log(len(FITTED)) - 1.5 * np.log(2 * np.pi), rel=1e-8
    )


@pytest.mark.parametrize("holder", ["pipeline", "search"])
def test_a_density_inside_another_estimator_is_exported(tmp_path, holder):
    search = GridSearchCV(KernelDensity(), {"bandwidth": [0.3, 1.0]}, cv=3)
    model = (
        make_pipeline(StandardScaler(), KernelDensity()) if holder == "pipeline" else search
    ).fit(FITTED)
    export(tmp_path / "m.onnx", model)
    assert sidecall.compare(model, tmp_path / "m.onnx", FRESH, progress=False).moved == 0


@pytest.mark.parametrize("algorithm", ["brute", "kd_tree"])
@pytest.mark.parametrize("count", [1, 4])
def test_nearest_neighbors_answers_distances_and_indices(tmp_path, algorithm, count):
    model = NearestNeighbors(n_neighbors=count, algorithm=algorithm).fit(FITTED)
    width = count if count > 1 else None
    outputs = export(tmp_path / "m.onnx", model)
    assert [(name, role, found) for name, role, _, found in outputs] == [
        ("distances", "scores", width),
        ("indices", "prediction", width),
    ]
    assert outputs[1][2] == "int64"
    distances, indices = model.kneighbors(FRESH)
    with sidecall.open(tmp_path / "m.onnx") as opened:
        assert opened.engine.startswith("native")
        answers = opened.predict([dict(zip(NAMES, row, strict=True)) for row in FRESH.tolist()])
    np.testing.assert_array_equal([np.atleast_1d(answer["indices"]) for answer in answers], indices)
    np.testing.assert_allclose(
        [np.atleast_1d(answer["distances"]) for answer in answers], distances, rtol=1e-8
    )
    assert sidecall.compare(model, tmp_path / "m.onnx", FRESH, progress=False).moved == 0


@pytest.mark.parametrize(
    "model", [KernelDensity(), NearestNeighbors(n_neighbors=3)], ids=["density", "neighbours"]
)
def test_served_models_give_the_answers_of_the_original(tmp_path, model):
    model.fit(FITTED)
    at = f"shm:{tmp_path}/m.sock"
    with sidecall.serve(model, at, data=FRESH, block=False, log=None), sidecall.open(at) as opened:
        answer = opened.predict(dict(zip(NAMES, FRESH[0].tolist(), strict=True)))
    if isinstance(model, KernelDensity):
        assert answer["scores"] == pytest.approx(model.score_samples(FRESH[:1])[0])
    else:
        distances, indices = model.kneighbors(FRESH[:1])
        assert answer == {"distances": pytest.approx(distances[0]), "indices": indices[0].tolist()}


@pytest.mark.parametrize(
    "model", [KernelDensity(), NearestNeighbors(n_neighbors=3)], ids=["density", "neighbours"]
)
def test_models_are_served_with_a_contract_instead_of_data(tmp_path, model):
    model.fit(FITTED)
    report = sidecall.export(model, tmp_path / "m.onnx", FRESH)
    contract = report.contract | {
        "model": {"name": "m", "version": "1"},
        "verification": {"source": "none", "rows": 0},
    }
    at = f"shm:{tmp_path}/m.sock"
    with (
        sidecall.serve(model, at, contract=contract, block=False, log=None),
        sidecall.open(at) as opened,
    ):
        assert list(opened.predict(dict(zip(NAMES, FRESH[0].tolist(), strict=True)))) == [
            o["name"] for o in contract["outputs"]
        ]


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (KernelDensity(kernel="tophat"), "the kernels 'gaussian' and 'exponential' are supported"),
        (KernelDensity(rtol=1e-3), "only 0, the default, is supported"),
        (
            KernelDensity(metric="minkowski", metric_params={"p": 3}),
            "metric_params are not supported",
        ),
        (NearestNeighbors(metric="canberra"), "the metric 'canberra' is not supported"),
    ],
    ids=["tophat", "rtol", "metric_params", "metric"],
)
def test_unsupported_options_are_refused(tmp_path, model, reason):
    with pytest.raises(StepError, match=reason):
        sidecall.export(model.fit(FITTED), tmp_path / "m.onnx", FRESH)
    assert not (tmp_path / "m.onnx").exists()


def test_a_model_that_answers_only_for_its_training_rows_is_refused(tmp_path):
    with pytest.raises(ModelError, match="expected a fitted model with predict or transform"):
        sidecall.export(LocalOutlierFactor().fit(FITTED), tmp_path / "m.onnx", FRESH)
