"""benchmarks/scaleout/queues.py: consumers of examples/queue with real brokers are killed."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from functools import partial
from pathlib import Path

import pytest
from sessions import Session
from snippets import matches, snippets_of

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("SIDECALL_BUILD", ROOT / "build"))
sys.path.insert(0, str(ROOT / "benchmarks/network"))
sys.path.insert(0, str(ROOT / "benchmarks/scaleout"))
import queues  # noqa: E402
from approaches.kafka import create_topic  # noqa: E402
from host import Host, free_port, visit  # noqa: E402
from queue_trial import (  # noqa: E402
    MODEL,
    POISON,
    Consumer,
    KafkaTrial,
    RabbitMqTrial,
    Sent,
    Trial,
    Verdict,
    judge,
    make_messages,
    settled,
    wait_for,
)

SMALL = ("--batch", "10")


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Generator[Host, None, None]:
    folder = tmp_path_factory.mktemp("brokers")
    with visit(build=BUILD, folder=folder, workloads=folder, onnxruntime=folder) as host:
        yield host


@pytest.fixture(scope="module")
def addresses() -> dict[type[Trial], str]:
    """The brokers that run, each from the first test on that needs it."""
    return {}


@pytest.fixture(params=[RabbitMqTrial, KafkaTrial])
def kind(request: pytest.FixtureRequest) -> type[Trial]:
    return request.param


@pytest.fixture
def trial(
    kind: type[Trial], addresses: dict[type[Trial], str], host: Host, tmp_path: Path
) -> Trial:
    """A queue or topic of its own, which has the name of the test's folder."""
    if kind not in addresses:
        addresses[kind] = kind.start(host)
    return kind(host, addresses[kind], tmp_path.name)


for_rabbitmq = pytest.mark.parametrize("kind", [RabbitMqTrial])
for_kafka = pytest.mark.parametrize("kind", [KafkaTrial])


def send(trial: Trial, messages: list[Sent]) -> dict[str, Sent]:
    return dict(zip(trial.send([message.body for message in messages]), messages, strict=True))


def has_settled(folder: Path, number: int) -> bool:
    return settled(folder / "results.db") >= number


def finish(trial: Trial, folder: Path, sent: dict[str, Sent], model: str = str(MODEL)) -> None:
    """Lets a consumer settle the rest; then each message must have its one outcome."""
    with Consumer(trial, folder, model=model, options=SMALL) as consumer:
        wait_for(partial(has_settled, folder, len(sent)), "all outcomes", consumer)
        assert consumer.stop() == 0
    check(trial, folder, sent)


def check(trial: Trial, folder: Path, sent: dict[str, Sent]) -> Verdict:
    assert trial.unsettled(folder / "results.db") == 0
    verdict, said = judge(trial, folder, sent)
    assert said == []
    return verdict


def test_a_kill_after_any_step_loses_and_doubles_nothing(trial: Trial, tmp_path: Path) -> None:
    sent = send(trial, make_messages(400, seed=1, poison_share=0.2))
    for step in trial.steps:
        with Consumer(trial, tmp_path, step, nth=2, options=SMALL) as consumer:
            assert consumer.wait() == -9, step
    finish(trial, tmp_path, sent)


def test_each_kind_of_bad_message_becomes_a_dead_letter_with_its_error(
    trial: Trial, tmp_path: Path
) -> None:
    good = make_messages(20, seed=2, poison_share=0)
    sent = send(trial, [*(Sent(body, None, code) for body, code in POISON), *good])
    finish(trial, tmp_path, sent)


def test_sigterm_ends_the_consumer_with_0_and_the_next_one_goes_on(
    trial: Trial, tmp_path: Path
) -> None:
    sent = send(trial, make_messages(1000, seed=3))
    with Consumer(trial, tmp_path, options=SMALL) as consumer:
        wait_for(partial(has_settled, tmp_path, 1), "outcomes", consumer)
        assert consumer.stop() == 0
    assert (tmp_path / "errors").read_text() == ""
    finish(trial, tmp_path, sent)
    received = (tmp_path / "received").read_text().split()
    assert len(received) == len(sent)  # what was received was settled, so nothing came again


