"""Who is compared: the libraries, how their workers start, and on what they are measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Optional

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Peer:
    """One library in one role."""

    name: str  # as --peers takes it
    label: str  # heading of its column, or of its row
    dtype: str  # number format of the operands; `auto` is what the library takes by itself
    script: Optional[str] = None  # of a Python worker; the others are in rust/
    packages: tuple = ()  # what the worker imports, lines of requirements.txt

    def command(self, python: Path, rust: Path) -> list:
        """What starts its worker."""
        if self.script is None:
            return [str(rust), self.name]
        return [str(python), str(HERE / "workers" / self.script), self.name]


OURS = Peer("ffwd", "ffwd", "f32")

PRODUCTS = (
    OURS,
    Peer("mkl", "MKL", "f32", "blas.py", ("intel-openmp", "mkl", "numpy")),
    Peer("openblas", "OpenBLAS", "f32", "blas.py", ("numpy", "scipy-openblas32")),
    Peer("matrixmultiply", "matrixmultiply", "f32"),
    Peer("gemm", "gemm", "f32"),
    Peer("mkl-bf16", "MKL", "bf16", "blas.py", ("intel-openmp", "mkl", "numpy")),
    Peer("onednn-bf16", "oneDNN", "bf16", "onednn.py", ("numpy", "torch")),
)

EPOCHS = (
    OURS,
    Peer("tensorflow", "TensorFlow", "f32", "tensorflow_epochs.py", ("keras", "numpy", "tensorflow-cpu")),
    Peer("pytorch", "PyTorch", "f32", "pytorch_epochs.py", ("numpy", "torch")),
)

OURS_BY_ITSELF = Peer("ffwd", "ffwd", "auto")

ACCURACY = (
    OURS,
    Peer("pytorch", "PyTorch", "f32", "pytorch_accuracy.py", ("numpy", "torch")),
    OURS_BY_ITSELF,
    Peer("pytorch", "PyTorch", "bf16", "pytorch_accuracy.py", ("numpy", "torch")),
)

ROLES = {"products": PRODUCTS, "epochs": EPOCHS, "accuracy": ACCURACY}

NAMES = tuple(dict.fromkeys(peer.name for peers in ROLES.values() for peer in peers))


@dataclass(frozen=True)
class Goal:
    """A preset of ffwd, and the accuracy on test images whose time is taken."""

    preset: str
    accuracy: float


# The accuracies that the Keras example's log and section 3.3 of Hinton's paper report.
GOALS = (Goal("quick", 0.9756), Goal("paper", 0.9864))


@dataclass(frozen=True)
class Scale:
    """How much is measured."""

    quick: bool
    products: tuple  # (operation, m, k, n): A is m x k, stored transposed in TN, B k x n
    rounds: int  # runs of each product
    samples: int  # training images
    steps: int  # inner steps for each layer in an outer epoch
    epochs: int  # outer epochs
    preset_fields: dict  # laid over each preset that is trained to an accuracy


# Forward products and gradients of both layers (two rows for each sample in the second), and a square.
FULL = Scale(
    quick=False,
    products=(
        ("NN", 60_000, 784, 500),
        ("NN", 120_000, 500, 500),
        ("TN", 784, 60_000, 500),
        ("TN", 500, 120_000, 500),
        ("NN", 2_048, 2_048, 2_048),
    ),
    rounds=7,
    samples=60_000,
    steps=50,
    epochs=2,
    preset_fields={},
)

# Enough to see that every worker works; the figures mean nothing.
QUICK = Scale(
    quick=True,
    products=(("NN", 600, 784, 500), ("TN", 784, 600, 500), ("NN", 256, 256, 256)),
    rounds=2,
    samples=600,
    steps=3,
    epochs=2,
    preset_fields={"epochs": 2, "train_limit": 640, "test_limit": 640},
)
