"""Worker: MKL in bf16 with results in f32, through its C interface."""

from __future__ import annotations

import numpy as np

import mkl
import operands
from serve import Peer, serve


class MklBf16(Peer):
    def __init__(self) -> None:
        super().__init__()
        self.gemm = mkl.product("cblas_gemm_bf16bf16f32")

    def hello(self) -> dict:
        self.product("NN", 64, 64, 64)
        kernels = mkl.kernels()
        emulated = not kernels.startswith(("avx512", "avx10"))
        detail = f"{kernels} kernels{', without bf16 instructions' if emulated else ''}"
        return {"version": mkl.version(), "detail": detail}

    def product(self, operation: str, m: int, k: int, n: int) -> dict:
        a, b = map(operands.to_bf16, operands.make(operation, m, k, n))
        c = np.zeros((m, n), dtype=np.float32)
        transpose = mkl.TRANSPOSE if operation == "TN" else mkl.NO_TRANSPOSE

        def multiply() -> dict:
            self.gemm(mkl.ROW_MAJOR, transpose, mkl.NO_TRANSPOSE, m, n, k, 1.0, a.ctypes.data, a.shape[1],
                      b.ctypes.data, n, 0.0, c.ctypes.data, n)
            return {}

        multiply()
        self.task = multiply
        return {"deviation": operands.deviation(operation, a, b, c)}


if __name__ == "__main__":
    serve(MklBf16)
