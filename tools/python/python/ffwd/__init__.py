"""Forward-Forward networks (Hinton 2022), trained fast on the CPU.

In the Forward-Forward algorithm every layer learns by itself to answer strongly to positive data, a sample with its
true label, and weakly to negative data, the same sample with a wrong one. `ForwardForwardClassifier` is a scikit-learn
estimator of such networks. The program of the same engine is installed with the package, as `fast-train`.

Examples
--------
>>> from sklearn.datasets import load_digits
>>> from ffwd import ForwardForwardClassifier
>>> X, y = load_digits(return_X_y=True)
>>> classifier = ForwardForwardClassifier(random_state=1).fit(X[:1500], y[:1500])
>>> bool(classifier.score(X[1500:], y[1500:]) > 0.85)
True
"""

from ffwd._bench import bench
from ffwd._classifier import ForwardForwardClassifier
from ffwd._data import load_data, load_idx
from ffwd._ffwd import __version__
from ffwd._matrices import gemm
from ffwd._models import load_model, save_model

__all__ = [
    "ForwardForwardClassifier",
    "__version__",
    "bench",
    "gemm",
    "load_data",
    "load_idx",
    "load_model",
    "save_model",
]