@pytest.mark.parametrize("route", ["shm", "http"])
def test_a_model_server_that_is_away_or_killed_costs_no_message(
    trial: Trial, host: Host, network_library: Path, tmp_path: Path, route: str
) -> None:
    address = f"shm:{tmp_path}/model.sock"
    serve = [host.sidecall, "serve", f"{MODEL}?engine=native", "--at", address]
    model, port = address, free_port()
    if route == "http":
        serve += ["--http", f"127.0.0.1:{port}"]
        model = f"http://127.0.0.1:{port}/matrix"
    sent = send(trial, make_messages(1000, seed=4))
    with Consumer(trial, tmp_path, model=model, options=SMALL) as consumer:
        log = tmp_path / "errors"
        wait_for(lambda: b"waiting for the model" in log.read_bytes(), "a warning", consumer)
        for wanted in (1, len(sent)):  # after the first outcomes the server is killed
            with subprocess.Popen(serve, stderr=subprocess.DEVNULL) as server:
                wait_for(partial(has_settled, tmp_path, wanted), "outcomes", consumer)
                server.kill()
        assert consumer.stop() == 0
    check(trial, tmp_path, sent)


def test_a_consumer_says_why_it_cannot_start(trial: Trial, tmp_path: Path) -> None:
    missing = [word if word != tmp_path.name else "missing" for word in trial.arguments]
    trial.arguments = missing
    with Consumer(trial, tmp_path) as consumer:
        assert consumer.wait() == 1
    said = (tmp_path / "errors").read_text()
    assert said.count("\n") == 1
    assert re.match(r"ChannelClosedByBroker: .*'missing'|KafkaException: .*[Uu]nknown topic", said)


@for_rabbitmq
def test_messages_without_an_id_are_dead_letters(trial: Trial, tmp_path: Path) -> None:
    (good,) = make_messages(1, seed=5, poison_share=0)
    strange = (None, "", b"\xff")
    for identity in strange:
        trial.send_one(identity, good.body)
    trial.send_one("m0", good.body)  # an id that comes twice is one message
    sent = send(trial, [good])
    with Consumer(trial, tmp_path) as consumer:
        wait_for(partial(has_settled, tmp_path, 1), "an outcome", consumer)
        assert consumer.stop() == 0
    letters = trial.dead_letters()
    assert letters == [(identity, good.body, "MISSING_VALUE") for identity in strange]
    check(trial, tmp_path, sent)


@for_rabbitmq
def test_queues_that_share_a_database_may_have_the_same_ids(
    trial: Trial, addresses: dict[type[Trial], str], host: Host, tmp_path: Path
) -> None:
    other = RabbitMqTrial(host, addresses[RabbitMqTrial], f"{tmp_path.name}-other")
    sent = {}
    for number, one in enumerate((trial, other)):
        sent |= send(one, make_messages(3, seed=number, poison_share=0))
        with Consumer(one, tmp_path) as consumer:
            wait_for(partial(has_settled, tmp_path, len(sent)), "outcomes", consumer)
            assert consumer.stop() == 0
    assert len(sent) == 6
    check(trial, tmp_path, sent)


@for_rabbitmq
def test_a_dead_letter_goes_to_its_queue_alone_and_names_no_user(
    trial: Trial, tmp_path: Path
) -> None:
    channel, copies = trial.connection.channel(), f"{tmp_path.name}-copies"
    channel.queue_declare(copies, durable=True)
    headers = {"CC": [copies], "BCC": [copies], "kept": "yes"}
    trial.send_one("m0", b"no", user_id="guest", headers=headers)
    trial.send([])
    with Consumer(trial, tmp_path) as consumer:
        wait_for(partial(has_settled, tmp_path, 1), "an outcome", consumer)
        assert consumer.stop() == 0
    _, properties, body = channel.basic_get(f"{tmp_path.name}.dead", auto_ack=True)
    assert (body, properties.message_id, properties.user_id) == (b"no", "m0", None)
    assert properties.headers["kept"] == "yes"
    assert not properties.headers.keys() & {"CC", "BCC"}
    # Only the sender's own copies are there.
    assert channel.queue_declare(copies, passive=True).method.message_count == 1


