"""examples/queue/consumer.py: what becomes of messages, without a broker.

tests/benchmarks/test_queues.py has the tests with brokers.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sidecall

ROOT = Path(__file__).resolve().parents[2]
MODEL = ROOT / "tests/vectors/models/matrix.onnx"
COMMAND = ROOT / "build/bin/sidecall"
sys.path.insert(0, str(ROOT / "examples/queue"))
from consumer import (  # noqa: E402
    Message,
    Move,
    Outcome,
    Results,
    Scorer,
    StoppedError,
    SupersededError,
    make_parser,
    run,
    settle,
)

GOOD = {"a": 1, "b": 2, "c": True, "d": 0.5}
ANSWER = {"prediction": 621.0}


class Source:
    """A queue in this process."""

    def __init__(self, batches: list[list[Message]] | None = None, stay: bool = False) -> None:
        self.batches, self.dead_letters_stay = batches or [], stay
        self.dead: list[tuple[str | None, str]] = []
        self.acknowledged: list[str | None] = []
        self.pauses: list[float] = []
        self.at_pause: Callable[[], object] = int

    def receive(self, max_messages: int) -> list[Message]:
        if self.batches:
            return self.batches.pop(0)
        os.kill(os.getpid(), signal.SIGTERM)
        return []

    def publish_dead(self, rejected: list[tuple[Message, Outcome]]) -> None:
        self.dead += [(message.id, outcome.code) for message, outcome in rejected]

    def moves(self, messages: list[Message]) -> list[Move]:
        return []

    def acknowledge(self, messages: list[Message]) -> None:
        self.acknowledged += [message.id for message in messages]

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.at_pause()


class Model:
    """Answers records, except for those whose number is in `errors`; these fail the whole call."""

    def __init__(self, errors: dict[int, list[sidecall.Error]]) -> None:
        self.errors, self.calls = errors, 0

    def predict(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.calls += 1
        for record in records:
            left = self.errors.get(record["number"])
            if left:
                raise left.pop()
        return [{"answer": record["number"]} for record in records]


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(str(tmp_path / "results.db"))


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIDECALL_ENGINE", "native")


def message(identity: str | None, value: object) -> Message:
    return Message(
        identity, value if isinstance(value, bytes) else json.dumps(value).encode(), None
    )


def scorer_of(
    source: Source, model: Model | str, *, stop: bool = False, attempts: int = 3
) -> Scorer:
    is_uri = isinstance(model, str)
    scorer = Scorer(model if is_uri else "", 10, attempts, source, stop)
    scorer._model = None if is_uri else model
    return scorer


def numbers(count: int) -> list[Message]:
    return [message(f"m{i}", {"number": i}) for i in range(count)]


def codes(results: Results, count: int) -> list[str | None]:
    known = results.known([f"m{i}" for i in range(count)])
    return [known[f"m{i}"].code for i in range(count)]


def test_each_message_has_one_outcome_however_often_it_arrives(
    results: Results, engine: None
) -> None:
    source = Source()
    scorer = scorer_of(source, str(MODEL))
    first = [message("m0", GOOD), message("m1", GOOD), message("m0", GOOD)]
    settle(first, source, scorer, results)
    settle([message("m1", {**GOOD, "a": 2}), message("m2", GOOD)], source, scorer, results)
    found = results.known(["m0", "m1", "m2", "m3"])
    assert {key: json.loads(value.answer) for key, value in found.items()} == dict.fromkeys(
        ["m0", "m1", "m2"], ANSWER
    )
    assert source.acknowledged == ["m0", "m1", "m0", "m1", "m2"]
    assert source.dead == []


@pytest.mark.parametrize(
    ("body", "code", "error"),
    [
        (b"\xff", "INVALID_JSON", "message: expected JSON, got another text"),
        (b"", "INVALID_JSON", "message: expected JSON, got another text"),
        (b'{"a": NaN}', "INVALID_JSON", "message: expected JSON, got another text"),
        (b'{"a": 1, "a": 1}', "INVALID_JSON", "message: expected JSON, got another text"),
        (b"[" * 100_000, "INVALID_JSON", "message: expected JSON, got another text"),
        (
            b'{"a": -1e999, "b": 2, "c": true, "d": 0.5}',
            "OUT_OF_RANGE",
            "message: expected numbers of float64, got a larger one",
        ),
        (b"[1]", "INVALID_JSON", "message: expected a JSON object, got another value"),
        (b'{"c": true}', "MISSING_VALUE", "feature 'd': expected float32, got a missing value"),
        (
            b'{"a": "1", "b": "2", "c": true, "d": 0}',
            "DTYPE_MISMATCH",
            "feature 'a': expected float32, got string; feature 'b': expected int64, got string",
        ),
    ],
)
def test_a_message_that_cannot_be_scored_is_a_dead_letter_and_the_others_are_scored(
    results: Results, engine: None, body: bytes, code: str, error: str
) -> None:
    source = Source()
    batch = [message("m0", GOOD), message("m1", body), message("m2", GOOD)]
    settle(batch, source, scorer_of(source, str(MODEL)), results)
    assert codes(results, 3) == [None, code, None]
    assert results.known(["m1"])["m1"].error == error
    assert source.dead == [("m1", code)]
    assert source.acknowledged == ["m0", "m1", "m2"]


def test_answers_that_are_not_finite_are_stored_as_null(results: Results) -> None:
    answer = {"a": float("nan"), "b": [1.5, float("-inf"), "x"], "c": {"d": float("inf")}}
    model = Model({})
    model.predict = lambda records: [answer for _ in records]
    settle(numbers(1), source := Source(), scorer_of(source, model), results)
    stored = '{"a": null, "b": [1.5, null, "x"], "c": {"d": null}}'
    assert results.known(["m0"])["m0"].answer == stored


def test_a_message_without_an_id_is_a_dead_letter(results: Results, engine: None) -> None:
    source = Source()
    batch = [message(None, GOOD), message("m0", GOOD), message("", GOOD)]
    settle(batch, source, scorer_of(source, str(MODEL)), results)
    assert source.dead == [(None, "MISSING_VALUE"), ("", "MISSING_VALUE")]
    assert codes(results, 1) == [None]
    assert results.known([""]) == {}


@pytest.mark.parametrize("stay", [False, True])
def test_a_dead_letter_of_an_earlier_delivery_is_published_again_unless_it_stays(
    results: Results, stay: bool
) -> None:
    source = Source(stay=stay)
    scorer = scorer_of(source, Model({}))
    results.write({"m0": Outcome(code="INVALID_JSON", error="..."), "m1": Outcome("{}")}, [])
    settle([message("m0", b"no"), message("m1", b"no")], source, scorer, results)
    assert source.dead == ([] if stay else [("m0", "INVALID_JSON")])


@pytest.mark.parametrize("is_first_rejected", [False, True])
def test_two_consumers_that_score_one_message_follow_the_outcome_that_is_stored(
    results: Results, is_first_rejected: bool
) -> None:
    first = Outcome(code="TIMEOUT", error="...") if is_first_rejected else Outcome("{}")

    class Other(Model):
        """Another consumer settles the message while this one scores it."""

        def predict(self, records: list[dict[str, Any]]) -> list[dict[str, Any]]:
            results.write({"m0": first}, [])
            return super().predict(records)

    source = Source()
    errors = [] if is_first_rejected else [sidecall.errors.ShapeMismatch("rows")]
    settle(numbers(1), source, scorer_of(source, Other({0: errors})), results)
    assert results.known(["m0"]) == {"m0": first}
    assert source.dead == ([("m0", "TIMEOUT")] if is_first_rejected else [])
    assert source.acknowledged == ["m0"]


def test_outcomes_and_positions_are_written_both_or_neither(results: Results) -> None:
    assert results.position("log/0", 7) == 7
    assert results.position("log/0", 0) == 7
    results.write({"m0": Outcome("{}")}, [Move("log/0", 7, 9)])
    for move in (Move("log/0", 7, 8), Move("log/1", 0, 1)):
        with pytest.raises(SupersededError, match=r"another consumer has moved log/[01]"):
            results.write({"m1": Outcome("{}")}, [Move("log/0", 9, 10), move])
    assert results.position("log/0", 0) == 9
    assert results.known(["m0", "m1"]) == {"m0": Outcome("{}")}


def test_a_server_that_is_away_is_awaited(results: Results, tmp_path: Path) -> None:
    source, address = Source(), f"shm:{tmp_path}/model.sock"
    servers = []

    def serve() -> None:
        if len(source.pauses) == 2:
            servers.append(
                subprocess.Popen([COMMAND, "serve", f"{MODEL}?engine=native", "--at", address])
            )
            wait = [COMMAND, "status", address, "--ready", "--wait", "60"]
            subprocess.run(wait, check=True, stdout=subprocess.DEVNULL)

    source.at_pause = serve
    try:
        settle([message("m0", GOOD)], source, scorer_of(source, address), results)
    finally:
        for server in servers:
            server.terminate()
            server.wait(30)
    assert json.loads(results.known(["m0"])["m0"].answer) == ANSWER
    assert source.pauses == [0.1, 0.2]


def test_a_consumer_that_is_stopped_while_it_waits_settles_nothing(
    results: Results, tmp_path: Path
) -> None:
    source = Source()
    scorer = scorer_of(source, f"shm:{tmp_path}/nowhere.sock", stop=True)
    with pytest.raises(StoppedError):
        settle([message("m0", GOOD)], source, scorer, results)
    assert results.known(["m0"]) == {}
    assert source.acknowledged == source.dead == source.pauses == []


@pytest.mark.parametrize(
    "error", [sidecall.errors.PeerDied, sidecall.errors.Timeout, sidecall.errors.Engine]
)
def test_a_message_that_breaks_the_model_is_isolated_and_rejected(
    results: Results, error: type[sidecall.Error]
) -> None:
    source, model = (
        Source(),
        Model(
            {5: [error("gone", retryable=error is not sidecall.errors.Engine) for _ in range(20)]}
        ),
    )
    settle(numbers(8), source, scorer_of(source, model), results)
    assert codes(results, 8) == [None] * 5 + [error.code] + [None] * 2
    assert source.dead == [("m5", error.code)]
    assert source.pauses == [0.1] * 3 + [0.1, 0.2]  # three halvings, and between three attempts


def test_a_message_is_tried_for_ever_if_no_number_of_attempts_is_set(results: Results) -> None:
    source = Source()
    model = Model({0: [sidecall.errors.PeerDied("gone", retryable=True)] * 20})
    settle(numbers(1), source, scorer_of(source, model, attempts=0), results)
    assert codes(results, 1) == [None]
    assert len(source.pauses) == 20
    assert max(source.pauses) == 5


def test_a_server_that_dies_once_costs_no_message(results: Results) -> None:
    for lost in (1, 3):
        source = Source()
        model = Model({2: [sidecall.errors.PeerDied("gone", retryable=True)] * lost})
        settle(numbers(4), source, scorer_of(source, model), results)
        assert codes(results, 4) == [None] * 4
        assert source.dead == []


def test_a_fault_that_names_no_row_is_found_by_scoring_fewer_messages(results: Results) -> None:
    source, model = Source(), Model({1: [sidecall.errors.ShapeMismatch("rows")] * 20})
    settle(numbers(4), source, scorer_of(source, model), results)
    assert codes(results, 4) == [None, "SHAPE_MISMATCH", None, None]
    assert source.pauses == [0.1] * 2


def test_an_error_that_no_waiting_cures_ends_the_consumer_and_settles_nothing(
    results: Results,
) -> None:
    source, model = Source(), Model({1: [sidecall.errors.ContractChanged("changed")]})
    with pytest.raises(sidecall.errors.ContractChanged):
        settle(numbers(4), source, scorer_of(source, model), results)
    assert results.known(["m0", "m1"]) == {}
    assert source.acknowledged == []


@pytest.fixture
def handlers() -> Any:
    """The signal handlers of pytest, after the test."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_sigterm_ends_the_loop_after_what_was_received(
    results: Results, engine: None, handlers: None
) -> None:
    source = Source([[message("m0", GOOD)], [message("m1", GOOD)]])
    run(source, results, argparse.Namespace(model=MODEL, timeout=10, attempts=3, batch=10))
    assert source.acknowledged == ["m0", "m1"]


def test_a_model_that_cannot_be_opened_ends_the_consumer_before_it_receives(
    results: Results, handlers: None
) -> None:
    source = Source([[message("m0", GOOD)]])
    options = argparse.Namespace(model="nowhere.onnx", timeout=10, attempts=3, batch=10)
    with pytest.raises(sidecall.errors.FileNotFound, match=r"'nowhere\.onnx': no such file"):
        run(source, results, options)
    assert len(source.batches) == 1


@pytest.mark.parametrize("value", ["0", "-1", "many"])
def test_a_batch_that_is_not_positive_is_refused(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        make_parser("").parse_args(["--model", "m", "--results", "r", "--batch", value])
    assert f"--batch: invalid positive value: '{value}'" in capsys.readouterr().err
