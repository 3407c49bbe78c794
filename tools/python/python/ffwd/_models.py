"""Networks in the files that the program writes and reads."""

from __future__ import annotations

import json
import os
from typing import Optional, Union

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ffwd import _ffwd
from ffwd._classifier import ForwardForwardClassifier
from ffwd._fields import NOT_OPTIONS
from ffwd._threads import threads_of



def save_model(model: ForwardForwardClassifier, path: Union[str, os.PathLike[str]]) -> None:
    """Write the network of a fitted estimator to a file.

    It is the file `model.safetensors` of a run of `fast-train`: weights, shape, configuration, and what the classes are
    called. The program predicts with it where the network is one of images, and prints the numbers of classes. Moments
    of the optimiser are not in it; `pickle` keeps them.

    Parameters
    ----------
    model : ForwardForwardClassifier
        A fitted estimator. Its classes are numbers, texts or truth values.
    path : str or path
        The file, which appears whole or not at all.

    Raises
    ------
    TypeError
        The classes cannot be written as JSON.
    OSError
        The file cannot be written.
    """
    check_is_fitted(model)
    if model.classes_.dtype.kind not in "biufUO":
        raise TypeError(f"classes_: found {model.classes_.dtype}, expected numbers, texts or truth values")
    model._engine.save(os.fspath(path), json.dumps(model.classes_.tolist()))


def load_model(path: Union[str, os.PathLike[str]], *, n_jobs: Optional[int] = None) -> ForwardForwardClassifier:
    """Read a network that `save_model` or `fast-train` has written.

    Parameters
    ----------
    path : str or path
        A file `model.safetensors`.
    n_jobs : int, optional
        Threads, as `ForwardForwardClassifier` takes them.

    Returns
    -------
    model : ForwardForwardClassifier
        A fitted estimator, with the parameters of the configuration that the file holds. It predicts in float32, as the
        program does with a stored model. `partial_fit` goes on from its weights with a fresh optimiser.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not a model, or not as it was written.
    """
    engine, labels = _ffwd.Engine.load(os.fspath(path), threads_of(n_jobs))
    fields = json.loads(engine.options())
    own = json.loads(_ffwd.check(json.dumps({"preset": fields["preset"]})))
    rows, columns = engine.shape()
    model = ForwardForwardClassifier(
        fields["preset"],
        layers=tuple(fields["layers"]),
        epochs=fields["epochs"],
        batch=fields["batch"],
        lr=fields["lr"],
        precision=fields["precision"],
        image_shape=None if engine.unit() else (rows, columns),
        random_state=int(fields["seed"]),
        n_jobs=n_jobs,
        options={name: value for name, value in fields.items() if name not in NOT_OPTIONS and value != own.get(name)}
        or None,
    )
    model.classes_ = classes_of(os.fspath(path), labels, fields["label_base"], fields["classes"])
    model.n_features_in_ = rows * columns
    model._take(engine)
    return model


def classes_of(path: str, labels: str, base: int, count: int) -> np.ndarray:
    """What so many classes are called, by the text of a file, or numbers from `base` on where it says nothing."""
    if not labels:
        return np.arange(base, base + count)
    try:
        names = np.array(json.loads(labels))
        is_sound = names.shape == (count,) and names.dtype.kind in "biufU" and bool((names[1:] > names[:-1]).all())
    except ValueError:
        is_sound = False
    if not is_sound:
        raise ValueError(f"{path}: labels: found {labels[:200]}, expected a list of {count} in ascending order")
    return names
