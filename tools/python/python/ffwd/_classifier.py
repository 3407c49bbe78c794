"""The estimator: Forward-Forward networks as scikit-learn knows classifiers."""

from __future__ import annotations

import json
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional, Union

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from ffwd import _ffwd
from ffwd._fields import fields_of
from ffwd._threads import threads_of

# Fewer steps than these leave a network near its random beginning: a preset's epochs are meant for 60,000 images.
LEAST_STEPS = 1_000

# Rows of floats whose squares are in memory at a time.
ROWS_AT_ONCE = 1_000

# Floats may be so many times as large as what they are divided by; products of larger ones would overflow.
LARGEST = 1e18


def predicts_by_readout(estimator: "ForwardForwardClassifier") -> bool:
    """Whether a softmax read-out predicts, and not goodness."""
    if hasattr(estimator, "_engine"):
        return estimator._engine.has_readout()
    try:
        return json.loads(_ffwd.check(json.dumps(estimator._fields(2, 0))))["readout"]
    except ValueError:
        # `fit` says what is wrong.
        return True


class ForwardForwardClassifier(ClassifierMixin, BaseEstimator):
    """A classifier whose layers each learn by themselves, by the Forward-Forward algorithm.

    Samples are images of bytes or rows of floats:

    - uint8: images as IDX files have them, row by row, 255 being the brightest. The label is written over the first
      pixels, one for each class, as the program does it: with the same number as seed, epochs and precision, `fit`
      gives the program's weights, bit for bit.
    - anything else becomes float32. All features are divided by one number, the root mean square of the `X` of `fit`,
      so that they are about as large as the label's input, zeros stay zeros, and no feature is moved against another.
      The label has inputs of its own in front of them. Features of different units or far from zero belong behind a
      scaler, ``make_pipeline(StandardScaler(), ForwardForwardClassifier())``.

    Parameters
    ----------
    preset : str, default="quick"
        The recipe from which all other fields come, one of `fast-train presets`: "quick", "paper", "paper-4x2000",
        "best", "backprop", "keras".
    layers : sequence of int, optional
        Units of each layer.
    epochs : int, optional
        Passes over the data. By default as many as the preset has, or as many as make 1,000 steps of the optimiser.
    batch : int, optional
        Samples of a step; 0 is all of them.
    lr : float, optional
        Learning rate.
    precision : {"auto", "f32", "bf16"}, optional
        Number format of the products' operands.
    image_shape : (int, int), optional
        Rows and columns of uint8 images; by default a square, where the number of features is one, and otherwise one
        row. It decides what the `shift` of a recipe moves, and how files show the images.
    random_state : int, RandomState, optional
        Decides initial weights, negatives and the order of samples.
    n_jobs : int, optional
        Threads of the next `fit`, or first `partial_fit`; None and -1 are one for every CPU that the process may use.
        The result does not depend on it. A search that fits several estimators at a time is best served by 1.
    verbose : int, default=0
        Above 0, a line is printed after each epoch.
    callback : callable, optional
        Called after each epoch with a dictionary of what it did: `epoch`, `final_loss`, `layer_loss`, `active` (the
        share of units on in each layer), `seconds` and others, as a line of the program's `metrics.jsonl`. Raising
        `StopIteration` ends training. The estimator can predict meanwhile.
    options : mapping, optional
        Other fields of the configuration, by the names of docs/recipes.md:
        ``{"temperature": 50.0, "dropout": 0.1}``.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where `X` had names that are all texts.
    loss_curve_ : list of float
        The mean of the layers' losses in each epoch.
    history_ : list of dict
        What `callback` was given.
    n_iter_ : int
        Epochs trained.
    coefs_, intercepts_ : lists of ndarray
        Weights (inputs x units) and biases (units) of each layer, and of the read-out behind them: copies. The first
        rows of the first are the label's inputs, one for each class.

    Notes
    -----
    Interrupting `fit` (Ctrl-C) raises `KeyboardInterrupt` and keeps the network as it was after the last whole epoch;
    the estimator then predicts, and `partial_fit` goes on from there. An estimator that was pickled goes on from where
    it was.

    References
    ----------
    G. Hinton, "The Forward-Forward Algorithm: Some Preliminary Investigations", 2022.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from ffwd import ForwardForwardClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = make_pipeline(StandardScaler(), ForwardForwardClassifier(layers=(50, 50), random_state=1))
    >>> bool(model.fit(X, y).score(X, y) > 0.9)
    True
    """

    def __init__(
        self,
        preset: str = "quick",
        *,
        layers: Optional[Sequence[int]] = None,
        epochs: Optional[int] = None,
        batch: Optional[int] = None,
        lr: Optional[float] = None,
        precision: Optional[str] = None,
        image_shape: Optional[tuple[int, int]] = None,
        random_state: Union[None, int, np.random.RandomState] = None,
        n_jobs: Optional[int] = None,
        verbose: int = 0,
        callback: Optional[Callable[[dict[str, Any]], Any]] = None,
        options: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self.preset = preset
        self.layers = layers
        self.epochs = epochs
        self.batch = batch
        self.lr = lr
        self.precision = precision
        self.image_shape = image_shape
        self.random_state = random_state
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.callback = callback
        self.options = options

    def fit(self, X, y) -> "ForwardForwardClassifier":
        """Train a network from its random beginning.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            uint8 images, or numbers in any range. A C-contiguous array of uint8 or float32 is read in place.
        y : array-like of shape (n_samples,)
            Labels of any kind, at most 256 different ones.

        Returns
        -------
        self : ForwardForwardClassifier

        Raises
        ------
        ValueError
            `X` or `y` is not as above, or a parameter is not what it can be; the message names it.
        FloatingPointError
            A loss or a weight is no finite number any more.
        """
        X, y = self._checked(X, y, reset=True)
        classes, y = np.unique(y, return_inverse=True)
        self._begin(X, classes, least_steps=LEAST_STEPS)
        return self._train(X, y, keeps_rate=False)

    def partial_fit(self, X, y, classes=None) -> "ForwardForwardClassifier":
        """Train one more epoch, on samples that may be others than before.

        The learning rate stays what it is at the beginning of a run.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            As in `fit`. What floats are divided by is decided by the first call.
        y : array-like of shape (n_samples,)
        classes : array-like of shape (n_classes,), optional
            All labels that will ever come; needed in the first call.

        Returns
        -------
        self : ForwardForwardClassifier
        """
        is_first = not hasattr(self, "_engine")
        if is_first and classes is None:
            raise ValueError("classes: found None, expected all labels in the first call of partial_fit")
        X, y = self._checked(X, y, reset=is_first)
        all_labels = np.unique(classes) if is_first else self.classes_
        if classes is not None and not np.array_equal(all_labels, np.unique(classes)):
            raise ValueError(f"classes: found {classes}, expected those of the first call, {all_labels}")
        places = np.searchsorted(all_labels, y)
        unknown = all_labels[np.minimum(places, len(all_labels) - 1)] != y
        if unknown.any():
            raise ValueError(f"y: found {y[unknown][0]!r}, expected one of the classes {all_labels}")
        if is_first:
            self._begin(X, all_labels)
        return self._train(X, places, keeps_rate=True, epochs=1)

    def predict(self, X) -> np.ndarray:
        """Predict the label of each sample.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        y : ndarray of shape (n_samples,)
            The most probable label where a read-out was trained, otherwise that of the largest goodness.
        """
        check_is_fitted(self)
        samples = self._samples(X)
        scores = self._engine.probabilities if self._engine.has_readout() else self._engine.goodness
        return self.classes_[np.argmax(scores(samples), axis=1)]

    @available_if(predicts_by_readout)
    def predict_proba(self, X) -> np.ndarray:
        """Give the probability of each label of each sample, by the read-out.

        There where the recipe trains a read-out: in all presets but "keras".

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        p : ndarray of shape (n_samples, n_classes)
        """
        check_is_fitted(self)
        probabilities = self._engine.probabilities(self._samples(X)).astype(np.float64)
        return probabilities / probabilities.sum(axis=1, keepdims=True)

    @available_if(lambda self: not predicts_by_readout(self))
    def decision_function(self, X) -> np.ndarray:
        """Give the goodness of each label on each sample, by which labels are predicted.

        There where the recipe trains no read-out: in the preset "keras".

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        goodness : ndarray of shape (n_samples, n_classes)
            With two classes, of shape (n_samples,): by how much the second's goodness is above the first's.
        """
        goodness = self.goodness(X)
        return goodness[:, 1] - goodness[:, 0] if len(self.classes_) == 2 else goodness

    def goodness(self, X) -> np.ndarray:
        """Give the goodness of each label on each sample, summed over the layers.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        goodness : ndarray of shape (n_samples, n_classes)
            The sum over all layers, or over all but the first where there is a read-out (section 3.3 of Hinton 2022).
        """
        check_is_fitted(self)
        return self._engine.goodness(self._samples(X))

    @property
    def coefs_(self) -> list[np.ndarray]:
        return [kernel for kernel, _ in self._fitted().weights()]

    @property
    def intercepts_(self) -> list[np.ndarray]:
        return [bias for _, bias in self._fitted().weights()]

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_engine")

    def _fitted(self) -> _ffwd.Engine:
        if not hasattr(self, "_engine"):
            raise AttributeError("found no network, expected a call of fit before")
        return self._engine

    def _checked(self, X, y, *, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        """Samples and labels of one length, in a form that the engine reads."""
        X, y = validate_data(self, X, y, reset=reset, dtype=(np.float32, np.uint8), order="C")
        check_classification_targets(y)
        return (np.require(X, requirements="CA") if reset else self._as_fitted(X)), y

    def _samples(self, X) -> np.ndarray:
        """Samples in the form that the network was fitted on."""
        return self._as_fitted(validate_data(self, X, reset=False, dtype=(np.float32, np.uint8), order="C"))

    def _as_fitted(self, X: np.ndarray) -> np.ndarray:
        """Valid samples in the type that the network was fitted on."""
        unit = self._engine.unit()
        if unit is None and X.dtype != np.uint8:
            with np.errstate(invalid="ignore"):
                in_bytes = X.astype(np.uint8)
            if not np.array_equal(in_bytes, X):
                raise ValueError("X: found floats, expected images of whole numbers from 0 to 255, as in fit")
            X = in_bytes
        elif unit is not None:
            X = X.astype(np.float32, copy=False)
            largest = float(max(X.max(), -X.min()))
            if largest > LARGEST * unit:
                raise ValueError(f"X: found {largest}, expected numbers of the size of those of fit, about {unit}")
        return np.require(X, requirements="CA")

    def _fields(self, classes: int, seed: int) -> dict[str, Any]:
        """The fields of the configuration that the parameters ask for."""
        fields = fields_of(self.get_params(deep=False), self.options)
        return {**fields, "preset": self.preset, "classes": classes, "seed": seed}

    def _begin(self, X: np.ndarray, classes: np.ndarray, *, least_steps: int = 0) -> None:
        """Becomes an estimator of a new network for samples and classes like these. Where epochs are not given, it is
        to be trained for so many steps at least."""
        if not 2 <= len(classes) <= 256:
            raise ValueError(f"y: found {len(classes)} classes, expected 2 to 256")
        fields = self._fields(len(classes), self._seed())
        resolved = json.loads(_ffwd.check(json.dumps(fields)))
        if "epochs" not in fields:
            steps = math.ceil(len(X) / (resolved["batch"] or len(X))) * resolved["inner_steps"]
            fields["epochs"] = max(resolved["epochs"], math.ceil(least_steps / steps))
        if X.dtype == np.uint8:
            shape, unit = self._shape(X.shape[1]), None
            if resolved["shift"] >= min(shape):
                raise ValueError(f"shift: found {resolved['shift']}, expected less than the sides of images of {shape}")
        else:
            shape, unit = (1, X.shape[1]), unit_of(X)
            if resolved["shift"] or resolved["input_dropout"]:
                raise ValueError(
                    "X: found floats, expected uint8 images, because the recipe changes them by shift or "
                    "input_dropout; options={'shift': 0, 'input_dropout': 0.0} leaves that out"
                )
        engine = _ffwd.Engine(json.dumps(fields), shape, unit, threads_of(self.n_jobs))
        self.classes_ = classes
        self._take(engine)

    def _seed(self) -> int:
        """The seed of the engine: `random_state` where that is a number, as the program takes it."""
        if isinstance(self.random_state, numbers.Integral) and self.random_state >= 0:
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))

    def _take(self, engine: _ffwd.Engine) -> None:
        """Becomes an estimator of this network, which has not been trained here."""
        self._engine = engine
        self.loss_curve_: list[float] = []
        self.history_: list[dict[str, Any]] = []
        self.n_iter_ = engine.epoch()

    def _shape(self, features: int) -> tuple[int, int]:
        """Rows and columns of an image."""
        if self.image_shape is not None:
            shape = np.array(self.image_shape)
            if shape.shape != (2,) or shape.dtype.kind not in "iu" or min(shape) < 1 or shape.prod() != features:
                expected = f"rows and columns of {features} pixels"
                raise ValueError(f"image_shape: found {self.image_shape}, expected {expected}")
            return int(shape[0]), int(shape[1])
        side = math.isqrt(features)
        return (side, side) if side * side == features else (1, features)

    def _train(
        self, X: np.ndarray, y: np.ndarray, *, keeps_rate: bool, epochs: Optional[int] = None
    ) -> "ForwardForwardClassifier":
        """Trains on samples and the numbers of their classes, and keeps what each epoch did."""
        if epochs is None:
            epochs = json.loads(self._engine.options())["epochs"]
        epochs_before, told_before = self._engine.epoch(), len(self.history_)
        labels = np.ascontiguousarray(y, np.uint8)
        try:
            self._engine.train(X, labels, epochs, keeps_rate, self.callback is not None, self._report)
        finally:
            # An epoch that was told of is not always kept: the network is as it was before it, where it diverged.
            self.n_iter_ = self._engine.epoch()
            kept = told_before + self.n_iter_ - epochs_before
            del self.history_[kept:], self.loss_curve_[kept:]
        return self

    def _report(self, line: str) -> bool:
        """Keeps what an epoch did and tells of it; whether training is to end."""
        epoch = json.loads(line)
        self.history_.append(epoch)
        self.loss_curve_.append(sum(epoch["layer_loss"]) / len(epoch["layer_loss"]))
        self.n_iter_ = epoch["epoch"]
        if self.verbose:
            print(f"epoch {self.n_iter_}  loss {self.loss_curve_[-1]:.4f}  {epoch['seconds']:.2f} s", flush=True)
        if self.callback is not None:
            try:
                self.callback(epoch)
            except StopIteration:
                return True
        return False


def unit_of(X: np.ndarray) -> float:
    """The root mean square of floats, as a float32 above zero; 1 where all of them are zeros."""
    blocks = (X[first : first + ROWS_AT_ONCE] for first in range(0, len(X), ROWS_AT_ONCE))
    squares = sum(float(np.square(block, dtype=np.float64).sum()) for block in blocks)
    if squares == 0:
        return 1.0
    return float(max(np.float32(math.sqrt(squares / X.size)), np.finfo(np.float32).tiny))

