"""The training state that ffwd stores before an epoch: a safetensors file of weights and Adam's moments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import safe_open

# What ffwd calls a checkpoint in its directory.
FILE = "checkpoint.safetensors"


@dataclass(frozen=True)
class Tensor:
    """A parameter and Adam's first and second moments of it, all of one shape."""

    values: np.ndarray
    first: np.ndarray
    second: np.ndarray


@dataclass(frozen=True)
class Layer:
    """A layer of k inputs and u units."""

    kernel: Tensor  # [k, u]
    bias: Tensor  # [u]
    steps: int  # that Adam has taken


def layers(directory: str) -> list[Layer]:
    """The layers of the state that is stored in a directory."""
    with safe_open(Path(directory) / FILE, framework="numpy") as file:

        def tensor(name: str) -> Tensor:
            moments = (file.get_tensor(f"optimizer.{name}.{which}") for which in ("first", "second"))
            return Tensor(file.get_tensor(name), *moments)

        steps = map(int, file.metadata()["steps"].split(","))
        return [
            Layer(tensor(f"layer.{index}.kernel"), tensor(f"layer.{index}.bias"), count)
            for index, count in enumerate(steps)
        ]
