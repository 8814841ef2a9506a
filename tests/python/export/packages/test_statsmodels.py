"""Fitted models of statsmodels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sidecall
import statsmodels.api as sm
import statsmodels.formula.api as smf
from sidecall.exporting.errors import StepError

RNG = np.random.default_rng(0)
ROWS = sm.add_constant(pd.DataFrame(RNG.normal(size=(300, 3)), columns=["a", "b b", "c"]))
MEAN = ROWS.to_numpy() @ [0.5, 0.4, -0.3, 0.2]
COUNTS = pd.Series(RNG.poisson(np.exp(MEAN)))
IS_LARGE = pd.Series((MEAN + RNG.normal(size=300) > 0.5).astype(float))
POSITIVE = pd.Series(RNG.gamma(2.0, np.exp(MEAN) / 2) + 0.1)
families = sm.families

MODELS: dict[str, Any] = {
    "ols": lambda: sm.OLS(MEAN + RNG.normal(size=300), ROWS),
    "wls": lambda: sm.WLS(MEAN, ROWS, weights=np.arange(1, 301)),
    "rlm": lambda: sm.RLM(MEAN + RNG.standard_t(2, size=300), ROWS),
    "rlm, least squares": lambda: sm.RLM(MEAN, ROWS, M=sm.robust.norms.LeastSquares()),
    "poisson": lambda: sm.GLM(COUNTS, ROWS, families.Poisson()),
    "binomial": lambda: sm.GLM(IS_LARGE, ROWS, families.Binomial()),
    "cloglog": lambda: sm.GLM(IS_LARGE, ROWS, families.Binomial(families.links.CLogLog())),
    "gamma": lambda: sm.GLM(POSITIVE, ROWS, families.Gamma(families.links.Log())),
    "gaussian": lambda: sm.GLM(MEAN, ROWS, families.Gaussian()),
    "inverse": lambda: sm.GLM(POSITIVE + 5, ROWS, families.Gamma(families.links.InversePower())),
    "logit": lambda: sm.Logit(IS_LARGE, ROWS),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.filterwarnings("ignore")
def test_the_file_answers_as_the_model(name: str, tmp_path: Path) -> None:
    options = {"disp": False} if name == "logit" else {}
    model = MODELS[name]().fit(**options)
    sidecall.export(model, tmp_path / "model.onnx", ROWS, progress=False)
    with sidecall.open(tmp_path / "model.onnx") as opened:
        answers = opened.predict(ROWS)["prediction"]
    np.testing.assert_allclose(answers, model.predict(ROWS), rtol=1e-9)


@pytest.mark.filterwarnings("ignore")
def test_a_formula_and_an_unknown_link_are_refused(tmp_path: Path) -> None:
    frame = ROWS.assign(y=MEAN)
    with pytest.raises(StepError, match="fitted with a formula"):
        sidecall.export(smf.ols("y ~ a * c", frame).fit(), tmp_path / "m.onnx", frame)
    with pytest.raises(StepError, match="fitted with a formula"):
        sidecall.export(smf.rlm("y ~ a * c", frame).fit(), tmp_path / "m.onnx", frame)
    probit = sm.GLM(IS_LARGE, ROWS, families.Binomial(families.links.Probit())).fit()
    with pytest.raises(StepError, match="the link Probit is not supported"):
        sidecall.export(probit, tmp_path / "m.onnx", ROWS)
