"""Cases in which users reported silently wrong answers: the file must answer like the original."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import sidecall
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestCentroid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PolynomialFeatures
from sklearn.tree import DecisionTreeRegressor

from parity.drawing.tables import SPECS

NUMBERS = ["carat", "depth", "table", "x", "y", "z"]


@pytest.fixture(scope="module")
def diamonds() -> pd.DataFrame:
    """All of pydataset's diamonds, shuffled: 15 000 rows for training, then 38 940 new ones."""
    return SPECS[0].read().sample(frac=1, random_state=0).reset_index(drop=True)


@pytest.fixture(scope="module")
def boosting(diamonds: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    training = diamonds[:15_000]
    model = HistGradientBoostingRegressor(random_state=0).fit(training[NUMBERS], training["price"])
    path = tmp_path_factory.mktemp("boosting") / "diamonds.onnx"
    sidecall.export(model, path, training[NUMBERS], progress=False)
    return model, path


def wrong(model: Any, path: Path, rows: pd.DataFrame, asked: pd.DataFrame | None = None) -> int:
    """Counts rows that differ by more than 1e-8 x (1 + |expected|).

    The original gets `asked` if this is given, and otherwise `rows`.
    """
    expected = model.predict(rows if asked is None else asked)
    with sidecall.open(path) as opened:
        got = opened.predict(rows)["prediction"].to_numpy()
    return int((np.abs(got - expected) > 1e-8 * (1 + np.abs(expected))).sum())


def test_rows_that_were_converted_to_another_unit_and_back_get_the_answers_of_the_original(
    boosting: tuple[Any, Path], diamonds: pd.DataFrame
) -> None:
    assert wrong(*boosting, diamonds[15_000:][NUMBERS] / 25.4 * 25.4) == 0


def test_the_mean_of_two_measurements_gets_the_answer_of_the_original(
    boosting: tuple[Any, Path], diamonds: pd.DataFrame
) -> None:
    rows = diamonds[15_000:][NUMBERS].reset_index(drop=True)
    assert wrong(*boosting, (rows + rows[::-1].reset_index(drop=True)) / 2) == 0


def test_a_float32_frame_is_answered_like_the_same_numbers_in_float64(
    boosting: tuple[Any, Path], diamonds: pd.DataFrame
) -> None:
    narrow = diamonds[15_000:][NUMBERS].astype(np.float32)
    assert wrong(*boosting, narrow, narrow.astype(np.float64)) == 0


def test_a_number_with_three_decimals_is_not_rounded_to_the_two_of_training(tmp_path: Path) -> None:
    x = pd.DataFrame({"size": np.round(np.linspace(0, 20, 2001), 2)})
    model = DecisionTreeRegressor(random_state=0).fit(x, np.sin(9 * x["size"]) * 100)
    sidecall.export(model, tmp_path / "size.onnx", x, progress=False)
    middle = (x["size"].to_numpy()[:-1] + x["size"].to_numpy()[1:]) / 2
    halves = pd.DataFrame({"size": np.concatenate([[7.315], np.round(middle, 3), middle])})
    assert wrong(model, tmp_path / "size.onnx", halves) == 0


def test_products_before_boosting_keep_all_their_digits(
    diamonds: pd.DataFrame, tmp_path: Path
) -> None:
    training = diamonds[:15_000]
    model = make_pipeline(
        PolynomialFeatures(2), GradientBoostingRegressor(n_estimators=30, random_state=0)
    )
    model.fit(training[NUMBERS][:4000], training["price"][:4000])
    sidecall.export(model, tmp_path / "products.onnx", training[NUMBERS][:4000], progress=False)
    assert wrong(model, tmp_path / "products.onnx", diamonds[NUMBERS]) == 0
    assert wrong(model, tmp_path / "products.onnx", diamonds[NUMBERS] / 25.4 * 25.4) == 0


def test_answers_do_not_depend_on_the_number_of_rows_at_export(
    diamonds: pd.DataFrame, tmp_path: Path
) -> None:
    training = diamonds[:15_000]
    model = make_pipeline(
        MinMaxScaler(), lightgbm.LGBMRegressor(n_estimators=40, verbose=-1, n_jobs=1)
    )
    model.fit(training[NUMBERS], training["price"])
    rows = diamonds[15_000:][NUMBERS] / 25.4 * 25.4
    answers = []
    for count in (2000, 15_000):
        path = tmp_path / f"{count}.onnx"
        sidecall.export(model, path, training[NUMBERS][:count], progress=False)
        assert wrong(model, path, rows) == 0
        with sidecall.open(path) as opened:
            answers.append(opened.predict(rows)["prediction"].to_numpy())
    np.testing.assert_array_equal(*answers)


def test_a_float32_matches_a_category_only_with_its_exact_value(tmp_path: Path) -> None:
    tenths = np.round(np.arange(0, 8, 0.1), 1)
    x = pd.DataFrame({"grade": np.tile(tenths, 5)})
    model = make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge())
    model.fit(x, np.tile(np.arange(len(tenths)) % 7 * 10.0, 5))
    sidecall.export(model, tmp_path / "grade.onnx", x, progress=False)
    narrow = pd.DataFrame({"grade": tenths.astype(np.float32)})
    widened = narrow.astype(np.float64)
    unknown = ~np.isin(widened["grade"], tenths)
    assert unknown.sum() > 50
    assert wrong(model, tmp_path / "grade.onnx", narrow, widened) == 0
    with sidecall.open(tmp_path / "grade.onnx") as opened:
        answers = opened.predict(narrow)["prediction"].to_numpy()
    assert len(np.unique(answers[unknown])) == 1


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-8), (np.float32, 1e-5)])
def test_centroids_of_products_of_numbers_near_a_million_get_the_probabilities_of_the_original(
    dtype: Any, tolerance: float, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)

    def rows(count: int) -> np.ndarray:
        return np.round(rng.normal(1e6, 300, (count, 2))).astype(dtype)

    x = rows(300)
    y = (x.sum(axis=1) + rng.normal(0, 600, 300) > 2e6).astype(int)
    model = make_pipeline(PolynomialFeatures(2), NearestCentroid()).fit(x, y)
    sidecall.export(model, tmp_path / "centroids.onnx", x, progress=False)
    asked = rows(2000)
    with sidecall.open(tmp_path / "centroids.onnx") as opened:
        names = [f"probabilities.{k}" for k in (0, 1)]
        got = opened.predict(pd.DataFrame(asked, columns=["x0", "x1"]))[names].to_numpy()
    np.testing.assert_allclose(got, model.predict_proba(asked), rtol=tolerance, atol=tolerance)


