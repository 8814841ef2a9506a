"""Classes and converters as a user writes them; test_contributed_converters.py loads this file."""

import numpy as np
import pandas as pd
import sidecall
from sklearn.base import BaseEstimator, ClassifierMixin, TransformerMixin
from sklearn.preprocessing import StandardScaler


class Share(TransformerMixin, BaseEstimator):
    """Returns two columns of different types, which it chooses by name."""

    def fit(self, frame, y=None):
        self.usual_ = frame.groupby("city")["paid"].mean().to_dict()
        return self

    def transform(self, frame):
        usual = frame["city"].map(self.usual_)
        return pd.DataFrame({"share": frame["paid"] / usual, "is_more": frame["paid"] > usual})


@sidecall.register_converter(Share)
def share(step, columns, g):
    usual = g.lookup(columns["city"], step.usual_, 0.0)
    return [columns["paid"] / usual, columns["paid"] > usual]


class Squared(TransformerMixin, BaseEstimator):
    """Holds another step, and computes in double."""

    def fit(self, x, y=None):
        self.scaler_ = StandardScaler().fit(x)
        return self

    def transform(self, x):
        return self.scaler_.transform(x).astype("float64") ** 2


@sidecall.register_converter(f"{__name__}.Squared")
def squared(step, columns, g):
    x = g.cast(g.transform(step.scaler_, columns).matrix(), "float64")
    return x * x


class Above(ClassifierMixin, BaseEstimator):
    """Predicts the second class for scores above 0.25."""

    def fit(self, x, y):
        self.classes_ = np.unique(y)
        self.mean_ = float(np.mean(x))
        return self

    def decision_function(self, x):
        return np.asarray(x)[:, 0] - self.mean_

    def predict(self, x):
        return self.classes_[(self.decision_function(x) > 0.25).astype(int)]


class Below(Above):
    """Predicts the second class for scores above 0, for which it needs no converter."""

    def predict(self, x):
        return self.classes_[(self.decision_function(x) > 0.0).astype(int)]


PACKAGE = __name__.partition(".")[0]


@sidecall.register_converter(f"{PACKAGE}:Above Below", "_first")
def first(step, columns, g):
    return g.columns(columns.matrix(), [0]), step.mean_


@sidecall.register_converter(f"{PACKAGE}:Above Below", "decision_function")
def scores(step, columns, g):
    column, mean = g.call(step, "_first", columns)
    return column - mean


@sidecall.register_converter(Above, "class_index")
def index(step, columns, g):
    above = g.call(step, "decision_function", columns) > 0.25
    return g.op("Squeeze", g.cast(above, "int64"), g.const([1]))
