"""A module whose function asks for the class of its argument (test_tracing_refusals.py)."""

import pandas as pd


def is_frame(x):
    return type(x) is pd.DataFrame
