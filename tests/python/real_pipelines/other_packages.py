"""imbalanced-learn, category_encoders and statsmodels, as their documentation shows them."""

from __future__ import annotations

from typing import Any

import category_encoders
import numpy as np
import pandas as pd
import statsmodels.api as sm
import statsmodels.formula.api as smf
from imblearn import FunctionSampler
from imblearn.ensemble import (
    BalancedBaggingClassifier,
    BalancedRandomForestClassifier,
    EasyEnsembleClassifier,
    RUSBoostClassifier,
)
from imblearn.over_sampling import SMOTE, RandomOverSampler
from imblearn.pipeline import Pipeline as SamplingPipeline
from imblearn.pipeline import make_pipeline as make_sampling_pipeline
from imblearn.under_sampling import EditedNearestNeighbours, RandomUnderSampler
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from . import data
from .catalogue import fitted, page

IMB, CE, SM = "imbalanced-learn", "category_encoders", "statsmodels"
_NUMBERS = make_column_selector(dtype_include=np.number)
_WORDS = make_column_selector(dtype_include=["object", "str"])


@page(
    IMB,
    "Usage of pipeline embedding samplers",
    "auto_examples/pipeline/plot_pipeline_classification.html",
)
def samplers_in_a_pipeline() -> Any:
    rows, target = data.bundled("breast_cancer")
    model = make_sampling_pipeline(
        PCA(n_components=2),
        EditedNearestNeighbours(),
        SMOTE(random_state=0),
        KNeighborsClassifier(n_neighbors=3),
    )
    return fitted(model, rows, target)


_CREDIT = "Fitting model on imbalanced datasets and how to fight bias"
_CREDIT_PATH = "auto_examples/applications/plot_impact_imbalanced_classes.html"


def _linear_columns() -> Any:
    words = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OneHotEncoder(handle_unknown="ignore"),
    )
    numbers = make_pipeline(StandardScaler(), SimpleImputer(strategy="mean", add_indicator=True))
    return make_column_transformer((numbers, _NUMBERS), (words, _WORDS), remainder="drop")


def _tree_columns() -> Any:
    words = make_pipeline(
        SimpleImputer(strategy="constant", fill_value="missing"),
        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1),
    )
    numbers = SimpleImputer(strategy="mean", add_indicator=True)
    return make_column_transformer((numbers, _NUMBERS), (words, _WORDS), remainder="drop")


@page(IMB, _CREDIT, _CREDIT_PATH)
def under_sampled_logistic_regression() -> Any:
    model = make_sampling_pipeline(
        _linear_columns(), RandomUnderSampler(random_state=42), LogisticRegression(max_iter=1000)
    )
    return fitted(model, *data.titanic())


@page(IMB, _CREDIT, _CREDIT_PATH)
def under_sampled_forest() -> Any:
    model = make_sampling_pipeline(
        _tree_columns(),
        RandomUnderSampler(random_state=42),
        RandomForestClassifier(random_state=42, n_estimators=10),
    )
    return fitted(model, *data.titanic())


@page(IMB, _CREDIT, _CREDIT_PATH)
def balanced_forest() -> Any:
    forest = BalancedRandomForestClassifier(
        random_state=42, n_estimators=10, sampling_strategy="all", replacement=True, bootstrap=False
    )
    return fitted(make_sampling_pipeline(_tree_columns(), forest), *data.titanic())


@page(IMB, _CREDIT, _CREDIT_PATH)
def balanced_bagging_of_boosting() -> Any:
    bagging = BalancedBaggingClassifier(
        estimator=HistGradientBoostingClassifier(random_state=42, max_iter=5),
        n_estimators=5,
        random_state=42,
    )
    return fitted(make_sampling_pipeline(_tree_columns(), bagging), *data.titanic())


@page(IMB, "User guide: Ensemble of samplers", "ensemble.html")
def easy_ensemble() -> Any:
    weak = AdaBoostClassifier(n_estimators=5, random_state=0)
    model = EasyEnsembleClassifier(estimator=weak, random_state=0, n_estimators=3)
    return fitted(model, *data.bundled("breast_cancer"))


