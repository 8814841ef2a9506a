"""loop.py MODEL SHARE: a campaign like that of campaign.h, for the functions of the Python package.

Only every SHARE-th call of each function fails. Needs LD_PRELOAD=libsidecall-inject.so. Prints each
defect, and at the end a line of JSON with the numbers of failures and defects. Gives up after
MOST_DEFECTS defects, without that line.
"""

import asyncio
import ctypes
import errno
import json
import sys
from collections.abc import Callable, Iterator

import numpy as np
import sidecall

inject = ctypes.CDLL(None)
inject.sidecall_inject_name.restype = ctypes.c_char_p
inject.sidecall_inject_errors.restype = ctypes.POINTER(ctypes.c_int)
inject.sidecall_inject_plan.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_long]
inject.sidecall_inject_failed.restype = ctypes.c_long

PENGUIN = {
    "bill_length_mm": 39.1,
    "bill_depth_mm": 18.7,
    "flipper_length_mm": 181,
    "body_mass_g": 3750,
    "island": "Torgersen",
    "sex": "male",
}
LASTING = 1 << 30  # a number of calls that stands for all later calls
MOST_DEFECTS = 10


def functions() -> Iterator[tuple[int, str, list[int]]]:
    """Yields the number, the name and the errors of each function that can fail."""
    number = 0
    while (name := inject.sidecall_inject_name(number)) is not None:
        errors = inject.sidecall_inject_errors(number)
        count = 0
        while errors[count] != 0:
            count += 1
        yield number, name.decode(), errors[:count]
        number += 1


def scenarios(path: str) -> dict[str, Callable[[], None]]:
    model = sidecall.open(path)
    call = model.call()

    def is_adelie(answer: dict) -> None:
        assert answer["label"] == "Adelie", answer

    def opening() -> None:
        sidecall.open(path).close()

    values = PENGUIN | {"year": 2007}
    inputs = {each.name: np.array([[values[each.name]]]) for each in model.inputs}

    def tensors() -> None:
        model.run(inputs)

    def workspace() -> None:
        with model.call(rows=2) as other:
            other.resize(3)
        call.clear()
        for name, value in PENGUIN.items():
            call.set(0, name, value)
        call.run()
        assert call.get(0, "label") == "Adelie"

    return {
        "python-open": opening,
        "python-records": lambda: is_adelie(model.predict(PENGUIN)),
        "python-many-records": lambda: is_adelie(model.predict([PENGUIN] * 3)[2]),
        "python-await": lambda: is_adelie(asyncio.run(model.apredict(PENGUIN))),
        "python-tensors": tensors,
        "python-workspace": workspace,
    }


def attempt(run: Callable[[], None]) -> str | None:
    """Runs a scenario. Returns a text if it ended neither with success nor with a typed error."""
    try:
        run()
    except sidecall.Error as error:
        return f"INTERNAL: {error}" if error.code == "INTERNAL" else None
    except MemoryError:
        return None
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def main() -> int:
    path, share = sys.argv[1], int(sys.argv[2])
    failures, defects = 0, 0
    for name, run in scenarios(path).items():
        for _ in range(3):
            run()
        for function, function_name, errors in functions():
            for error in errors:
                for count in (1, 20 if error == errno.EINTR else LASTING):
                    n = 1 + (7 * function + 3 * error) % share
                    while True:
                        inject.sidecall_inject_plan(function, n, error, count)
                        inject.sidecall_inject_start()
                        wrong = attempt(run)
                        inject.sidecall_inject_stop()
                        was_hit = inject.sidecall_inject_failed() > 0
                        inject.sidecall_inject_plan(0, 0, 0, 0)
                        if wrong is None:
                            try:
                                run()
                            except Exception as after:
                                wrong = f"the next run failed: {type(after).__name__}: {after}"
                        if wrong is not None:
                            defects += 1
                            where = f"{name}: {function_name} call {n}, {count} times, {error}"
                            print(f"{where}: {wrong}", flush=True)
                            if defects == MOST_DEFECTS:
                                return 1
                        if not was_hit:
                            break
                        failures += 1
                        n += share
    print(json.dumps({"failures": failures, "defects": defects}))
    return 1 if defects else 0


sys.exit(main())
