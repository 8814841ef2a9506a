"""Clients that make a server hold as much memory as it lets them; used by run.py.

They speak the protocol of the channel themselves (tests/interop/client.py), because the library's
client receives every answer and closes what it does not need.
"""

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests/interop"))

import client
import wire
from processes import Server

OUT_OF_MEMORY = wire.STATUS_NUMBERS["OUT_OF_MEMORY"]
MIB = 1 << 20
ENOUGH_REFUSALS = 20
MAX_CONNECTIONS = 500  # below --max-connections-per-user


@dataclass(frozen=True)
class Attack:
    name: str
    model: str
    hold: Callable[["Client"], None]
    options: tuple[str, ...] = ()

    def run(self, server: Server) -> int:
        """Attacks until enough requests or connections were refused. Returns their number."""
        with ExitStack() as stack:
            attacker = Client(client.open(server.address), stack)
            self.hold(attacker)
            time.sleep(0.2)  # long enough for the peak to be sampled
            if client.status(server.address)["memory_bytes"] == 0:
                raise RuntimeError(f"{self.name}: expected memory_bytes above 0, got 0")
            return attacker.refused


class Client:
    """Connections that never receive an answer, and how often the server refused something."""

    def __init__(self, model: client.Model, stack: ExitStack):
        self.model, self._stack, self.refused, self.connections = model, stack, 0, 0

    @property
    def goes_on(self) -> bool:
        return self.refused < ENOUGH_REFUSALS and self.connections < MAX_CONNECTIONS

    def connect(self, slots: int, request: int, response: int = 4096) -> client.Connection | None:
        self.connections += 1
        try:
            return self._stack.enter_context(self.model.connect(slots, request, response))
        except client.Refused as error:
            if error.status != "OUT_OF_MEMORY":
                raise
            self.refused += 1
            return None

    def call(self, connection: client.Connection, slot: int = 0) -> int:
        """Publishes the request in the slot and waits for the status of the answer.

        Leaves unread what the server sends over the socket: answers that do not fit the slot.
        """
        number = connection.publish(slot)
        connection.pending.clear()
        at = wire.HEAD_WORDS + wire.DESCRIPTOR_WORDS * ((number - 1) % connection.slots)
        until = time.monotonic() + 30
        while connection.response_words[at] != number:
            if time.monotonic() > until:
                raise TimeoutError("expected an answer within 30 s, got none")
            time.sleep(0.0002)
        (status, *_) = wire.RESPONSE.unpack(bytes(connection.response[8 * at + 8 : 8 * at + 64]))
        if status not in (0, OUT_OF_MEMORY):
            raise RuntimeError(f"expected OK or OUT_OF_MEMORY, got {status}")
        self.refused += status == OUT_OF_MEMORY
        return status


def numbers(rows: int) -> wire.Tensor:
    return wire.Tensor("float32", (rows, 1024), bytes(4096 * rows))


def hold_answers(attacker: Client) -> None:
    """Answers of 4 MiB that do not fit their slot and are not received."""
    while attacker.goes_on and (connection := attacker.connect(1, 5 * MIB)):
        wire.write_tensors(connection.request_slot(0), [numbers(1024)])
        while attacker.goes_on and attacker.call(connection) == 0:
            pass


def hold_copies(attacker: Client) -> None:
    """Inputs of 4 MiB, copied before the model runs."""
    while attacker.goes_on and (connection := attacker.connect(1, 5 * MIB, 5 * MIB)):
        wire.write_tensors(connection.request_slot(0), [numbers(1024)])
        attacker.call(connection)


def hold_strings(attacker: Client) -> None:
    """Strings of one character, which take the most memory for each byte of the request."""
    strings = wire.Tensor.of_strings(["x"] * 200_000, (200_000,))
    while attacker.goes_on and (connection := attacker.connect(1, 2 * MIB, 2 * MIB)):
        wire.write_tensors(connection.request_slot(0), [strings])
        attacker.call(connection)


def hold_slots(attacker: Client) -> None:
    """Connections with large slots and without a call."""
    while attacker.goes_on:
        attacker.connect(4, 8 * MIB, 8 * MIB)


def hold_sessions(attacker: Client) -> None:
    """Connections that use all of their 64 slots once."""
    while attacker.goes_on and (connection := attacker.connect(64, 8192, 8192)):
        for slot in range(64):
            wire.write_tensors(connection.request_slot(slot), [numbers(1)])
            attacker.call(connection, slot)


ATTACKS = (
    Attack("answers not received", "echo.onnx", hold_answers),
    Attack("copies of numbers", "echo.onnx", hold_copies, ("--copy", "always")),
    Attack("copies of strings", "texts.onnx", hold_strings),
    Attack("large slots", "echo.onnx", hold_slots),
    Attack("many slots", "echo.onnx", hold_sessions),
)