@page(IMB, "User guide: Ensemble of samplers", "ensemble.html")
def under_sampled_boosting() -> Any:
    model = RUSBoostClassifier(n_estimators=10, random_state=0)
    return fitted(model, *data.bundled("breast_cancer"))


def _without_far_rows(x: Any, y: Any) -> Any:
    near = (np.abs(x - x.mean(axis=0)) < 3 * x.std(axis=0)).all(axis=1)
    return x[near], y[near]


@page(
    IMB,
    "Customized sampler to implement an outlier rejections estimator",
    "auto_examples/plot_outlier_rejections.html",
)
def outlier_rejection() -> Any:
    sampler = FunctionSampler(func=_without_far_rows)
    model = make_sampling_pipeline(sampler, LogisticRegression(max_iter=2000, random_state=0))
    return fitted(model, *data.bundled("wine"))


@page(IMB, "User guide: Over-sampling", "over_sampling.html")
def over_sampled() -> Any:
    steps = [
        ("over", RandomOverSampler(random_state=0)),
        ("clf", LogisticRegression(max_iter=3000)),
    ]
    return fitted(SamplingPipeline(steps), *data.bundled("wine"))


def _with_encoder(encoder: Any, rows: Any, target: Any) -> Any:
    model = Pipeline([("encoder", encoder), ("model", LogisticRegression(max_iter=2000))])
    return fitted(model, rows, target)


@page(CE, "Category Encoders: usage", "index.html")
def encoded_binary() -> Any:
    encoder = category_encoders.BinaryEncoder(cols=["education", "region"])
    return _with_encoder(encoder, *_adult_words())


def _adult_words() -> Any:
    rows, target = data.adult()
    return rows[["whrswk", "education", "experience", "region"]], (target == "yes").astype(int)


@page(CE, "Target Encoder", "targetencoder.html")
def encoded_target() -> Any:
    encoder = category_encoders.TargetEncoder(
        cols=["education", "region"], min_samples_leaf=20, smoothing=10
    )
    return _with_encoder(encoder, *_adult_words())


@page(CE, "CatBoost Encoder", "catboost.html")
def encoded_catboost() -> Any:
    encoder = category_encoders.CatBoostEncoder(cols=["education", "region"])
    return _with_encoder(encoder, *_adult_words())


@page(CE, "Leave One Out", "leaveoneout.html")
def encoded_leave_one_out() -> Any:
    encoder = category_encoders.LeaveOneOutEncoder(cols=["education", "region"])
    return _with_encoder(encoder, *_adult_words())


@page(CE, "Weight of Evidence", "woe.html")
def encoded_weight_of_evidence() -> Any:
    encoder = category_encoders.WOEEncoder(cols=["education", "region"])
    return _with_encoder(encoder, *_adult_words())


@page(CE, "James-Stein Encoder", "jamesstein.html")
def encoded_james_stein() -> Any:
    encoder = category_encoders.JamesSteinEncoder(cols=["education", "region"])
    return _with_encoder(encoder, *_adult_words())


@page(CE, "Ordinal", "ordinal.html")
def encoded_ordinal() -> Any:
    mapping = [{"col": "region", "mapping": {"south": 1, "west": 2, "other": 3}}]
    encoder = category_encoders.OrdinalEncoder(cols=["region"], mapping=mapping)
    rows, target = _adult_words()
    return _with_encoder(encoder, rows[["whrswk", "experience", "region"]], target)


@page(CE, "One Hot", "onehot.html")
def encoded_one_hot() -> Any:
    encoder = category_encoders.OneHotEncoder(
        cols=["education", "region"], handle_unknown="indicator", use_cat_names=True
    )
    return _with_encoder(encoder, *_adult_words())


@page(CE, "Count Encoder", "count.html")
def encoded_count() -> Any:
    encoder = category_encoders.CountEncoder(cols=["education", "region"], min_group_size=5)
    return _with_encoder(encoder, *_adult_words())


@page(CE, "Sum Coding", "sum.html")
def encoded_sum() -> Any:
    encoder = category_encoders.SumEncoder(cols=["education", "region"])
    return _with_encoder(encoder, *_adult_words())


@page(CE, "Hashing", "hashing.html")
def encoded_hashing() -> Any:
    encoder = category_encoders.HashingEncoder(cols=["education", "region"], max_process=1)
    return _with_encoder(encoder, *_adult_words())


