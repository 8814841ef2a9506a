"""`make bench-queues`: kills the consumers of examples/queue, and counts what becomes of messages.

Messages arrive all the time. Half of the kills are at random moments, and half right after a step
of the consumer. In the end each message must have one outcome, and the right one. Writes the table
`queues` and the bar of results/scaleout.json.
"""

import random
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "network"))

from common import (
    Bar,
    Report,
    WrongAnswerError,
    describe_versions,
    find_in_package,
    guarded,
    make_parser,
    print_table,
)
from host import Host, visit
from queue_trial import (
    TRIALS,
    Consumer,
    Sent,
    Trial,
    judge,
    make_messages,
    settled,
    wait_for,
)

BACKLOG = 1000  # messages that wait at least
CHUNK = 200
AFTER_RECEIVE_S, AFTER_START_S = 0.3, 3  # the ranges of the random moments


class Load:
    """Sends messages for as long as it is asked, and remembers what it sent."""

    def __init__(self, trial: Trial, database: Path, seed: int) -> None:
        self._trial, self._database, self._seed = trial, database, seed
        self.sent: dict[str, Sent] = {}

    def send(self, number: int) -> None:
        messages = make_messages(number, self._seed + len(self.sent))
        ids = self._trial.send([message.body for message in messages])
        self.sent |= zip(ids, messages, strict=True)

    def keep_up(self) -> None:
        """Sends more if few messages wait."""
        if len(self.sent) - settled(self._database) < BACKLOG:
            self.send(CHUNK)

    def is_settled(self) -> bool:
        return settled(self._database) == len(self.sent)


def kill_at_random(consumer: Consumer, load: Load, draw: random.Random) -> None:
    """Kills the consumer soon after it receives messages, or at any time after its start."""
    received = consumer.log.stat().st_size
    if draw.random() < 0.5:
        wait_for(
            lambda: load.keep_up() or consumer.log.stat().st_size > received, "messages", consumer
        )
        time.sleep(draw.uniform(0, AFTER_RECEIVE_S))
    else:
        time.sleep(draw.uniform(0, AFTER_START_S))
    consumer.process.kill()


def measure(kind: type[Trial], kills: int, last: int, host: Host) -> dict:
    """The row of a broker. The rate is that of the last messages, while nothing is killed."""
    folder, draw = host.folder, random.Random(kills)
    trial = kind(host, kind.start(host), "trial")
    load = Load(trial, folder / "results.db", seed=kills)
    plan = list(islice((one for step in cycle(trial.steps) for one in ("random", step)), kills))
    load.send(BACKLOG)
    for step in plan:
        with Consumer(trial, folder, step, nth=draw.randint(1, 4)) as consumer:
            if step == "random":
                kill_at_random(consumer, load, draw)
            wait_for(
                lambda one=consumer: load.keep_up() or one.process.poll() is not None, "a kill"
            )
            if consumer.process.returncode != -9:
                raise RuntimeError(f"expected a kill, got {consumer.errors.read_text()[-2000:]}")
    with Consumer(trial, folder) as consumer:
        wait_for(load.is_settled, "all outcomes", consumer)
    load.send(last)
    before = settled(folder / "results.db")
    with Consumer(trial, folder) as consumer:
        wait_for(lambda: settled(folder / "results.db") > before, "messages", consumer)
        first, begin = settled(folder / "results.db"), time.monotonic()
        wait_for(load.is_settled, "all outcomes", consumer)
        rate = (len(load.sent) - first) / (time.monotonic() - begin)
        if consumer.stop() != 0:
            raise RuntimeError(f"expected exit code 0: {consumer.errors.read_text()[-2000:]}")
    if trial.unsettled(folder / "results.db"):
        raise WrongAnswerError(f"{trial.name}: expected no message in the queue, got some")
    verdict, said = judge(trial, folder, load.sent)
    for line in said[:20]:
        print(f"{trial.name}: {line}", file=sys.stderr)
    return {
        "broker": trial.name,
        "messages": len(load.sent),
        "kills": len(plan),
        "lost": verdict.lost,
        "doubled": verdict.doubled,
        "wrong": verdict.wrong,
        "received_again": verdict.redelivered,
        "messages_per_second": round(rate),
    }


def main() -> int:
    build = "the CMake build folder, which has the broker for the Kafka protocol in peers/"
    parser = make_parser(__doc__.splitlines()[0], "scaleout", build)
    parser.add_argument("--kills", type=int, default=100, help="for each broker")
    options = parser.parse_args()
    kills, last = (2, BACKLOG) if options.quick else (options.kills, 10 * BACKLOG)
    rows = []
    for kind in TRIALS:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            library = find_in_package("onnxruntime", "capi/libonnxruntime.so.*")
            with visit(
                build=options.build.resolve(), folder=folder, workloads=folder, onnxruntime=library
            ) as host:
                rows.append(measure(kind, kills, last, host))
        print_table(list(rows[-1]), [[str(value) for value in rows[-1].values()]])
    report = Report("scaleout", describe_versions(["confluent-kafka", "pika"]))
    report.tables["queues"] = rows
    failures = sum(row["lost"] + row["doubled"] + row["wrong"] for row in rows)
    report.bars = [Bar("queue_wrong", failures, 0)]
    report.print_bars()
    if not options.quick or options.output:
        report.write(options.output, keep_others=True)
    if failures:
        raise WrongAnswerError(f"{failures} messages were lost, doubled or wrong")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
