"""The Python side of benchmarks/shm: times scikit-learn's predict_proba on one row.

It times calls in the same way as benchmarks/inproc. Used by run.py.
"""

import gc
import pickle
import sys
from pathlib import Path
from time import perf_counter_ns

import numpy as np

RING = 1024


def main() -> None:
    gc.disable()
    model = rows = None
    for line in sys.stdin:
        word, *rest = line.split()
        times, answers = np.empty(0, np.int64), np.empty(0)
        if word == "load":
            model = pickle.loads((Path(rest[0]) / "model.pickle").read_bytes())
            rows = np.fromfile(Path(rest[0]) / "features.f64").reshape(-1, model.n_features_in_)
        else:
            first, calls, warm_up = map(int, rest[1:])
            times, answers = np.empty(calls, np.int64), np.empty((calls, 3))
            for i in range(-warm_up, calls):
                row = rows[(first + i) % RING : (first + i) % RING + 1]
                start = perf_counter_ns()
                probabilities = model.predict_proba(row)
                taken = perf_counter_ns() - start
                if i >= 0:
                    times[i] = taken
                    answers[i] = [-1, *probabilities[0]]
        sys.stdout.buffer.write(
            b"ok %d %d\n" % (times.size, answers.size) + times.tobytes() + answers.tobytes()
        )
        sys.stdout.buffer.flush()


main()
