"""outcomes_client.py URI MODE ASKED...: like outcomes_client.c."""

import asyncio
import sys

import numpy as np
import sidecall

LONG, SHORT, MOMENT = 10.0, 0.02, 0.01
WAIT = 1000  # as in outcomes_server.c


def inputs_of(model: sidecall.Model, asked: int) -> dict[str, np.ndarray]:
    """The input of the server is `asked`. The model file has `x` and `n`, a number of rounds."""
    if model.inputs[0].name == "asked":
        return {"asked": np.array([asked])}
    return {"x": np.zeros(1, np.float32), "n": np.array(10**9 if asked == WAIT else 0)}


async def started(model: sidecall.Model, mode: str, asked: int) -> None:
    timeout = SHORT if mode == "timed-out-asynchronous" else LONG
    run = asyncio.ensure_future(model.arun(inputs_of(model, asked), timeout=timeout))
    if mode in ("cancelled", "abandoned"):
        await asyncio.sleep(MOMENT)
        run.cancel()
    if mode == "abandoned":
        await asyncio.gather(run, return_exceptions=True)
        await model.arun(inputs_of(model, 0), timeout=LONG)
        return
    await run


def run(model: sidecall.Model, mode: str, asked: int) -> None:
    if mode in ("synchronous", "timed-out"):
        model.run(inputs_of(model, asked), timeout=SHORT if mode == "timed-out" else LONG)
    else:
        asyncio.run(started(model, mode, asked))


def outcome(model: sidecall.Model, mode: str, asked: int) -> str:
    try:
        run(model, mode, asked)
    except sidecall.Error as error:
        return error.code
    except asyncio.CancelledError:
        return "CANCELLED"
    return "OK"


def main() -> None:
    uri, mode, *asked = sys.argv[1:]
    with sidecall.open(uri, allow_exec=True, wait=LONG) as model:
        for each in asked:
            print(outcome(model, mode, int(each)))


main()
