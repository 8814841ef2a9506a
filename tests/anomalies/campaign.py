"""`make anomalies`: every scenario with every failure, and the loops in Python and Node.js.

Prints a line for each scenario, for each defect, and for each error that was never injected at a
call site. Adds the table and the bars to benchmarks/results/reliability.json, unless only every
tenth call fails (--quick).
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from common import Bar, Report, describe_versions, parse

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MODELS = ROOT / "tests/vectors/models"
# The scenarios of scenarios.cpp. Those that take longest come first.
SCENARIOS = (
    *("serve-function", "serve-model", "exec", "reconnect", "https-connect", "grpcs-connect"),
    *("grpc-serve-model", "http-serve-model", "command-predict", "supervisor", "slow-function"),
    *("command-info", "connect", "open", "open-external-data", "remote-asynchronous-run"),
    *("remote-records", "remote-json", "asynchronous-run", "tensors", "records", "json", "table"),
    *("open-native", "records-native", "json-native"),
    *("http-connect", "http-serve-function", "http-records", "http-asynchronous-run"),
    *("grpc-connect", "grpc-serve-function", "grpc-records", "grpc-asynchronous-run"),
)
# The program also has the scenario https-serve-function, but no whole campaign of it has passed
# yet; run it with `sidecall-anomalies MODELS --only https-serve-function`.

REPEATS = 5
# Each of their runs takes long, so `make test-long` makes so many times fewer of their calls fail.
SLOW = {
    **dict.fromkeys(("reconnect", "supervisor", "exec", "command-predict", "command-info"), 30),
    **dict.fromkeys(("http-connect", "http-serve-function", "grpc-connect"), 30),
    **dict.fromkeys(("grpc-serve-function", "grpc-serve-model", "http-serve-model"), 30),
    **dict.fromkeys(("grpcs-connect", "https-connect"), 300),
}


class Campaign:
    def __init__(self, build: Path, share: int) -> None:
        self.build, self.share = build, str(share)
        # By call site, function and error: whether the call has failed, and the seconds that each
        # scenario took which reaches it.
        self.sites: dict[tuple[str, str, int], bool] = {}
        self.reached: dict[tuple[str, str, int], dict[str, int]] = {}
        # Clients do not poll before they sleep, so that each run makes the same system calls.
        self.environment = os.environ | {
            "LD_PRELOAD": str(build / "lib/libsidecall-inject.so"),
            "OMP_NUM_THREADS": "1",
            "SIDECALL_SPIN_US": "0",
        }

    def run(self, name: str) -> dict:
        """Runs one scenario, or the loop of a language; returns its row of the table."""
        begin = time.monotonic()
        row = self.loop(name) if name in ("python", "node") else self.scenario(name)
        row["seconds"] = round(time.monotonic() - begin)
        for scenarios in self.reached.values():
            if name in scenarios:
                scenarios[name] = row["seconds"]
        defects = row["defects"]
        print(f"{name:24} {row['failures']:6} failures, {row['seconds']:5} s", flush=True)
        for defect in defects:
            print(f"  {defect}", flush=True)
        return {"scenario": name, **row, "defects": len(defects)}

    def scenario(self, name: str) -> dict:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "report.json"
            program = [self.build / "bin/sidecall-anomalies", MODELS, "--only", name]
            command = [*program, "--share", self.share, "--report", path]
            subprocess.run(command, env=self.environment, stdout=subprocess.DEVNULL, check=False)
            found = json.loads(path.read_text())
        for site in found["sites"]:
            key = (site["place"], site["function"], site["error"])
            self.sites[key] = self.sites.get(key, False) or site["has_failed"]
            self.reached.setdefault(key, {})[name] = 0
        (result,) = found["scenarios"]
        return {
            "failures": result["runs"],
            "errors": result["refused"],
            "defects": result["defects"],
        }

    def missed(self) -> list[tuple[str, str, int]]:
        return sorted(key for key, has_failed in self.sites.items() if not has_failed)

    def repeat_missed(self) -> list[dict]:
        """Runs scenarios again that reach a call where an error was never injected.

        A few calls are not made in every run, for example only if an answer takes long enough for
        the client to sleep. Returns the rows of the repeated scenarios.
        """
        rows = []
        for _ in range(REPEATS):
            quickest = {
                min(self.reached[key], key=self.reached[key].__getitem__) for key in self.missed()
            }
            rows += [self.run(name) for name in sorted(quickest)]
        return rows

    def loop(self, language: str) -> dict:
        model = MODELS / "penguins.onnx"
        program = (
            [sys.executable, HERE / "loop.py"]
            if language == "python"
            else ["node", HERE / "loop.js", self.build / "lib/inject.node"]
        )
        done = subprocess.run(
            [*program, model, self.share],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stdout.splitlines()
        defects = [line for line in lines if not line.startswith("{")]
        if done.returncode < 0:
            defects.append(f"ended by signal {-done.returncode}: {done.stderr}")
        summary = json.loads(lines[-1]) if lines and lines[-1].startswith("{") else {}
        return {"failures": summary.get("failures", 0), "defects": defects}


def main() -> int:
    options = parse(__doc__.splitlines()[0], "reliability")
    campaign = Campaign(options.build.resolve(), 10 if options.quick else 1)
    with ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0))) as pool:
        rows = list(pool.map(campaign.run, (*SCENARIOS, "python", "node")))
    repeated = [] if options.quick else campaign.repeat_missed()
    report = Report("reliability", describe_versions(["numpy", "onnxruntime"]))
    report.tables["anomalies"] = rows
    report.tables["anomaly_sites"] = [{"reached": len(campaign.sites)}]
    missed = campaign.missed()
    for place, function, error in missed:
        print(f"missed: {function} with {error} at {place}")
    report.bars = [
        Bar("anomaly_sites_missed", len(missed), 0),
        Bar("anomaly_defects", sum(row["defects"] for row in (*rows, *repeated)), 0),
    ]
    print(f"{len(campaign.sites)} pairs of a call site and an error")
    report.print_bars()
    if not options.quick:
        report.write(options.output, keep_others=True)
    return 0 if all(bar.holds for bar in report.bars) or options.quick else 1


if __name__ == "__main__":
    sys.exit(main())
