"""Worker: an estimator of scikit-learn's form, ffwd's or scikit-learn's own, fitted to images and tested on others.

Images are floats in [0, 1], as people give them to scikit-learn; ffwd gets them as bytes. All have two hidden layers of
500 units and are otherwise as they come.
"""

from __future__ import annotations

import sys
import warnings
from importlib import metadata

import numpy as np

import images
from serve import Peer, serve

LAYERS = (500, 500)


def estimator(name: str):
    """The estimator that the peer of this name is."""
    if name == "ffwd-python":
        from ffwd import ForwardForwardClassifier

        return ForwardForwardClassifier(layers=LAYERS, random_state=1)
    from sklearn.neural_network import MLPClassifier

    # `mlp-5` passes over the data as often as ffwd's preset; `mlp` ends by itself.
    return MLPClassifier(LAYERS, random_state=1, **({"max_iter": 5} if name == "mlp-5" else {}))


class Estimator(Peer):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def hello(self) -> dict:
        return {"version": metadata.version("ffwd" if self.name == "ffwd-python" else "scikit-learn"), "detail": ""}

    def estimator(self, samples: int, directory: str) -> dict:
        of_ours = self.name == "ffwd-python"
        form = (lambda pixels: np.rint(pixels * 255).astype(np.uint8)) if of_ours else (lambda pixels: pixels)
        (X, y), (test, labels) = images.training_set(directory, samples), images.test_set(directory, 0)
        X, test = form(X), form(test)
        fitted = None

        def fit() -> dict:
            nonlocal fitted
            with warnings.catch_warnings():
                # That so few epochs are not the end.
                warnings.simplefilter("ignore")
                fitted = estimator(self.name).fit(X, y)
            return {}

        self.task = fit
        self.afterwards = lambda: {"accuracy": float(fitted.score(test, labels)), "epochs": int(fitted.n_iter_)}
        return {}


if __name__ == "__main__":
    serve(lambda: Estimator(sys.argv[1]))