@for_rabbitmq
def test_a_consumer_ends_when_its_queue_is_deleted_or_there_is_no_broker(
    trial: Trial, tmp_path: Path
) -> None:
    sent = send(trial, make_messages(1, seed=6, poison_share=0))
    with Consumer(trial, tmp_path) as consumer:
        wait_for(partial(has_settled, tmp_path, len(sent)), "an outcome", consumer)
        trial.connection.channel().queue_delete(tmp_path.name)
        assert consumer.wait() == 1
    trial.arguments = ["--url", f"amqp://127.0.0.1:{free_port()}/", "--queue", "q"]
    with Consumer(trial, tmp_path) as consumer:
        assert consumer.wait() == 1
    said = (tmp_path / "errors").read_text().splitlines()
    assert said[0] == "AMQPError: the broker has ended the consumer: is the queue deleted?"
    assert said[1].startswith("AMQPConnectionError: ")
    assert len(said) == 2


def freeze(consumer: Consumer, database: Path) -> None:
    """Stops the process at a moment at which it does not hold the lock of the database."""
    connection = sqlite3.connect(database, timeout=0, isolation_level=None)
    while True:
        consumer.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, consumer.process.pid, os.WSTOPPED)
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            consumer.process.send_signal(signal.SIGCONT)
        else:
            return connection.close()


@for_rabbitmq
def test_a_dead_letter_that_has_no_queue_is_not_acknowledged(trial: Trial, tmp_path: Path) -> None:
    good = make_messages(1, seed=8, poison_share=0)
    sent = send(trial, good)
    with Consumer(trial, tmp_path) as consumer:
        wait_for(partial(has_settled, tmp_path, 1), "an outcome", consumer)
        trial.connection.channel().queue_delete(f"{tmp_path.name}.dead")
        sent |= send(trial, [Sent(b"no", None, "INVALID_JSON")])
        assert consumer.wait() == 1
    assert f"no queue '{tmp_path.name}.dead'" in (tmp_path / "errors").read_text()
    with Consumer(trial, tmp_path) as consumer:  # creates the queue
        wait_for(lambda: consumer.log.read_text().count("\n") == 3, "a redelivery", consumer)
        assert consumer.stop() == 0
    check(trial, tmp_path, sent)


@for_kafka
def test_a_frozen_consumer_whose_partition_another_one_took_over_ends(
    trial: Trial, tmp_path: Path
) -> None:
    sent = send(trial, make_messages(1000, seed=7, poison_share=0))
    with Consumer(trial, tmp_path, options=SMALL) as first:
        wait_for(partial(has_settled, tmp_path, 1), "outcomes", first)
        freeze(first, tmp_path / "results.db")
        # It may have settled them all, so the other one must get more.
        sent |= send(trial, make_messages(100, seed=9, poison_share=0))
        with Consumer(trial, tmp_path, options=SMALL) as second:
            wait_for(partial(has_settled, tmp_path, len(sent)), "all", second)
            first.process.send_signal(signal.SIGCONT)
            assert first.wait() == 1
            assert second.stop() == 0
    said = (tmp_path / "errors").read_text()
    assert said == f"SupersededError: another consumer has moved {tmp_path.name}/0\n"
    check(trial, tmp_path, sent)


