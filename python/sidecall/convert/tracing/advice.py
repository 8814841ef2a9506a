"""What to write instead of a function that cannot be traced, for the texts of refusals."""

from __future__ import annotations

import sys
from types import FrameType

import numpy as np

_LIBRARIES = ("numpy", "pandas", "polars", "pyarrow", "scipy", "sklearn")
_WHOLE = "compute with whole columns, as in d['a'] / d['b'], and choose with np.where"
_FITTED = "to combine rows, compute it in `fit` of a class that has a converter"
_MADE = "make the columns with d.assign(c=...) or pd.DataFrame({'a': ..., 'b': ...})"
_EARLIER = "do it before the pipeline, in training and in use"

_SKIPNA = "mean.skipna sum.skipna max.skipna min.skipna"

# By what the function uses: attributes begin with a dot, and a keyword follows after a space.
_ADVICE = {
    name: text
    for text, names in (
        ("choose with np.where; to combine columns, use | and &", ".any .all"),
        ("the answer for a row must not depend on the other rows", ".empty .size .index"),
        (
            f"{_FITTED}; to combine columns, write it with operators",
            ".std .var .median .quantile .mode .nunique .unique .value_counts .describe .idxmax "
            ".idxmin .argmax .argmin .prod .count .groupby .rank .shift .diff .pct_change .rolling "
            ".expanding .ewm .cumsum .cumprod .cummax .cummin .sort_values .sort_index .ffill "
            ".bfill .interpolate .merge .join numpy.median numpy.std numpy.var numpy.quantile "
            "numpy.percentile numpy.nanmean numpy.nanmedian numpy.nanstd numpy.nansum numpy.nanmax "
            "numpy.nanmin numpy.average numpy.prod numpy.unique numpy.argmax numpy.argmin "
            "numpy.sort numpy.argsort numpy.cumsum numpy.diff numpy.any numpy.all",
        ),
        (
            "keep all rows, in their order",
            ".dropna .query .drop_duplicates .sample .head .tail .set_index .reset_index",
        ),
        (
            _WHOLE,
            ".items .iterrows .itertuples .tolist .pipe .transform .agg .aggregate .map .item "
            ".applymap .iloc .loc numpy.vectorize numpy.apply_along_axis apply.axis",
        ),
        (
            "use the operator, such as == or +",
            ".eq .ne .lt .le .gt .ge .add .sub .mul .div .truediv .floordiv .mod .pow",
        ),
        (
            "write the sum of the products, as in 1.5 * x[:, 0] + 2.0 * x[:, 1]",
            ".dot numpy.dot numpy.matmul numpy.einsum numpy.linalg.norm",
        ),
        (
            "use np.where, one in the other, or .map with a dict",
            ".where .mask .replace .combine_first numpy.select numpy.choose numpy.piecewise",
        ),
        (
            "choose columns with d[['a', 'b']], and add them with d.assign(c=...)",
            ".filter .select_dtypes .reindex .get .pop .insert .set_axis .add_prefix .add_suffix",
        ),
        (
            _MADE,
            ".T .transpose .stack .melt .pivot .explode pandas.concat pandas.Series numpy.append "
            "numpy.vstack numpy.array numpy.asarray",
        ),
        (
            "use the number itself, as in d.assign(c=1.0)",
            "numpy.zeros_like numpy.ones_like numpy.full_like",
        ),
        ("use np.abs(x - y) <= tolerance", "numpy.isclose numpy.allclose"),
        (
            "add comparisons, as in (d['x'] > 1) * 1 + (d['x'] > 5) * 1, or use KBinsDiscretizer",
            "numpy.digitize numpy.searchsorted pandas.cut pandas.qcut",
        ),
        (
            "use np.where and comparisons",
            "numpy.heaviside numpy.signbit numpy.copysign numpy.fmod",
        ),
        ("use np.log(np.exp(x) + np.exp(y))", "numpy.logaddexp"),
        ("use 1 / (1 + np.exp(-x))", "expit scipy.special.expit"),
        ("use np.log(p / (1 - p))", "logit scipy.special.logit"),
        (
            f"text can be compared and looked up (==, .isin, .map with a dict); else {_EARLIER}",
            ".str",
        ),
        ("leave it as it is, and use an encoder such as OneHotEncoder", ".cat category"),
        (
            "use OneHotEncoder or OrdinalEncoder",
            "pandas.get_dummies pandas.factorize .factorize",
        ),
        (_EARLIER, "pandas.to_numeric pandas.to_datetime pandas.to_timedelta"),
        ("use d['a'].isna()", "pandas.isna pandas.isnull"),
        ("use d['a'].notna()", "pandas.notna pandas.notnull"),
        ("use d.to_numpy().mean(axis=1), and the like, for skipna=False", _SKIPNA),
        ("choose with np.where and d.notna().sum(axis=1)", "sum.min_count prod.min_count"),
        (
            "use its numbers, such as .dt.year, .dt.month, .dt.day_of_week and .dt.hour",
            ".dt.strftime .dt.date .dt.time .dt.month_name .dt.day_name .dt.to_period .dt.round "
            ".dt.ceil",
        ),
    )
    for name in names.split()
}


