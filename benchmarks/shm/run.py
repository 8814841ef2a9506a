"""`make bench-shm`: the channel, the machine's lower bounds, iceoryx and in-process calls.

The contenders alternate in one run. Writes results/shm.json, prints the table and bars.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from common import (
    Bar,
    Report,
    WrongAnswerError,
    describe_versions,
    find_in_package,
    guarded,
    parse,
    print_table,
    run_on_onnxruntime,
)
from models import Workload, write_workloads
from rounds import Client, Contender, run_rounds
from servers import MODES, Paired, Server, Servers, bound

HERE = Path(__file__).resolve().parent
SIZES = [64, 1024, 16 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20]
CROWD = [1, 2, 4, 8, 16, 32, 64]


class Settings:
    """How much to measure: everything, or a quick run that only shows that everything works."""

    def __init__(self, quick: bool):
        self.rounds = 2 if quick else 40
        self.budget_ns = 2e5 if quick else 4e6
        self.sizes = [64, 4 << 20] if quick else SIZES
        self.crowd = [1, 4] if quick else CROWD
        self.crowd_tenths = 1 if quick else 10
        self.idle = 20 if quick else 1000
        self.idle_s = 0.5 if quick else 10.0
        self.traced_runs = (500, 1_000) if quick else (10_000, 110_000)
        self.large_bytes = 10 << 20
        self.submits = 5 if quick else 100
        self.neighbour_runs = 1_000 if quick else 20_000


@dataclass
class Place:
    """Where client and server run: on separate CPUs, or on the same one."""

    name: str
    client_cpu: int | None
    server_cpu: int | None


@dataclass
class Ping(Contender):
    """A floor: the machine's lower bound for a round trip. Its child process lives only during the
    round.
    """

    kind: str = ""
    place: Place | None = None

    def ask_round(self, calls: int, warm_up: int) -> tuple[np.ndarray, np.ndarray]:
        ends = [
            -1 if cpu is None else cpu for cpu in (self.place.client_cpu, self.place.server_cpu)
        ]
        return self.client.ask("ping", self.kind, *ends, calls, max(warm_up, 200))


@dataclass
class Run:
    """One run: its processes, and the results so far."""

    settings: Settings
    build: Path
    folder: Path
    stack: ExitStack
    report: Report
    servers: Servers
    places: dict[str, Place]
    environment: dict[str, str]
    faults: list[str] = field(default_factory=list)
    clients: dict[tuple, Client] = field(default_factory=dict)

    def has_iceoryx(self) -> bool:
        return (self.build / "bin" / "bench-shm-iceoryx-server").is_file()

    def program(self, *command: str, mode: str, cpu: int | None) -> Client:
        """A client process, one per program, mode and CPU."""
        key = (*command, mode, cpu)
        if key not in self.clients:
            name = "python" if "python" in Path(command[0]).name else "c"
            client = Client(name, bound(list(command), cpu), self.environment | MODES[mode])
            self.clients[key] = self.stack.enter_context(client)
        return self.clients[key]

    def native(self, mode: str, cpu: int | None) -> Client:
        return self.program(str(self.build / "bin" / "bench-shm-client"), mode=mode, cpu=cpu)

    def channel(
        self,
        name: str,
        kind: str,
        mode: str,
        place: Place,
        served: tuple[Server, str],
        elements: int = 1,
    ) -> Paired:
        server, at = served
        client = self.native(mode, place.client_cpu)
        with server.awake():
            client.ask("open", name, kind, at, elements)
        return Paired(client, name, server=server, place=place.name)

    def run_rounds(
        self,
        scenario: str,
        contenders: list[Contender],
        check=lambda *_: None,
        rounds: int | None = None,
    ) -> None:
        print(f"measuring {scenario}", file=sys.stderr)
        run_rounds(contenders, rounds or self.settings.rounds, self.settings.budget_ns, check)
        self.report.rows += [contender.row(scenario, 1) for contender in contenders]


def measure_echo(run: Run) -> None:
    """Measures the echo in each waiting mode, over the channel and over iceoryx, and the floors."""
    measured: dict[str, Contender] = {}
    for place in run.places.values():
        modes = (
            ["spin", "adaptive", "sleep"] if place.name == "two cores" else ["adaptive", "sleep"]
        )
        contenders = [
            run.channel(
                f"sidecall_{mode}_{place.name.replace(' ', '_')}",
                "echo",
                mode,
                place,
                run.servers.bare("echo", mode, place.server_cpu),
            )
            for mode in modes
        ]
        floor = run.native("sleep", place.client_cpu)
        kinds = (["cacheline"] if place.name == "two cores" else []) + ["socket", "semaphore"]
        contenders += [
            Ping(floor, f"bare_{kind}_{place.name.replace(' ', '_')}", kind=kind, place=place)
            for kind in kinds
        ]
        if run.has_iceoryx():
            for mode in ("spin", "sleep") if place.name == "two cores" else ("sleep",):
                approach = f"iceoryx_{mode}_{place.name.replace(' ', '_')}"
                server = run.servers.iceoryx(mode, approach, place.server_cpu)
                with server.awake():
                    client = run.program(
                        str(run.build / "bin" / "bench-shm-iceoryx-client"),
                        mode,
                        approach,
                        mode=mode,
                        cpu=place.client_cpu,
                    )
                    client.ask("round", "echo", 0, 1, 0)
                contenders.append(Paired(client, approach, server=server, place=place.name))
        run.run_rounds(f"echo, {place.name}", contenders)
        measured |= {contender.approach: contender for contender in contenders}
    bars = run.report.bars
    if "sidecall_spin_two_cores" in measured:
        bars.append(
            Bar(
                "echo_spin_vs_cacheline",
                measured["sidecall_spin_two_cores"].ratio_to(measured["bare_cacheline_two_cores"]),
                2.5,
            )
        )
    bars.append(
        Bar(
            "echo_sleep_vs_socket",
            measured["sidecall_sleep_one_core"].ratio_to(measured["bare_socket_one_core"]),
            1.1,
        )
    )
    if run.has_iceoryx():
        compare_with_iceoryx(run.report, measured)
    else:
        run.report.notes.append(
            "iceoryx was not measured: its headers were missing when the programs were built "
            "(make bench-shm installs them)"
        )


def compare_with_iceoryx(report: Report, measured: dict[str, Contender]) -> None:
    """Adds the main bar, which is the ratio of the worst mode, and a bar for each mode.

    For the sleeping modes, a note reports the floors.
    """
    ratios = {
        name.removeprefix("iceoryx_"): measured[name.replace("iceoryx", "sidecall")].ratio_to(rival)
        for name, rival in measured.items()
        if name.startswith("iceoryx_")
    }
    report.bars.append(Bar("echo_vs_iceoryx", max(ratios.values()), 0.5))
    report.bars += [Bar(f"echo_vs_iceoryx_{mode}", ratio, 0.5) for mode, ratio in ratios.items()]
    for mode in ratios:
        if not mode.startswith("sleep"):
            continue
        rival = measured[f"iceoryx_{mode}"]
        place = mode.removeprefix("sleep_")
        floors = [
            f"{measured[f'bare_{kind}_{place}'].ratio_to(rival):.2f} ({kind})"
            for kind in ("semaphore", "socket")
        ]
        report.notes.append(
            f"asleep on {place.replace('_', ' ')}, two bare wake-ups by the kernel take "
            f"{' and '.join(floors)} of iceoryx's round trip"
        )


def measure_payload(run: Run, place: Place) -> None:
    """Measures payloads of growing size. In place: only one element is written and read. Copied:
    both sides copy all elements, in both directions.
    """
    for kind, label in (("scalar", "in place"), ("copy", "copied")):
        served = run.servers.bare(kind, "spin", place.server_cpu)
        contenders = [
            run.channel(f"{kind}_{size}", kind, "spin", place, served, size // 4)
            for size in run.settings.sizes
        ]
        run.run_rounds(
            f"payload, {label}",
            contenders,
            rounds=max(2, run.settings.rounds // (2 if kind == "scalar" else 4)),
        )
        if kind == "scalar":
            by_name = {contender.approach: contender for contender in contenders}
            run.report.bars.append(
                Bar(
                    "payload_4m_vs_64b",
                    by_name[f"scalar_{4 << 20}"].ratio_to(by_name["scalar_64"]),
                    1.1,
                )
            )


def measure_gbm(run: Run, gbm: Workload, place: Place) -> None:
    contenders: list[Contender] = []
    for mode in ("spin", "adaptive"):
        client = run.native(mode, place.client_cpu)
        client.ask("load", gbm.folder)
        native = run.servers.native(gbm.folder / "model.onnx", mode, place.server_cpu)
        contenders.append(run.channel(f"native_{mode}", "gbm", mode, place, native))
        python = run.servers.python(
            gbm.folder / "model.pickle", gbm.folder / "features.f64", mode, place.server_cpu
        )
        contenders.append(run.channel(f"python_{mode}", "gbm", mode, place, python))
    client = run.native("spin", place.client_cpu)
    client.ask("open", "in_process", "gbm", gbm.folder / "model.onnx", 1)
    contenders.append(Paired(client, "in_process", place=place.name))
    sklearn = run.program(
        sys.executable, str(HERE / "python_client.py"), mode="adaptive", cpu=place.client_cpu
    )
    sklearn.ask("load", gbm.folder)
    contenders.append(Paired(sklearn, "predict_proba", place=place.name))
    run.run_rounds("gbm", contenders, gbm.checker(1, run.faults.append))
    by_name = {contender.approach: contender for contender in contenders}

    def extra_us(slow: str, fast: str) -> float:
        return (
            float(np.median(np.array(by_name[slow].medians) - np.array(by_name[fast].medians)))
            / 1000
        )

    run.report.bars.append(Bar("gbm_shm_extra_us", extra_us("native_spin", "in_process"), 1.0))
    run.report.bars.append(
        Bar("python_server_extra_us", extra_us("python_spin", "predict_proba"), 10.0)
    )


def measure_crowd(run: Run, gbm: Workload) -> None:
    """Throughput by number of clients, in the default waiting mode.

    All clients are threads of one process.
    """
    print("measuring many clients", file=sys.stderr)
    server, at = run.servers.native(gbm.folder / "model.onnx", "adaptive", None)
    client = run.native("adaptive", None)
    client.ask("load", gbm.folder)
    figures: dict[int, list[np.ndarray]] = {count: [] for count in run.settings.crowd}
    with server.awake():
        for _ in range(1 if run.settings.rounds < 5 else 5):
            for count in run.settings.crowd:
                figures[count].append(
                    client.ask("throughput", at, count, run.settings.crowd_tenths)[0]
                )
    rates: dict[int, float] = {}
    for count, repetitions in figures.items():
        rates[count], p50, p99 = (float(value) for value in np.median(repetitions, axis=0))
        run.report.rows.append(
            {
                "scenario": "crowd",
                "rows": 1,
                "approach": f"native_adaptive_{count}_clients",
                "client": "c",
                "p50_us": p50 / 1000,
                "p99_us": p99 / 1000,
                "calls": int(
                    sum(rate for rate, *_ in repetitions) * run.settings.crowd_tenths / 10
                ),
                "calls_per_s": int(rates[count]),
                "calls_per_s_least": int(min(rate for rate, *_ in repetitions)),
                "calls_per_s_most": int(max(rate for rate, *_ in repetitions)),
                "rounds": len(repetitions),
            }
        )
    most = max(rates)
    best = max(rate for count, rate in rates.items() if count < most)
    run.report.bars.append(Bar("throughput_64_vs_best", rates[most] / best, 0.9, at_least=True))


def server_cost(pid: int) -> tuple[float, int, int]:
    """CPU seconds, resident KiB, open descriptors."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    resident = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Rss:"))
    return (
        (int(user) + int(system)) / os.sysconf("SC_CLK_TCK"),
        resident,
        sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()),
    )


