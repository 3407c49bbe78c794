"""MKL of the `mkl` package: its products through the C interface, and which kernels it chose."""

from __future__ import annotations

import ctypes
import sys
from importlib import metadata
from pathlib import Path
from typing import Callable

ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE = 101, 111, 112


def path() -> Path:
    """The library, which lies among those of the environment."""
    found = sorted((Path(sys.prefix) / "lib").glob("libmkl_rt.so*"))
    if not found:
        raise FileNotFoundError("libmkl_rt.so is not in the environment")
    return found[0]


def product(symbol: str) -> Callable[..., None]:
    """The function that multiplies: order, transpositions, m, n, k, alpha, A, lda, B, ldb, beta, C, ldc."""
    function = ctypes.CDLL(str(path()))[symbol]
    number, pointer, scale = ctypes.c_int, ctypes.c_void_p, ctypes.c_float
    operand = [pointer, number]
    function.argtypes = [number] * 6 + [scale, *operand, *operand, scale, *operand]
    function.restype = None
    return function


def version() -> str:
    return metadata.version("mkl")


def kernels() -> str:
    """The kernels for this CPU, which have been loaded once something has been multiplied."""
    loaded = Path("/proc/self/maps").read_text() if sys.platform == "linux" else ""
    names = {Path(line.split()[-1]).name for line in loaded.splitlines() if "libmkl_" in line}
    parts = {name.split(".")[0][len("libmkl_") :] for name in names}
    chosen = sorted(part for part in parts if not part.startswith(("rt", "core", "intel", "vml")))
    return " and ".join(chosen) or "unknown"
