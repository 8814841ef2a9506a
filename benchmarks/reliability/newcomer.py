"""newcomer.py ADDRESS USER OPENS: opens the model OPENS times as USER, and prints each
duration in microseconds.
"""

import os
import random
import sys
import time

import sidecall


def main(address: str, user: int, opens: int) -> None:
    with sidecall.open(address):  # imports and loads everything that the first open needs
        os.setuid(user)
    for _ in range(opens):
        time.sleep(random.uniform(0.005, 0.015))
        start = time.perf_counter()
        with sidecall.open(address, wait=30):
            print(1e6 * (time.perf_counter() - start))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
