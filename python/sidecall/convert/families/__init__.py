"""The converters, one file per family of estimators. Importing this package registers them."""

from . import (  # noqa: F401
    calibration,
    category_encoders_models,
    compose,
    decomposition,
    density,
    encoders,
    ensemble,
    feature_extraction,
    functions,
    impute,
    kernels,
    lightgbm_models,
    linear_model,
    naive_bayes,
    neighbors,
    preprocessing,
    splines,
    statsmodels_models,
    tree,
    xgboost_models,
)