def measure_queue(run: Run, gbm: Workload) -> None:
    """Runs in a completion queue: system calls, the cost of submit, and a neighbour that hangs."""
    print("measuring the completion queue", file=sys.stderr)
    model = gbm.folder / "model.onnx"
    server, at = run.servers.native(model, "adaptive", None)
    client = run.native("adaptive", None)
    with server.awake():
        measure_system_calls(run, at)
        width = int((gbm.folder / "shape.txt").read_text().split()[1])
        rows = run.settings.large_bytes // (4 * width)
        worst = 0.0
        for route in (at, str(model)):
            rounds = [client.ask("submit", route, rows, run.settings.submits)[0] for _ in range(5)]
            worst = max(worst, median_p99(np.stack(rounds)))
        run.report.bars.append(Bar("submit_block_us", worst / 1000, 50))
    hung, hung_at = run.servers.bare("echo", "adaptive", None)
    with server.awake():
        with hung.awake():
            client.ask("hung", hung_at)
        times = client.ask("neighbour", at, 100, run.settings.neighbour_runs)[0]
    alone, beside = (median_p99(part) for part in times.reshape(2, -1, 1_000))
    run.report.bars.append(Bar("hung_neighbour_ratio", beside / alone, 1.2))


def median_p99(rounds: np.ndarray) -> float:
    """The median of the p99 of each round, so that one disturbed round changes little."""
    return float(np.median(np.percentile(rounds, 99, axis=1)))


