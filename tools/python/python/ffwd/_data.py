"""IDX files and data sets as arrays."""

from __future__ import annotations

import os
from typing import Union

import numpy as np

from ffwd import _ffwd


def load_idx(path: Union[str, os.PathLike[str]]) -> np.ndarray:
    """Read an IDX file of bytes, plain or packed by gzip.

    Parameters
    ----------
    path : str or path
        The file.

    Returns
    -------
    array : ndarray of uint8
        Images of shape (n, rows, columns), or labels of shape (n,).

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is not a sound IDX file of images or labels; the message names what was found and what was expected.
    """
    return _ffwd.load_idx(os.fspath(path))


def load_data(
    name: Union[str, os.PathLike[str]] = "digits", *, classes: int = 10
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Load a data set of images that `fast-train --data` knows.

    Parameters
    ----------
    name : str or path, default="digits"
        A directory of four files in the format of MNIST, or a name: `digits` are 70,000 synthetic digits that are drawn
        when they are first asked for; `mnist` and `fashion-mnist` are looked up in `$FFWD_DATA`, `./data`, the user
        cache, where `fast-train data fetch` puts them, and `/usr/share/datasets`.
    classes : int, default=10
        Number of classes; labels are below it.

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarrays of uint8
        Images of shape (n, pixels), row by row, and labels of shape (n,).
    """
    train, train_labels, test, test_labels = _ffwd.load_data(os.fspath(name), classes)
    return train.reshape(len(train), -1), train_labels, test.reshape(len(test), -1), test_labels