# By the beginning of the reason.
_REASONS = {
    "it uses the number of rows": "for a constant column, assign the number: d.assign(c=1.0)",
    "it chooses rows": "keep all rows, and choose values with np.where",
    "it drops rows": "keep all rows; drop(columns=...) drops columns",
    "it puts rows below": "keep the rows as they are; axis=1 puts columns beside each other",
    "it combines the values of several rows": _FITTED,
    "its array holds numbers and text": "choose columns first, as in d[['a', 'b']].to_numpy()",
    "it computes with arrays of different dimensions": "use .reshape(-1, 1), or columns alone",
    "it computes with a DataFrame and a column": "compute column by column, with d.assign(...)",
    "it computes with DataFrames of different columns": "use .to_numpy() of both",
    "it computes with a constant": "use one number, or one for each column",
    "it assigns a constant": "use one number",
    "it computes with whole numbers from 2^53": "the file holds them as doubles; use smaller ones",
    "it uses .map with keys of another type": "use keys of the type of the column",
    "it uses .map with keys that are not text": "leave such keys out; .fillna() replaces what they miss",
    "it uses .map with keys that are not whole": "choose with np.where",
    "it uses .map with something else": "use a dict of numbers or text, or np.where",
    "it uses .map with values": "use numbers only, or text only",
    "it uses isin()": "use values of the type of the column; .isna() finds missing ones",
    "it uses // or %": "use np.floor(a / b) for a column b",
    "it raises whole numbers": "convert them with .astype(float)",
    "it combines the bits": "use %, // and comparisons; with bools, use comparisons on both sides",
    "it inverts the bits": "use ~ with bools only",
    "it rounds whole numbers": "convert them with .astype(float)",
    "it converts int": "a file has no uint64; use .astype('int64')",
    "it converts float": "use np.trunc, np.floor or np.round, whose results stay floats",
    "it converts datetime": "use (d['a'] - pd.Timestamp('1970-01-01')).dt.total_seconds()",
    "it converts string": "do it before the pipeline, in training and in use",
    "it computes with dates and DateOffset": "use a pd.Timedelta, or the numbers such as .dt.month",
    "it compares text with": "compare it with one text, or use .isin",
    "it chooses between text and numbers": "use numbers only, or text only",
    "it applies a function": "it must return one value for each value, as np.log does",
    "it changes the shape": "columns may become .reshape(-1, 1) and back",
    "it fills a bool column": "fill it with True or False",
    "it asks for the type of text": "ask for the types of the columns that the function gets",
}


def advice_for(reason: str) -> str:
    """Like advice(), for a whole reason that does not yet end with advice."""
    if reason.endswith(")"):
        return ""
    return next((f" ({_REASONS[start]})" for start in _REASONS if reason.startswith(start)), "")


def advice(name: str) -> str:
    """What to do instead of using `name`, as the end of a sentence; "" if nothing is known."""
    return f" ({_ADVICE[name]})" if name in _ADVICE else ""


def library_function() -> str | None:
    """The function of another package that the traced function called last, if it still runs."""
    frame: FrameType | None = sys._getframe(1)
    found = None
    while frame is not None and frame.f_globals.get("__name__") != _TRACER:
        module = str(frame.f_globals.get("__name__"))
        package = module.partition(".")[0]
        if package in _LIBRARIES:
            found = _public_name(package, frame.f_code.co_name, module)
        frame = frame.f_back
    return found


_TRACER = __name__.rpartition(".")[0]


def _public_name(package: str, name: str, module: str) -> str:
    """Where users find a function: pandas.cut for cut in pandas.core.reshape.tile."""
    return f"{package}.{name}" if hasattr(sys.modules[package], name) else f"{module}.{name}"


def name_of(ufunc: np.ufunc) -> str:
    """The full name of a function of numpy; only the name for one of another package."""
    name = ufunc.__name__
    return f"numpy.{name}" if getattr(np, name, None) is ufunc else name