CENTS = (16_777_217, 20_000_001, -20_000_001, 2**53 + 1, 2**63 - 1, -(2**63))


@pytest.mark.parametrize("has_text", [False, True], ids=["numbers", "with text"])
def test_integers_beyond_float32_are_answered_for_every_kind_of_input(
    has_text: bool, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"cents": rng.integers(0, 30_000_000, 400), "rate": rng.uniform(0, 1, 400)}
    )
    target = frame["cents"] / 7.0 + frame["rate"]
    encoder: Any = "passthrough"
    if has_text:
        frame["kind"] = rng.choice(["a", "b"], 400)
        encoder = make_column_transformer((OneHotEncoder(), ["kind"]), remainder="passthrough")
    model = make_pipeline(encoder, DecisionTreeRegressor(random_state=0)).fit(frame, target)
    sidecall.export(model, tmp_path / "cents.onnx", frame, progress=False)
    rows = frame[: len(CENTS)].assign(cents=list(CENTS))
    expected = model.predict(rows)
    records = rows.to_dict("records")
    with sidecall.open(tmp_path / "cents.onnx") as opened:
        np.testing.assert_array_equal(opened.predict(rows)["prediction"], expected)
        assert [row["prediction"] for row in opened.predict(records)] == expected.tolist()
        assert [opened.predict(record)["prediction"] for record in records] == expected.tolist()
        if not has_text:
            tensor = {"X": rows.to_numpy(dtype=np.float64)}
            np.testing.assert_array_equal(opened.run(tensor)["prediction"].ravel(), expected)
