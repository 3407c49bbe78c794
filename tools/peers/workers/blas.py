"""Worker: MKL or OpenBLAS through their C interface: `mkl` (f32), `mkl-bf16` (bf16 in, f32 out), `openblas` (f32)."""

from __future__ import annotations

import ctypes
import sys
from importlib import metadata
from pathlib import Path
from typing import Optional

import numpy as np

import operands
from serve import Peer, serve

ROW_MAJOR, NO_TRANSPOSE, TRANSPOSE = 101, 111, 112


def mkl() -> ctypes.CDLL:
    """The library of the `mkl` package, which lies among the environment's libraries."""
    found = sorted((Path(sys.prefix) / "lib").glob("libmkl_rt.so*"))
    if not found:
        raise FileNotFoundError("libmkl_rt.so is not in the environment")
    return ctypes.CDLL(str(found[0]))


def openblas() -> ctypes.CDLL:
    """The library of the `scipy-openblas32` package."""
    import scipy_openblas32

    return ctypes.CDLL(str(next(Path(scipy_openblas32.get_lib_dir()).glob("libscipy_openblas.so*"))))


class Blas(Peer):
    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.bf16 = name == "mkl-bf16"
        if name == "openblas":
            library = openblas()
            self.gemm = library.scipy_cblas_sgemm
            library.scipy_openblas_get_config.restype = ctypes.c_char_p
            self.config: Optional[str] = library.scipy_openblas_get_config().decode()
        else:
            library = mkl()
            self.gemm = library.cblas_gemm_bf16bf16f32 if self.bf16 else library.cblas_sgemm
            self.config = None
        number, pointer, scale = ctypes.c_int, ctypes.c_void_p, ctypes.c_float
        operand = [pointer, number]
        self.gemm.argtypes = [number] * 6 + [scale, *operand, *operand, scale, *operand]
        self.gemm.restype = None

    def hello(self) -> dict:
        package = "scipy-openblas32" if self.name == "openblas" else "mkl"
        kernels = self.kernels()
        emulated = self.bf16 and not kernels.startswith(("avx512", "avx10"))
        return {
            "version": metadata.version(package),
            "detail": f"{kernels} kernels{', without bf16 instructions' if emulated else ''}",
        }

    def kernels(self) -> str:
        """Which kernels the library chose for this CPU: OpenBLAS tells, MKL has loaded them after a product."""
        if self.config is not None:
            return self.config.split()[-2]
        self.product("NN", 64, 64, 64)
        loaded = Path("/proc/self/maps").read_text() if sys.platform == "linux" else ""
        names = {Path(line.split()[-1]).name for line in loaded.splitlines() if "libmkl_" in line}
        parts = {name.split(".")[0][len("libmkl_") :] for name in names}
        kernels = sorted(part for part in parts if not part.startswith(("rt", "core", "intel", "vml")))
        return " and ".join(kernels) or "unknown"

    def product(self, operation: str, m: int, k: int, n: int) -> dict:
        a, b = operands.make(operation, m, k, n)
        if self.bf16:
            a, b = operands.to_bf16(a), operands.to_bf16(b)
        c = np.zeros((m, n), dtype=np.float32)
        transpose = TRANSPOSE if operation == "TN" else NO_TRANSPOSE

        def multiply() -> dict:
            self.gemm(ROW_MAJOR, transpose, NO_TRANSPOSE, m, n, k, 1.0, a.ctypes.data, a.shape[1], b.ctypes.data, n,
                      0.0, c.ctypes.data, n)
            return {}

        multiply()
        self.task = multiply
        return {"deviation": operands.deviation(operation, a, b, c)}


if __name__ == "__main__":
    serve(lambda: Blas(sys.argv[1]))
