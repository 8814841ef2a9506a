"""python_server.py PICKLE ROWS ADDRESS: serves the scikit-learn model over the channel.

It ends when stdin ends. Used by servers.py.
"""

import pickle
import sys
from pathlib import Path

import numpy as np
import sidecall

model = pickle.loads(Path(sys.argv[1]).read_bytes())
rows = np.fromfile(sys.argv[2]).reshape(-1, model.n_features_in_)
with sidecall.serve(model, at=sys.argv[3], data=rows, block=False):
    print("ready", flush=True)
    sys.stdin.read()
