"""Finds a BLAS in f32, and becomes the Rust worker that calls it: `blas.py NAME RUST_WORKER`.

`mkl` and `openblas` are packages of PyPI, `openblas-native` and `blis` libraries of the system, as Debian has them. A
call from Python takes a microsecond, which is a fifth of a small product; from Rust it takes nothing.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import mkl

LIBRARIES = Path("/usr/lib")


@dataclass(frozen=True)
class Blas:
    """A library, as the Rust worker is told of it."""

    path: str
    symbol: str  # of its cblas_sgemm
    version: str
    detail: str


def mkl_of_pypi() -> Blas:
    zeros = (ctypes.c_float * 64**2)()
    operand = (zeros, 64)
    multiply = mkl.product("cblas_sgemm")
    multiply(mkl.ROW_MAJOR, mkl.NO_TRANSPOSE, mkl.NO_TRANSPOSE, 64, 64, 64, 1.0, *operand, *operand, 0.0, *operand)
    return Blas(str(mkl.path()), "cblas_sgemm", mkl.version(), f"{mkl.kernels()} kernels")


def openblas_of_pypi() -> Blas:
    import scipy_openblas32

    path = str(next(Path(scipy_openblas32.get_lib_dir()).glob("libscipy_openblas.so*")))
    kernels = openblas_config(path, "scipy_openblas_get_config")[-2]
    return Blas(path, "scipy_cblas_sgemm", metadata.version("scipy-openblas32"), f"{kernels} kernels")


def openblas_of_the_system() -> Blas:
    path = system_library("openblas", ("openblas-pthread/libopenblas.so.0",), "libopenblas0-pthread")
    _, version, *_, kernels, _ = openblas_config(path, "openblas_get_config")
    return Blas(path, "cblas_sgemm", version, f"{kernels} kernels")


def openblas_config(path: str, symbol: str) -> list:
    """The words of its configuration: OpenBLAS, version, options, kernels, the most threads."""
    return text(ctypes.CDLL(path), symbol).split()


def blis() -> Blas:
    """BLIS with OpenMP where there is a choice: without, every product starts threads of its own."""
    places = ("blis-openmp/libblis.so.4", "blis-pthread/libblis.so.4")
    path = system_library("blis", places, "libblis4-openmp or libblis4-pthread")
    library = ctypes.CDLL(path)
    threads = "OpenMP" if "openmp" in path else "pthreads"
    kernels = text(library, "bli_arch_string", library.bli_arch_query_id())
    return Blas(path, "cblas_sgemm", text(library, "bli_info_get_version_str"), f"{kernels} kernels, {threads}")


def text(library: ctypes.CDLL, symbol: str, *arguments: int) -> str:
    """What a function of the library says."""
    function = library[symbol]
    function.restype = ctypes.c_char_p
    return function(*arguments).decode()


def system_library(name: str, places: tuple, package: str) -> str:
    """A library in one of the places where Debian has it, or wherever the system finds it."""
    found = [str(path) for place in places for path in sorted(LIBRARIES.glob(f"*/{place}"))]
    path = found[0] if found else ctypes.util.find_library(name)
    if not path:
        sys.exit(f"lib{name}: not found, expected it installed; Debian's package is {package}")
    return path


BY_NAME = {
    "mkl": mkl_of_pypi,
    "openblas": openblas_of_pypi,
    "openblas-native": openblas_of_the_system,
    "blis": blis,
}


if __name__ == "__main__":
    name, rust = sys.argv[1:]
    blas = BY_NAME[name]()
    os.execv(rust, [rust, "cblas", blas.path, blas.symbol, blas.version, blas.detail])
