"""The Python client for other engines for trees that have no C API; runs with the Python of
engine-peers.

Started by run.py. It answers the same requests as inproc/python_client.py.
"""

import pickle
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "inproc"))

from python_client import Approach, Client, main


class PeersClient(Client):
    """Both engines use one thread, and get the array that the other Python clients get."""

    def make_ydf(self) -> Approach:
        import ydf

        model = ydf.from_sklearn(pickle.loads((self.folder / "model.pickle").read_bytes()))
        return self.build(
            "out = predict({'features': x}, num_threads=1)", self.both, predict=model.predict
        )

    def make_daal4py(self) -> Approach:
        import daal4py

        daal4py.daalinit(nthreads=1)
        model = daal4py.mb.convert_model(self.read_booster())
        return self.build(
            "out = predict_proba(x)",
            lambda out: (None, out),
            predict_proba=model.predict_proba,
        )

    def read_booster(self) -> object:
        """What daal4py converts: boosters of LightGBM and XGBoost, and models of treelite."""
        if (self.folder / "twin.txt").exists():
            import lightgbm

            return lightgbm.Booster(model_file=self.folder / "twin.txt")
        if (self.folder / "xgboost.json").exists():
            import xgboost

            return xgboost.Booster(model_file=self.folder / "xgboost.json")
        import treelite

        model = pickle.loads((self.folder / "model.pickle").read_bytes())
        return treelite.sklearn.import_model(model)

    @staticmethod
    def both(out: np.ndarray) -> tuple[None, np.ndarray]:
        """The probabilities of both classes, from that of class 1."""
        return None, np.stack([1 - out, out], axis=-1)


if __name__ == "__main__":
    main(PeersClient)
