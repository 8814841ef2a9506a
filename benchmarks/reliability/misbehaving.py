"""The object that hanging.py serves."""

import time


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds
