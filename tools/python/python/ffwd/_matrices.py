"""Products of matrices."""

from __future__ import annotations

from typing import Optional

import numpy as np

from ffwd import _ffwd
from ffwd._threads import threads_of


def gemm(
    a: np.ndarray,
    b: np.ndarray,
    out: Optional[np.ndarray] = None,
    *,
    alpha: float = 1.0,
    beta: float = 0.0,
    n_jobs: Optional[int] = None,
) -> np.ndarray:
    """Multiply two matrices: ``alpha * a @ b + beta * out``.

    Parameters
    ----------
    a : ndarray of float32, shape (m, k)
    b : ndarray of float32, shape (k, n)
        Arrays in C's or Fortran's order, transposed ones among them, are read in place; others are copied.
    out : ndarray of float32, shape (m, n), optional
        C-contiguous; the result is written into it.
    alpha, beta : float
        With `beta` 0, what `out` held does not matter.
    n_jobs : int, optional
        Threads; by default one for every CPU that the process may use. The result does not depend on it.

    Returns
    -------
    out : ndarray of float32, shape (m, n)

    Raises
    ------
    TypeError
        An array is not float32, or shares memory with `out`.
    ValueError
        The shapes do not fit each other, or `out` is not C-contiguous.
    """
    for name, array in (("a", a), ("b", b), ("out", out)):
        if array is None:
            continue
        if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.ndim != 2:
            kind = f"{array.ndim}-D array of {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(f"{name}: found {kind}, expected a 2-D array of float32")
    if out is None:
        if beta != 0.0:
            raise ValueError(f"beta: found {beta}, expected 0, because no out is given")
        out = np.empty((a.shape[0], b.shape[1]), np.float32)
    _ffwd.gemm(contiguous(a), contiguous(b), out, (alpha, beta), threads_of(n_jobs))
    return out


def contiguous(array: np.ndarray) -> np.ndarray:
    """The array itself where it lies in one piece of memory, in either order."""
    return array if array.flags.forc else np.ascontiguousarray(array)
