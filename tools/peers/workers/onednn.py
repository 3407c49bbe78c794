"""Worker: oneDNN in bf16, as PyTorch calls it for a product of matrices on the CPU. The result is bf16 as well."""

from __future__ import annotations

import re
from importlib import metadata

import numpy as np
import torch

import operands
from serve import Peer, serve


class OneDnn(Peer):
    def hello(self) -> dict:
        found = re.search(r"MKL-DNN v([\d.]+)", torch.__config__.show())
        if not (found and torch.backends.mkldnn.is_available()):
            raise ValueError("this build of PyTorch has no oneDNN")
        return {"version": found[1], "detail": f"in PyTorch {metadata.version('torch')}"}

    def product(self, operation: str, m: int, k: int, n: int) -> dict:
        a, b = (torch.from_numpy(operand).bfloat16() for operand in operands.make(operation, m, k, n))
        c = torch.zeros((m, n), dtype=torch.bfloat16)
        left = a.t() if operation == "TN" else a

        def multiply() -> dict:
            torch.mm(left, b, out=c)
            return {}

        multiply()
        self.task = multiply
        bits = [operand.view(torch.int16).numpy().view(np.uint16) for operand in (a, b)]
        return {"deviation": operands.deviation(operation, *bits, c)}


if __name__ == "__main__":
    serve(OneDnn)
