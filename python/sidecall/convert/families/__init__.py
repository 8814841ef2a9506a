"""The converters. Importing this package registers them.

A file covers one family of estimators of scikit-learn, or one other package. Packages that need
more files have a folder.
"""

from . import (  # noqa: F401
    boosting,
    calibration,
    category_encoders,
    compose,
    decomposition,
    density,
    encoders,
    ensemble,
    feature_engine,
    feature_extraction,
    functions,
    impute,
    kernels,
    libsvm_probabilities,
    linear_model,
    naive_bayes,
    neighbors,
    preprocessing,
    skrub,
    splines,
    statsmodels,
    tree,
)
