"""The file refuses exactly the rows that the model refuses, and answers all others."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sidecall
from sidecall.exporting.describe import Description
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    StandardScaler,
)
from xgboost import XGBRegressor

RNG = np.random.default_rng(3)
X = RNG.normal(size=(300, 3)) ** 2 + 0.1
Y = (X[:, 0] > 1).astype(int)
INF = np.inf
LARGEST, SINGLE = float(np.finfo(np.float64).max), float(np.finfo(np.float32).max)
LAST_SINGLE = float(np.nextafter(SINGLE + 2.0**103, 0.0))


class Both:
    """A fitted model and its exported file."""

    def __init__(self, model, folder, data=X, target=Y):
        self.model = model.fit(data, target)
        self.report = sidecall.export(model, folder / "m.onnx", data, progress=False)
        self.file = sidecall.open(folder / "m.onnx")
        self.base = data[:1]

    def with_value(self, *values):
        """The first row with its first values replaced."""
        row = self.base.copy()
        row[0, : len(values)] = values
        return row

    def outcomes(self, *values):
        """The answers of the model and of the file for one row. "refused" stands for a refusal."""
        row = self.with_value(*values)
        try:
            expected = self.model.predict(row)[0]
        except ValueError:
            expected = "refused"
        try:
            got = self.file.predict(pd.DataFrame(row, columns=["x0", "x1", "x2"]))
        except (sidecall.errors.OutOfRange, sidecall.errors.Refused):
            return expected, "refused"
        return expected, got.iloc[0, 0]

    def assert_alike(self, *values):
        expected, got = self.outcomes(*values)
        assert (expected == "refused") == (got == "refused"), values
        if expected != "refused":
            assert got == pytest.approx(
                expected, rel=1e-5 if self.base.dtype == np.float32 else 1e-8
            )
        return expected


@pytest.fixture
def both(tmp_path):
    return lambda *arguments: Both(*arguments[:1], tmp_path, *arguments[1:])


def domain(found, feature=0):
    return found.report.contract["features"][feature].get("domain")


def steps(found):
    return [step["step"] for step in found.report.contract.get("refused", {"steps": []})["steps"]]


def test_a_check_that_intervals_prove_unnecessary_is_left_out(both):
    found = both(make_pipeline(FunctionTransformer(np.log1p), PCA(2), LogisticRegression()))
    assert steps(found) == []
    assert found.assert_alike(LARGEST, LARGEST, LARGEST) != "refused"
    assert (
        found.assert_alike(-1.0) == "refused"
        and found.assert_alike(np.nextafter(-1.0, 0.0)) != "refused"
    )


def test_minus_9999_before_a_power_transformer_and_pca_gets_the_answer_of_the_model(both):
    found = both(make_pipeline(PowerTransformer(), PCA(2), LogisticRegression()))
    assert found.assert_alike(-9999.0) != "refused"
    assert steps(found) == ["logisticregression"]
    assert found.assert_alike(-1e300) == "refused"


@pytest.mark.parametrize("value", [0.0, -3.0, -INF, INF])
def test_box_cox_of_a_number_that_is_not_positive_or_not_finite_is_refused(both, value):
    found = both(make_pipeline(PowerTransformer("box-cox"), LogisticRegression()))
    assert found.assert_alike(value) == "refused"
    assert domain(found)[0][0] == 5e-324 and found.assert_alike(0.5) != "refused"


def test_a_logarithm_of_zero_before_ridge_is_refused(both):
    found = both(make_pipeline(FunctionTransformer(np.log10), Ridge()))
    assert found.assert_alike(0.0) == found.assert_alike(-2.0) == "refused"
    assert found.assert_alike(1e-5) != "refused"
    assert steps(found) == [], "the domain excludes these numbers, so no step checks them"


@pytest.mark.parametrize(
    "model",
    [LogisticRegression(), RandomForestClassifier(5), GradientBoostingClassifier(n_estimators=3)],
)
def test_infinities_are_refused_and_large_numbers_are_answered(both, model):
    found = both(model)
    for value in (
        INF,
        -INF,
        LARGEST,
        LAST_SINGLE,
        np.nextafter(LAST_SINGLE, INF),
        SINGLE,
        -SINGLE,
        0.0,
    ):
        found.assert_alike(value)
    assert found.assert_alike(INF) == "refused" and found.assert_alike(SINGLE) != "refused"
    assert steps(found) == []


def test_infinities_are_passed_to_a_model_that_accepts_them(both):
    found = both(HistGradientBoostingClassifier(max_iter=5))
    assert domain(found) is None
    assert found.assert_alike(INF) != "refused" and found.assert_alike(-INF) != "refused"


def test_a_gap_in_the_domain_is_refused_and_its_neighbours_are_answered(both):
    found = both(make_pipeline(FunctionTransformer(np.reciprocal), Ridge()))
    assert found.assert_alike(0.0) == found.assert_alike(1e-309) == "refused"
    assert len(domain(found)) == 2
    found.assert_alike(domain(found)[0][1])
    found.assert_alike(domain(found)[1][0])


def test_a_gap_at_a_fitted_number_is_found(both):
    found = both(make_pipeline(StandardScaler(), FunctionTransformer(np.reciprocal), Ridge()))
    mean = float(found.model[0].mean_[0])
    assert found.assert_alike(mean) == "refused"
    assert found.assert_alike(float(np.nextafter(mean, INF))) != "refused"


def test_an_overflow_before_a_forest_is_refused_by_the_step(both):
    found = both(make_pipeline(PolynomialFeatures(2), RandomForestRegressor(3)))
    assert steps(found) == ["randomforestregressor"]
    assert found.assert_alike(1e10, 1e10) != "refused"
    _, high = domain(found)[0]
    assert (
        found.assert_alike(high, high, high) == "refused" or found.assert_alike(high) != "refused"
    )
    assert found.assert_alike(2 * high) == "refused"


def test_an_overflow_before_the_members_of_a_calibrated_classifier_is_refused(both):
    model = make_pipeline(PCA(1), CalibratedClassifierCV(LogisticRegression(), cv=2))
    found = both(model, X.astype(np.float32), Y)
    assert len(steps(found)) == 2
    signs = np.sign(model[0].components_[0])
    assert found.assert_alike(*(signs * 0.99 * SINGLE)) == "refused"
    assert found.assert_alike(*(signs * 1e37)) != "refused"


def test_an_overflowing_product_is_refused_although_each_factor_is_accepted(both):
    found = both(make_pipeline(PolynomialFeatures(2, interaction_only=True), LinearRegression()))
    assert steps(found) == ["linearregression"]
    assert found.assert_alike(1e200) != "refused" and found.assert_alike(1.0, 1e200) != "refused"
    assert found.assert_alike(1e200, 1e200) == "refused"
    with pytest.raises(
        sidecall.errors.Refused,
        match="step 'linearregression': expected finite numbers, got others",
    ):
        found.file.predict({"x0": 1e200, "x1": 1e200, "x2": 1.0})


def test_negative_numbers_are_refused_if_the_step_does_not_accept_them(both):
    found = both(make_pipeline(AdditiveChi2Sampler(), LogisticRegression()))
    assert domain(found)[0][0] == 0.0
    assert found.assert_alike(-1e-9) == "refused" and found.assert_alike(0.0) != "refused"


def test_the_domain_of_a_float32_feature_ends_at_float32_numbers(both):
    data = X.astype(np.float32)
    found = both(make_pipeline(FunctionTransformer(np.log1p), Ridge()), data)
    ((low, high),) = domain(found)
    assert high == SINGLE and low > -1 and float(np.float32(low)) == low
    assert (
        found.assert_alike(np.float32(low)) != "refused"
        and found.assert_alike(np.float32(-1.0)) == "refused"
    )


def penguins(rows=200):
    rng = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "island": rng.choice(["Biscoe", "Dream"], rows),
            "bill_length_mm": rng.normal(44, 5, rows).round(1),
            "year": rng.choice([2007, 2008, 2009], rows),
        }
    )
    frame.loc[3, "bill_length_mm"] = np.nan
    return frame, rng.choice(["Adelie", "Gentoo"], rows)


def test_a_float32_column_on_either_side_of_a_float64_column_does_not_bound_it(tmp_path):
    frame = pd.DataFrame(
        {"a": X[:, 0].astype(np.float32), "b": X[:, 1], "c": X[:, 2].astype(np.float32)}
    )
    model = MinMaxScaler().fit(frame)
    sidecall.export(model, tmp_path / "m.onnx", frame, progress=False)
    row = frame[:1].assign(b=1e39)
    got = sidecall.open(tmp_path / "m.onnx").predict(row).to_numpy()
    assert got == pytest.approx(model.transform(row), rel=1e-12)


@pytest.mark.parametrize("takes", [True, False])
def test_a_double_that_rounds_to_infinity_is_answered_only_if_the_model_takes_infinities(
    tmp_path, takes
):
    frame = pd.DataFrame(X.astype(np.float32), columns=["x0", "x1", "x2"])
    forest = XGBRegressor(n_estimators=3, max_depth=2, n_jobs=1)
    model = (forest if takes else make_pipeline(StandardScaler(), LinearRegression())).fit(
        frame, X[:, 0]
    )
    sidecall.export(model, tmp_path / "m.onnx", frame, progress=False)
    with sidecall.open(tmp_path / "m.onnx") as opened:
        for value in (1e39, -1e300, 3.4028235677973366e38):
            row = frame[:1].astype(np.float64).assign(x0=value)
            if not takes:
                with pytest.raises(sidecall.errors.OutOfRange, match="a number beyond its range"):
                    opened.predict(row)
                continue
            with np.errstate(over="ignore"):
                expected = model.predict(row.astype(np.float32))
            assert opened.predict(row)["prediction"].to_numpy() == pytest.approx(expected, rel=1e-5)


def test_infinity_in_the_penguins_is_refused_without_a_check_in_the_graph(tmp_path):
    frame, target = penguins()
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    words = make_pipeline(
        SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
    )
    model = make_pipeline(
        make_column_transformer((numbers, ["bill_length_mm", "year"]), (words, ["island"])),
        LogisticRegression(),
    )
    report = sidecall.export(model.fit(frame, target), tmp_path / "m.onnx", frame, progress=False)
    assert "refused" not in report.contract
    record = {"island": "Dream", "bill_length_mm": INF, "year": 2007}
    with pytest.raises(ValueError, match="infinity"):
        model.predict(pd.DataFrame([record]))
    with sidecall.open(tmp_path / "m.onnx") as file:
        with pytest.raises(sidecall.errors.OutOfRange, match="bill_length_mm"):
            file.predict(record)
        assert file.predict(record | {"bill_length_mm": 1e300}) is not None


def test_faults_of_a_batch_name_only_refused_rows(both):
    found = both(make_pipeline(PolynomialFeatures(2, interaction_only=True), LinearRegression()))
    rows = [
        {"x0": a, "x1": b, "x2": 1.0}
        for a, b in ((1.0, 1.0), (1e200, 1e200), (INF, 1.0), (1e200, 1.0))
    ]
    with pytest.raises(sidecall.errors.Error) as caught:
        found.file.predict(rows)
    assert {fault.row for fault in caught.value.faults} <= {1, 2} and caught.value.faults


def test_probabilities_of_a_forest_are_marked_as_finite(both):
    found = both(RandomForestClassifier(5))
    outputs = {output["name"]: output for output in found.report.contract["outputs"]}
    assert outputs["probabilities"]["finite"] is True and "finite" not in outputs["label"]


def test_an_output_that_overflows_is_not_marked_as_finite(both):
    found = both(make_pipeline(StandardScaler(), FunctionTransformer(np.exp)), X, None)
    assert "finite" not in found.report.contract["outputs"][0]


class NoEmptyText:
    """Counts the characters of each text, and refuses the empty text."""

    def fit(self, texts, target=None):
        self.is_fitted_ = True
        return self

    def predict(self, texts):
        if any(text == "" for text in texts):
            raise ValueError("no letters")
        return np.array([float(len(text)) for text in texts])


def test_the_contract_says_that_the_empty_string_is_refused():
    described = Description(
        NoEmptyText().fit(["a"]), ["a", "bb", "ccc"], None, None, True, "synthetic"
    )
    assert described.schema.features[0].as_json()["empty"] is False


def test_the_contract_does_not_mention_an_accepted_empty_string(tmp_path):
    class Lenient(NoEmptyText):
        def predict(self, texts):
            return np.array([float(len(text)) for text in texts])

    described = Description(Lenient().fit(["a"]), ["a", "bb", "ccc"], None, None, True, "synthetic")
    assert "empty" not in described.schema.features[0].as_json()


def test_the_report_names_domains_and_steps(both):
    found = both(make_pipeline(PowerTransformer(), PCA(2), LogisticRegression()))
    text = str(found.report)
    assert (
        "'x0' outside of -" in text
        and "logisticregression receives values other than finite numbers" in text
    )
    assert "refused" in found.report._repr_html_()


def test_the_report_of_a_model_without_refusals_names_none(both):
    assert "refused" not in str(both(LinearRegression()).report)


def test_compare_counts_the_rows_that_both_models_refuse(both):
    found = both(make_pipeline(PolynomialFeatures(2, interaction_only=True), LinearRegression()))
    rows = np.concatenate([X[:20], found.with_value(1e200, 1e200), found.with_value(INF)])
    comparison = sidecall.compare(found.model, found.file, rows, progress=False)
    assert (
        comparison.refused_by_both,
        comparison.refused_by_original,
        comparison.refused_by_model,
    ) == (2, 0, 0)
    assert comparison.moved == 0
