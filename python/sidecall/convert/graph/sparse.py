"""Whether a scikit-learn step returns a sparse matrix.

This matters because XGBoost treats a value as missing if a sparse matrix does not store it.
"""

from __future__ import annotations

from typing import Any

_ALWAYS = {"CountVectorizer", "TfidfVectorizer", "TfidfTransformer"}
_AS_IT_CAME = {
    "Binarizer",
    "FunctionTransformer",
    "GenericUnivariateSelect",
    "MaxAbsScaler",
    "Normalizer",
    "PolynomialFeatures",
    "RFE",
    "RFECV",
    "RobustScaler",
    "SelectFdr",
    "SelectFpr",
    "SelectFromModel",
    "SelectFwe",
    "SelectKBest",
    "SelectPercentile",
    "SequentialFeatureSelector",
    "SimpleImputer",
    "StandardScaler",
    "VarianceThreshold",
}


def answers_sparse(model: Any, sparse: bool) -> bool:
    """Whether `model.transform` returns a sparse matrix; `sparse`: its input is sparse."""
    kind = type(model).__name__
    if model is None or isinstance(model, str):
        return sparse
    if kind == "Pipeline":
        for _, step in model.steps:
            sparse = answers_sparse(step, sparse)
        return sparse
    if kind == "ColumnTransformer":
        return bool(model.sparse_output_)
    if kind == "FeatureUnion":
        return any(
            answers_sparse(step, sparse) for _, step in model.transformer_list if step != "drop"
        )
    if kind == "KBinsDiscretizer":
        return bool(model.encode == "onehot")
    if kind in ("OneHotEncoder", "SplineTransformer", "RandomTreesEmbedding"):
        return bool(getattr(model, "sparse_output", False))  # category_encoders has none
    return kind in _ALWAYS or (kind in _AS_IT_CAME and sparse)
