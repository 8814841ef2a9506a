"""`make anomalies`: every scenario with every failure, and both languages.

Prints a line for each scenario and each defect. Adds the table and the bars to
benchmarks/results/reliability.json.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from common import Bar, Report, describe_versions, parse

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODELS = ROOT / "tests/vectors/models"


def run_language(name: str, command: list[str], environment: dict[str, str]) -> dict:
    """Runs loop.py or loop.js; returns its row of the table."""
    begin = time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - begin
    lines = done.stdout.splitlines()
    if done.returncode < 0 or not lines:
        lines += [f"{name}: ended with {done.returncode}: {done.stderr}", "{}"]
    summary = json.loads(lines[-1]) if lines[-1].startswith("{") else {}
    defects = [line for line in lines if not line.startswith("{")]
    print(f"{name:24} {summary.get('failures', 0):6} failures, {seconds:5.0f} s", flush=True)
    for defect in defects:
        print(f"  {defect}", flush=True)
    return {
        "scenario": name,
        "failures": summary.get("failures", 0),
        "seconds": round(seconds),
        "defects": len(defects),
    }


def main() -> int:
    options = parse(__doc__.splitlines()[0], "reliability")
    share = "10" if options.quick else "1"
    build, model = options.build.resolve(), str(MODELS / "penguins.onnx")
    environment = os.environ | {
        "LD_PRELOAD": str(build / "lib/libsidecall-inject.so"),
        "OMP_NUM_THREADS": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        program = [str(build / "bin/sidecall-anomalies"), str(MODELS), "--share", share]
        subprocess.run([*program, "--report", str(path)], env=environment, check=False)
        found = json.loads(path.read_text())
    rows = [
        {
            "scenario": each["name"],
            "failures": each["runs"],
            "errors": each["refused"],
            "seconds": round(each["seconds"]),
            "defects": len(each["defects"]),
        }
        for each in found["scenarios"]
    ]
    loops = {
        "python": [sys.executable, str(HERE / "loop.py"), model, share],
        "node": ["node", str(HERE / "loop.js"), str(build / "lib/inject.node"), model, share],
    }
    rows += [run_language(name, command, environment) for name, command in loops.items()]
    report = Report("reliability", describe_versions(["numpy", "onnxruntime"]))
    report.tables["anomalies"] = rows
    report.bars = [
        Bar("anomaly_sites_missed", found["sites_missed"], 0),
        Bar("anomaly_defects", sum(row["defects"] for row in rows), 0),
    ]
    print(f"{found['sites_reached']} pairs of a call site and an error")
    report.print_bars()
    if not options.quick:
        report.write(options.output, keep_others=True)
    return 0 if all(bar.holds for bar in report.bars) or options.quick else 1


if __name__ == "__main__":
    sys.exit(main())