def test_the_page_runs_word_for_word(
    addresses: dict[type[Trial], str],
    host: Host,
    tmp_path: Path,
) -> None:
    """Only the addresses of the brokers are replaced, and nothing is installed."""
    for kind in (RabbitMqTrial, KafkaTrial):
        if kind not in addresses:
            addresses[kind] = kind.start(host)
    for topic in ("penguins", "penguins.dead"):
        create_topic(host, addresses[KafkaTrial], topic)
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "penguins.onnx").symlink_to(MODEL.with_name("penguins.onnx"))
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    sessions = {
        language: Session(language, tmp_path, os.environ | {"PATH": path})
        for language in ("sh", "python")
    }
    places = {
        "amqp://guest:guest@127.0.0.1:5672/%2F": addresses[RabbitMqTrial],
        "127.0.0.1:9092": addresses[KafkaTrial],
        "pip install": "true",
    }
    printed = ""
    try:
        for snippet in snippets_of(ROOT / "docs/deployment/queues.md"):
            code = snippet.code
            for old, new in places.items():
                code = code.replace(old, new)
            if snippet.language == "text":
                assert matches(code, printed), printed
            else:
                printed = sessions[snippet.language].run(code, snippet.place)
    finally:
        for session in sessions.values():
            session.close()


def test_a_dead_letter_that_kafka_does_not_take_ends_the_consumer() -> None:
    from confluent_kafka import KafkaException, Producer
    from kafka_consumer import Kafka

    nowhere = {"bootstrap.servers": f"127.0.0.1:{free_port()}", "message.timeout.ms": 100}
    producer = Producer(nowhere)
    producer.produce("q.dead", b"", on_delivery=partial(Kafka._note_delivery, None))
    with pytest.raises(KafkaException, match="Message timed out"):
        producer.flush(30)


def test_the_judge_counts_what_is_lost_doubled_and_wrong(tmp_path: Path) -> None:
    class Broker:
        def dead_letters(self) -> list[tuple[str, bytes, str]]:
            twice = ("m1", b"no", "INVALID_JSON")
            return [twice, twice, ("m9", b"no", "INVALID_JSON")]

    database = sqlite3.connect(tmp_path / "results.db")
    database.execute("CREATE TABLE outcomes (id, answer, code)")
    rows = [
        ("m0", '{"x": 1}', None),
        ("m1", None, "INVALID_JSON"),
        ("m2", '{"x": 2}', None),  # not what the model answers
        ("m4", None, "INVALID_JSON"),  # without its dead letter
        ("m8", '{"x": 1}', None),  # was not sent
    ]
    database.executemany("INSERT INTO outcomes VALUES (?, ?, ?)", rows)
    database.commit()
    (tmp_path / "received").write_text("m0\nm1\nm0\n")
    sent = {
        "m0": Sent(b"", {"x": 1}),
        "m1": Sent(b"no", None, "INVALID_JSON"),
        "m2": Sent(b"", {"x": 1}),
        "m3": Sent(b"", {"x": 1}),  # has no outcome
        "m4": Sent(b"no", None, "INVALID_JSON"),
    }
    verdict, said = judge(Broker(), tmp_path, sent)
    assert verdict == Verdict(lost=2, doubled=1, wrong=3, redelivered=1)
    assert [line.split(":")[:2] for line in said[:3]] == [
        ["lost", " m3"],
        ["lost", " m4"],
        ["doubled", " m1"],
    ]


def test_the_campaign_writes_its_table_and_its_bar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "scaleout.json"
    words = ["queues.py", "--build", str(BUILD), "--quick", "--output", str(output)]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.setattr(queues, "TRIALS", (KafkaTrial,))  # its broker starts faster
    assert queues.main() == 0
    document = json.loads(output.read_text())
    assert document["bars"] == [{"name": "queue_wrong", "value": 0, "limit": 0, "holds": True}]
    (row,) = document["queues"]
    assert row["broker"] == "Kafka protocol (Tansu)"
    assert row["kills"] == 2
    assert row["messages"] >= 2000
    assert (row["lost"], row["doubled"], row["wrong"]) == (0, 0, 0)