def measure_system_calls(run: Run, at: str) -> None:
    """System calls of the client for each run, with 64 under way, as strace counts them."""
    if shutil.which("strace") is None:
        run.report.notes.append("queue_syscalls was not measured: strace is not installed")
        return
    few, many = run.settings.traced_runs
    counts = []
    for runs in (few, many):
        summary = run.folder / f"system-calls-{runs}"
        command = ["strace", "-f", "-c", "-o", str(summary), run.build / "bin" / "bench-shm-client"]
        with Client("c", [str(part) for part in command], run.environment) as client:
            client.ask("queue", at, 64, runs)
        total = summary.read_text().splitlines()[-1].split()
        counts.append(int(total[3]))
    run.report.bars.append(Bar("queue_syscalls", (counts[1] - counts[0]) / (many - few), 0.2))


def measure_idle(run: Run) -> None:
    """What idle clients cost the server."""
    print("measuring idle clients", file=sys.stderr)
    server, at = run.servers.bare("echo", "adaptive", None)
    client = run.native("adaptive", None)
    count = run.settings.idle
    with server.awake():
        _, memory_before, descriptors_before = server_cost(server.pid)
        client.ask("idle", at, count)
        time.sleep(0.5)
        cpu, memory, descriptors = server_cost(server.pid)
        time.sleep(run.settings.idle_s)
        used = server_cost(server.pid)[0] - cpu
        client.ask("load", run.folder / "gbm")  # this request closes the idle clients
    run.report.notes.append(
        f"{count} idle clients: {used:.3f} CPU seconds in {run.settings.idle_s:g} s"
    )
    run.report.bars.append(Bar("idle_1000_cpu_percent", 100 * used / run.settings.idle_s, 1.0))
    run.report.bars.append(Bar("idle_client_kib", (memory - memory_before) / count, 64.0))
    run.report.bars.append(
        Bar("idle_client_descriptors", (descriptors - descriptors_before) / count, 2.0)
    )