def _statsmodels(name: str, features: str, target: str, rows: int = 200) -> Any:
    table, answers = data.table(name, features, target, rows)
    return sm.add_constant(table.astype(float)), answers.astype(float)


def _spector() -> Any:
    frame = sm.datasets.spector.load_pandas().data
    return sm.add_constant(frame[["GPA", "TUCE", "PSI"]]), frame["GRADE"]


@page(SM, "Ordinary Least Squares", "examples/notebooks/generated/ols.html")
def sm_least_squares() -> Any:
    rows, target = _statsmodels("Prestige", "education income women", "prestige")
    return sm.OLS(target, rows).fit(), rows


@page(SM, "Weighted Least Squares", "examples/notebooks/generated/wls.html")
def sm_weighted_least_squares() -> Any:
    x = np.linspace(0, 20, 50)
    rows = sm.add_constant(np.column_stack([x, (x - 5) ** 2]))
    noise = np.random.default_rng(0).normal(size=50)
    weights = np.where(x < 12, 1.0, 3.0)
    target = rows @ [5.0, 0.5, -0.01] + 0.5 * weights * noise
    return sm.WLS(target, rows, weights=1.0 / weights**2).fit(), rows


@page(SM, "Generalized Linear Models", "examples/notebooks/generated/glm.html")
def sm_binomial() -> Any:
    features = "LOWINC PERASIAN PERBLACK PERHISP PCTCHRT PCTYRRND MATHTOT PR50M"
    table, _ = data.table("statsmodels:datasets/star98/star98.csv", features, "PR50M")
    above = table.pop("PR50M")
    chosen = np.column_stack([above, table.pop("MATHTOT") - above])
    rows = sm.add_constant(table.astype(float))
    return sm.GLM(chosen, rows, family=sm.families.Binomial()).fit(), rows


@page(SM, "Generalized Linear Models", "examples/notebooks/generated/glm.html")
def sm_gamma() -> Any:
    rows, target = _statsmodels("Boston", "crim rm lstat", "medv")
    family = sm.families.Gamma(sm.families.links.Log())
    return sm.GLM(target, rows, family=family).fit(), rows


@page(
    SM,
    "Discrete Choice Models Overview",
    "examples/notebooks/generated/discrete_choice_overview.html",
)
def sm_logit() -> Any:
    rows, target = _spector()
    return sm.Logit(target, rows).fit(disp=False), rows


@page(
    SM,
    "Discrete Choice Models Overview",
    "examples/notebooks/generated/discrete_choice_overview.html",
)
def sm_probit() -> Any:
    rows, target = _spector()
    return sm.Probit(target, rows).fit(disp=False), rows


@page(
    SM,
    "Discrete Choice Models Overview",
    "examples/notebooks/generated/discrete_choice_overview.html",
)
def sm_poisson() -> Any:
    features = "lncoins idp lpi fmde physlm disea hlthg hlthf hlthp"
    rows, target = _statsmodels("statsmodels:datasets/randhie/randhie.csv", features, "mdvis")
    return sm.Poisson(target, rows).fit(disp=False), rows


@page(SM, "Fitting models using R-style formulas", "examples/notebooks/generated/formulas.html")
def sm_formula() -> Any:
    rows, target = data.table("Guerry", "Literacy Wealth Region", "Lottery")
    frame = pd.DataFrame(rows).assign(Lottery=target).dropna().reset_index(drop=True)
    model = smf.ols("Lottery ~ Literacy + Wealth + Region", data=frame).fit()
    return model, frame[["Literacy", "Wealth", "Region"]]


@page(SM, "Robust Linear Models", "examples/notebooks/generated/robust_models_0.html")
def sm_robust() -> Any:
    rows, target = _statsmodels("stackloss", "Air_Flow Water_Temp Acid_Conc_", "stack_loss")
    return sm.RLM(target, rows, M=sm.robust.norms.HuberT()).fit(), rows


@page(CE, "Category Encoders: usage", "index.html")
def encoded_in_a_grid() -> Any:
    rows, target = data.houses()
    encoder = category_encoders.OneHotEncoder(drop_invariant=True)
    return fitted(make_pipeline(encoder, StandardScaler(), Ridge()), rows, target)
