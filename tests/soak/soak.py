"""`make soak MINUTES=30`: runs clients in every language against every kind of server.

Meanwhile processes are killed, stopped and restarted with other models, disks are full, descriptors
run out, and clocks jump. Every call must have exactly one outcome: the right answer, or an error
that an event at the same time explains. Processes that live through the run must not grow, and
nothing may be left behind. Prints the outcomes by language, the events and the memory. If the soak
takes half an hour or more, adds them and the bars to benchmarks/results/reliability.json.

The processes run in new namespaces. In a PID namespace, every process that is left behind is found;
in a mount namespace, small file systems can be mounted that become full. This needs root, or a
system where users may create namespaces.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/vectors"))

import soak_memory
import soak_models
from common import Bar, Report, describe_versions, guarded, print_table
from soak_events import Disturber, set_clock
from soak_fleet import FAKETIME, KINDS, LANGUAGES, SILENCE_SECONDS, Group, Site
from soak_judge import ALLOWED

HERE = Path(__file__).resolve().parent
MINUTES_OF_REPORT = 30
MIN_CALLS = 300_000
MIN_KILLS = 200
KILLS = ("server killed", "worker killed", "client killed", "command killed")
MOST_DEFECTS_PRINTED = 50
END_SECONDS = 10.0  # by then every process whose parent was killed must have ended
# The options of the small file system that holds a server's socket, lock file and log.
DISK = "size=1m,nr_inodes=32"


class Soak:
    def __init__(self, build: Path, folder: Path, seconds: float, seed: str):
        self._seconds, self._seed = seconds, seed
        self._site = Site(build, folder)
        self._over = threading.Event()
        for name in ("models", "clocks", "logs", "servers"):
            (folder / name).mkdir()
        soak_models.write(self._site.models)
        self.groups = [
            Group(kind, is_calm, self._site) for kind in KINDS for is_calm in (True, False)
        ]
        self._clients = [client for group in self.groups for client in group.clients]
        self.left_behind: list[str] = []
        self._watcher = soak_memory.Watcher(self._subjects, max(0.5, seconds / 300), self._over)

    def _subjects(self) -> Iterator[tuple[str, list[int]]]:
        for group in self.groups:
            if group.is_calm:
                yield from group.subjects()

    def run(self) -> None:
        self._prepare()
        # In a short run the pauses are shorter, so that each event happens about once.
        pause = min(2.0, self._seconds / 40)
        disturbers = [Disturber(group, self._seed, pause, self._over) for group in self.groups]
        for disturber in disturbers:
            disturber.start_all()
        threads = [self._watcher, *disturbers]
        for thread in threads:
            thread.start()
        until = time.monotonic() + self._seconds
        while time.monotonic() < until or not all(each.has_had_all for each in disturbers):
            time.sleep(0.5)
            self._look_for_silence()
        self._over.set()
        for thread in threads:
            thread.join()
        self._end()

    def _prepare(self) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "none", "/dev/shm"], check=True)
        for group in self.groups:
            group.folder.mkdir()
            subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "none", group.folder], check=True)
            for client in group.clients:
                client.log.parent.mkdir(exist_ok=True)
                set_clock(client.clock, 0)
            if group.server is not None:
                set_clock(group.server.clock, 0)

    def _look_for_silence(self) -> None:
        for group in self.groups:
            for client in group.clients:
                if time.monotonic() - client.last_line > SILENCE_SECONDS:
                    group.history.add_defect(f"{client.name}: no outcome for {SILENCE_SECONDS} s")
                    client.last_line = float("inf")

    def _end(self) -> None:
        for client in self._clients:
            client.end()
        for group in self.groups:
            if group.server is not None:
                group.server.drain()
            kept = {"log", *(client.log.name for client in group.clients)}
            self._leave_behind(path for path in group.folder.iterdir() if path.name not in kept)
            self._look_at_logs(group)
        self._leave_behind(Path("/dev/shm").iterdir())
        self.left_behind += [f"process: {words}" for words in self._remaining_processes()]

    def _remaining_processes(self) -> list[str]:
        """The command lines of the processes that still exist after END_SECONDS.

        This process is the first of its PID namespace, so processes whose parent was killed become
        its children, and it must reap them.
        """
        until = time.monotonic() + END_SECONDS
        while True:
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass
            found = []
            for folder in Path("/proc").glob("[0-9]*"):
                if folder.name != str(os.getpid()):
                    with suppress(FileNotFoundError, ProcessLookupError):
                        words = (folder / "cmdline").read_bytes()
                        found.append(words.replace(b"\0", b" ").decode())
            if not found or time.monotonic() > until:
                return found
            time.sleep(0.1)

    def _leave_behind(self, paths: Iterable[Path]) -> None:
        self.left_behind += [f"file: {path}" for path in paths]

    def _look_at_logs(self, group: Group) -> None:
        """Adds a defect for each client that wrote to stderr.

        The command may write there. Servers of exec: write their log there too.
        """
        for client in group.clients:
            said = client.log.read_text()
            if said and group.kind != "exec" and client.language != "command":
                group.history.add_defect(f"{client.name} wrote to stderr: {said[-2000:]}")

    # The report.

    def defects(self, memory: list[dict]) -> list[str]:
        return [
            *(defect for group in self.groups for defect in group.history.defects),
            *soak_memory.defects(memory, self._seconds / 60),
            *(f"left behind: {each}" for each in self.left_behind),
        ]

    def memory(self) -> list[dict]:
        return self._watcher.rows()

    def outcomes(self) -> list[dict]:
        rows = []
        for language in LANGUAGES:
            counts: Counter = Counter()
            for client in self._clients:
                if client.language == language:
                    counts += client.counts
            rows.append(
                {
                    "language": language,
                    "calls": counts.total(),
                    "outcomes": dict(sorted(counts.items())),
                }
            )
        return rows

    def events(self) -> list[dict]:
        counts: Counter = Counter(dict.fromkeys((*ALLOWED, "other model", "other signature"), 0))
        for group in self.groups:
            counts.update(group.history.counts)
        return [{"event": kind, "times": times} for kind, times in counts.items()]


def print_report(outcomes: list[dict], events: list[dict], memory: list[dict]) -> None:
    statuses = sorted({status for row in outcomes for status in row["outcomes"]})
    print_table(
        ["language", "calls", *statuses],
        [
            [
                row["language"],
                str(row["calls"]),
                *(str(row["outcomes"].get(each, 0)) for each in statuses),
            ]
            for row in outcomes
        ],
    )
    print()
    print_table(["event", "times"], [[row["event"], str(row["times"])] for row in events])
    print()
    figures = [key for key in memory[0] if key != "process"] if memory else []
    print_table(
        ["process", *figures],
        [[row["process"], *(str(row[figure]) for figure in figures)] for row in memory],
    )


def soak(options: argparse.Namespace) -> int:
    run = Soak(options.build.resolve(), options.inside, 60 * options.minutes, options.seed)
    run.run()
    outcomes, events, memory = run.outcomes(), run.events(), run.memory()
    defects = run.defects(memory)
    print_report(outcomes, events, memory)
    for defect in defects[:MOST_DEFECTS_PRINTED]:
        print(f"defect: {defect}")
    kills = sum(row["times"] for row in events if row["event"] in KILLS)
    report = Report("reliability", describe_versions(["numpy", "onnxruntime"]))
    report.tables |= {"soak": outcomes, "soak_events": events, "soak_memory": memory}
    calls = min(row["calls"] for row in outcomes)
    report.bars = [
        Bar("soak_calls_per_language", calls, MIN_CALLS, at_least=True),
        Bar("soak_kills", kills, MIN_KILLS, at_least=True),
        Bar("soak_defects", len(defects), 0),
    ]
    report.print_bars()
    is_whole = options.minutes >= MINUTES_OF_REPORT
    if options.output is not None or is_whole:
        report.write(options.output, keep_others=True)
    return 1 if defects or (is_whole and not all(bar.holds for bar in report.bars)) else 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, required=True, help="the CMake build folder")
    parser.add_argument("--minutes", type=float, default=MINUTES_OF_REPORT)
    parser.add_argument("--seed", default="0", help="chooses the events and their moments")
    parser.add_argument("--output", type=Path, help="JSON file to write after a soak of any length")
    parser.add_argument("--inside", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> int:
    options = parse()
    if options.inside is not None:
        del sys.argv[-2:]  # the report shows the command that the user typed
        return soak(options)
    if not FAKETIME:
        print("soak: expected Debian's package libfaketime, got none", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="sidecall-soak-"))
    user = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    namespaces = ["unshare", *user, "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
    words = [*namespaces, sys.executable, str(HERE / "soak.py"), *sys.argv[1:], "--inside", folder]
    try:
        return subprocess.run(words, check=False).returncode
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(guarded(main))