def print_report(report: Report) -> None:
    for scenario in dict.fromkeys(row["scenario"] for row in report.rows):
        rows = [row for row in report.rows if row["scenario"] == scenario]
        head, more = ["approach", "p50", "p99"], []
        if "calls_per_s" in rows[0]:
            head, more = (
                [*head, "calls/s", "least", "most"],
                ["calls_per_s", "calls_per_s_least", "calls_per_s_most"],
            )
        print(f"\n{scenario}: us")
        print_table(
            head,
            [
                [
                    row["approach"],
                    f"{row['p50_us']:.2f}",
                    f"{row['p99_us']:.2f}",
                    *(str(row[key]) for key in more),
                ]
                for row in rows
            ],
        )
    print("\n" + "\n".join(report.notes))


def find_places() -> dict[str, Place]:
    cpus = sorted(os.sched_getaffinity(0))
    places = {"one core": Place("one core", cpus[0], cpus[0])}
    if len(cpus) > 1:
        places = {"two cores": Place("two cores", cpus[0], cpus[1])} | places
    return places


def main() -> int:
    options = parse(__doc__, "shm")
    note = run_on_onnxruntime()
    report = Report(
        "shm",
        describe_versions(["sidecall", "numpy", "onnxruntime", "scikit-learn"])
        | {"iceoryx": iceoryx_version()},
    )
    report.notes.append(note)
    library = find_in_package("onnxruntime", "capi/libonnxruntime.so.*")
    environment = {"SIDECALL_ONNXRUNTIME": str(library), "ORT_DISABLE_TELEMETRY": "1"}
    places = find_places()
    # If SIGTERM arrives while a server is just starting, the server may still write into the
    # folder.
    with (
        tempfile.TemporaryDirectory(prefix="sidecall-", ignore_cleanup_errors=True) as name,
        ExitStack() as stack,
    ):
        folder = Path(name)
        (gbm,) = write_workloads(folder, 1, ["gbm"])
        servers = stack.enter_context(Servers(options.build.resolve(), folder, environment))
        run = Run(
            Settings(options.quick),
            options.build.resolve(),
            folder,
            stack,
            report,
            servers,
            places,
            environment,
        )
        place = next(iter(places.values()))
        measure_echo(run)
        measure_payload(run, place)
        measure_gbm(run, gbm, place)
        measure_crowd(run, gbm)
        measure_queue(run, gbm)
        measure_idle(run)
        servers.resume()
        if run.faults:
            raise WrongAnswerError("\n".join(dict.fromkeys(run.faults)))
    path = report.write(options.output)
    print_report(report)
    print(f"\nwritten to {path}")
    report.print_bars()
    return 0


def iceoryx_version() -> str:
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Version}", "iceoryx"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout or "unknown"


if __name__ == "__main__":
    sys.exit(guarded(main))
