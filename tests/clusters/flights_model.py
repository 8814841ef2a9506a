"""What the tests of clusters compare with: a model, its rows, and the answers of the original."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Flights:
    """`rows` are also in several Parquet files of `folder`. `answers` are those of scikit-learn."""

    model: Path
    rows: pd.DataFrame
    answers: pd.DataFrame
    folder: Path

    def check(self, answers: pd.DataFrame) -> None:
        """Each row is there once, with the answer of the original in every bit."""
        found = answers.sort_values("id", ignore_index=True)
        assert found["error"].isna().all()
        pd.testing.assert_frame_equal(
            found.drop(columns="error"), self.answers, check_dtype=False, check_exact=True
        )

    def with_bad_rows(self) -> pd.DataFrame:
        """Forty flights; every third has an infinite delay, which the model does not take."""
        rows = self.rows.iloc[:40].copy()
        rows.loc[rows["id"] % 3 == 0, "dep_delay"] = float("inf")
        return rows

    def check_bad_rows(self, answers: pd.DataFrame) -> None:
        """Bad rows have an error and no answer, and all others have their answer."""
        is_bad = answers["id"].astype("int64") % 3 == 0
        bad = answers[is_bad]
        assert sorted(bad["id"]) == list(range(0, 40, 3))
        assert bad["error"].str.startswith("OUT_OF_RANGE: feature 'dep_delay'").all()
        assert bad[self.answers.columns[1:]].isna().all(axis=None)
        good = answers[~is_bad].sort_values("id", ignore_index=True)
        expected = self.answers.iloc[:40]
        expected = expected[expected["id"] % 3 != 0].reset_index(drop=True)
        assert good["error"].isna().all()
        pd.testing.assert_frame_equal(
            good.drop(columns="error"), expected, check_dtype=False, check_exact=True
        )

    def check_nightly(self, run_example: Callable[..., str], program: str, folder: Path) -> None:
        """A nightly batch replaces the answers of the last night, and keeps bad rows apart."""
        for name in ("rows", "answers"):
            (folder / name).mkdir()
        self.with_bad_rows().to_parquet(folder / "rows/0.parquet", index=False)
        self.answers.to_parquet(folder / "answers/of-last-night.parquet", index=False)
        printed = run_example(program, self.model, folder / "rows", folder)
        assert printed == "40 rows, 14 of them without an answer\n"
        self.check_bad_rows(pd.read_parquet(folder / "answers"))
        assert sorted(pd.read_parquet(folder / "rejected")["id"]) == list(range(0, 40, 3))
