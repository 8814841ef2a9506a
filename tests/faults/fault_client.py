"""fault_client.py ADDRESS CALLS TIMEOUT_MS: like fault_client.c."""

import sys
import time

import numpy as np
import sidecall


def main() -> int:
    address, calls, timeout = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) / 1000
    try:
        model = sidecall.open(address)
        call = model.call(rows=2)
    except sidecall.Error as error:
        print(f"open {error.code}", flush=True)
        return 1
    print("open OK", flush=True)
    with model, call:
        for number in range(calls):
            expected = np.arange(8, dtype=np.float32).reshape(2, 4) + number
            call.inputs["X"][:] = expected
            try:
                call.run(timeout=timeout)
                outcome = "OK" if np.array_equal(call.outputs["Y"], 2 * expected) else "WRONG"
            except sidecall.Error as error:
                outcome = error.code
            print(number, outcome, flush=True)
            # The next server may take some time to start.
            time.sleep(0.05 if outcome == "UNREACHABLE" else 0.002)
    return 0


sys.exit(main())
