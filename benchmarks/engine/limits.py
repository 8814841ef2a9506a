"""The bars of benchmarks/engine that compare calls; used by run.py."""

import numpy as np
from calls import ORT, OURS, Measured
from common import Bar, Report
from rounds import Contender

TREES = ("gbm", "gbm-lightgbm", "forest", "hgb", "lightgbm", "xgboost")
# One row: the case and the limit, against ONNX Runtime.
ONE_ROW = {
    "native_gbm_vs_ort": ("gbm", 0.15),
    "native_rf_vs_ort": ("forest", 0.2),
    "native_lr_vs_ort": ("logistic", 0.1),
    "native_hgb_vs_ort": ("hgb", 0.15),
    "native_penguins_vs_ort": ("penguins", 0.06),
    "native_text_vs_ort": ("text", 0.1),
}
BATCH = {"native_gbm_batch_vs_ort": ("gbm", 0.12), "native_rf_batch_vs_ort": ("forest", 0.3)}

Contenders = dict[tuple[str, str], Contender]


def _fastest(contenders: list[Contender]) -> Contender:
    return min(contenders, key=lambda contender: contender.percentile_us(50))


def ort_of(contenders: Contenders) -> Contender:
    """ONNX Runtime with a kept binding, with or without its arena, whichever is faster."""
    return _fastest([one for key, one in contenders.items() if key[0] == "c" and key[1] in ORT])


def ours_of(contenders: Contenders) -> Contender | None:
    return next((one for key, one in contenders.items() if key[0] == "c" and key[1] in OURS), None)


def _others(contenders: Contenders) -> list[Contender]:
    """All other engines, with ONNX Runtime."""
    return [
        one
        for key, one in contenders.items()
        if key[0] in ("c", "python-peers") and key[1] not in OURS
    ]


def _add_best_batch(report: Report, measured: Measured, batch: int) -> None:
    """The value of each bar is the largest ratio of all cases with trees."""
    wrong = {
        (row["scenario"], row["client"], row["approach"])
        for row in report.tables["judged"]
        if row["wrong"]
    }
    ratios: dict[str, list[float]] = {"native_vs_best_exact_batch": [], "native_vs_best_batch": []}
    texts = []
    for name in TREES:
        contenders = measured[name, batch]
        ours, others = ours_of(contenders), _others(contenders)
        if ours is None:
            continue
        exact = [one for one in others if (name, *one.key) not in wrong]
        parts = []
        for bar, rivals in zip(ratios, (exact, others), strict=True):
            best = _fastest(rivals)
            ratios[bar].append(ours.ratio_to(best))
            parts.append(f"{best.approach} {ratios[bar][-1]:.2f}")
        texts.append(f"{name}: {' and '.join(dict.fromkeys(parts))}")
    report.notes.append(
        f"time with {batch} rows / that of the fastest other engine without a wrong row, and of "
        f"any: {'; '.join(texts)}"
    )
    for (bar, values), limit in zip(ratios.items(), (1.0, 1.5), strict=True):
        report.bars.append(Bar(bar, max(values), limit))


def add_call_bars(report: Report, measured: Measured, batch: int) -> None:
    for bars, rows in ((ONE_ROW, 1), (BATCH, batch)):
        for bar, (name, limit) in bars.items():
            contenders = measured[name, rows]
            ours = ours_of(contenders)
            if ours is not None:
                report.bars.append(Bar(bar, ours.ratio_to(ort_of(contenders)), limit))
    for bar, rows, limit in (
        ("native_vs_m2cgen", 1, 0.7),
        ("native_batch_vs_m2cgen", batch, 0.5),
    ):
        contenders = measured["gbm-lightgbm", rows]
        report.bars.append(
            Bar(bar, contenders["c", "call"].ratio_to(contenders["c", "m2cgen"]), limit)
        )
    _add_best_batch(report, measured, batch)
    ratios = [
        contenders["c", "call"].ratio_to(contenders["c", "lightgbm_single_row"])
        for contenders in (measured["gbm-lightgbm", 1], measured["lightgbm", 1])
    ]
    report.bars.append(Bar("native_vs_lightgbm", max(ratios), 0.4))
    gbm, penguins = measured["gbm", 1], measured["penguins", 1]
    python = gbm["python", "call_run"].ratio_to(gbm["python", "onnxruntime"])
    report.bars.append(Bar("py_native_vs_ort", python, 0.12))
    peer = _fastest([gbm["onnxruntime-node", name] for name in ("run", "run_kept")])
    node = gbm["sidecall", "call_run"].ratio_to(peer)
    report.bars.append(Bar("node_native_vs_ort", node, 0.08))
    extra = np.array(penguins["sidecall", "predict_sync"].medians) - np.array(
        penguins["c", "record"].medians
    )
    report.bars.append(Bar("node_record_extra_us", float(np.median(extra)) / 1000, 1.5))
