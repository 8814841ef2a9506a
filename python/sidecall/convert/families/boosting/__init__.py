"""Converters of CatBoost, LightGBM and XGBoost. Importing this package registers them."""

from . import catboost, lightgbm, xgboost  # noqa: F401
