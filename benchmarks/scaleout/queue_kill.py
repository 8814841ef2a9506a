"""Runs a consumer of examples/queue, and kills it with SIGKILL after one of its steps.

queue_kill.py STEP NTH LOG CONSUMER ARGUMENTS...: the NTH time that the consumer does the STEP is
its last. With the step "never" it lives. LOG gets the id of each message that is received.
"""

import importlib
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).resolve().parents[2] / "examples/queue"
sys.path.insert(0, str(EXAMPLES))

STEPS = (
    "receive",  # messages have arrived
    "score",  # their outcomes are known
    "produce",  # dead letters are on their way to Kafka's broker
    "publish_dead",  # dead letters are published, for RabbitMQ in a transaction that is open
    "move",  # the positions have moved, in the transaction of the results, which is open
    "insert",  # the transaction of the results is complete, except for its commit
    "write",  # the results are committed
    "basic_ack",  # RabbitMQ's broker gets an acknowledgement, in a transaction that is open
    "acknowledge",  # the broker has been told
)


class Killer:
    def __init__(self, step: str, nth: int) -> None:
        self._step, self._left = step, nth

    def after(self, step: str) -> None:
        if step == self._step:
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)


def patch(owner: Any, name: str, after: Callable[[Any, tuple], None]) -> None:
    """Calls `after` with the result and the arguments of each call of a function."""
    original = getattr(owner, name)

    def patched(*args: Any, **named: Any) -> Any:
        result = original(*args, **named)
        after(result, args)
        return result

    setattr(owner, name, patched)


def watch_shared(killer: Killer) -> None:
    consumer = importlib.import_module("consumer")
    patch(consumer.Scorer, "score", lambda result, _: result and killer.after("score"))
    patch(consumer.Results, "write", lambda *_: killer.after("write"))

    class Connection(sqlite3.Connection):
        def executemany(self, *args: Any) -> sqlite3.Cursor:
            killer.after("move")
            cursor = super().executemany(*args)
            killer.after("insert")
            return cursor

    def connect(*args: Any, **named: Any) -> sqlite3.Connection:
        return Connection(*args, **named)

    consumer.sqlite3 = type("sqlite3", (), {"connect": connect, "Error": sqlite3.Error})


def watch_source(source: type, killer: Killer, log: Path) -> None:
    def received(messages: list, _: tuple) -> None:
        if messages:
            with log.open("a") as file:
                file.writelines(f"{message.id}\n" for message in messages)
            killer.after("receive")

    patch(source, "receive", received)
    patch(source, "publish_dead", lambda _, args: args[1] and killer.after("publish_dead"))
    patch(source, "acknowledge", lambda *_: killer.after("acknowledge"))


def main() -> int:
    step, nth, log, name, *arguments = sys.argv[1:]
    killer = Killer(step, int(nth))
    watch_shared(killer)
    module = importlib.import_module(name)
    if name == "rabbitmq_consumer":
        from pika.adapters.blocking_connection import BlockingChannel

        watch_source(module.RabbitMq, killer, Path(log))
        patch(BlockingChannel, "basic_ack", lambda *_: killer.after("basic_ack"))
    else:
        watch_source(module.Kafka, killer, Path(log))

        class Producer(module.Producer):
            def flush(self, *args: Any) -> int:
                if len(self):
                    time.sleep(0.01)  # the letters are being sent
                    killer.after("produce")
                return super().flush(*args)

        module.Producer = Producer
    sys.argv = [f"{name}.py", *arguments]
    return module.main()


if __name__ == "__main__":
    sys.exit(main())
