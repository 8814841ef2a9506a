"""`run.py --only SEED:NUMBER`: examines one pipeline and follows its differences step by step."""

from __future__ import annotations

import json
from pathlib import Path

import joblib  # type: ignore[import-untyped]
import pandas as pd
import sidecall
from sidecall.comparing.text import begin_text, stage_rows

from .drawing.pipelines import draw
from .judging.engines import Engines
from .judging.findings import Counts
from .judging.judge import Judge


def examine(seed: int, number: int, rows: int, odd: int, folder: Path) -> int:
    """Prints what is known, and leaves the model, the file and the differing rows in `folder`.

    Returns 1 if an answer was wrong.
    """
    drawn = draw(seed, number)
    stem = f"{seed}-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(drawn.model, folder / f"{stem}.joblib")
    types = ", ".join(f"{name}: {dtype}" for name, dtype in drawn.pool.dtypes.items())
    print(f"{drawn.name}: {drawn.table}, {drawn.task}, {drawn.container} of {types}")
    print(f"{drawn.model}\n")
    try:
        report = sidecall.export(
            drawn.model, folder / f"{stem}.onnx", drawn.training_data(), progress=False
        )
    except sidecall.ExportError as error:
        print(f"refused at export: {error}")
        return 0
    print(report)
    with Engines(folder / f"{stem}.onnx") as engines:
        judging = Judge(drawn, engines)
        for name, counts in judging.compare(rows, odd, folder).items():
            _print_counts(name, counts)
        for name, failed in engines.failed.items():
            print(f"\n{name}: {failed['outcome']}: {failed['reason']}")
        begin = judging.begin()
        if begin is not None:
            print(f"\n{begin_text(begin)}")
            for step, largest in stage_rows(begin):
                print(f"  {step}: {largest}")
        wrong = [each for side in judging.sides.values() for each in side.wrong]
        if wrong:
            sent = pd.concat([each.rows.frame for each in wrong])
            sent.to_csv(folder / f"{stem}.csv", index=False)
    print(f"\nthe model, its file and the differing rows are in {folder}/{stem}.*")
    return int(bool(wrong))


def _print_counts(engine: str, counts: Counts) -> None:
    print(f"\n{engine}: {counts.rows} rows, {counts.compared} compared, {counts.wrong} wrong")
    print(f"about {counts.unstable_rows():g} rows are unstable in the original")
    print(f"outputs of trees: {counts.tree_bits} of {counts.tree_rows} rows differ in a bit")
    print(f"records: {counts.routes} rows differ from the answers for a DataFrame")
    for family, (total, wrong) in counts.families.items():
        print(f"  {family:<16}{total:>8}{wrong:>8} wrong")
    for (side, family, reason), total in counts.domain.most_common():
        print(f"  refused only by the {side}: {family} ({reason}) x {total}")
    for example in counts.worst:
        print(f"  {json.dumps(example, ensure_ascii=False)}")
