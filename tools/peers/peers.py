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
    packages: tuple = ()  # what the worker needs from PyPI, lines of requirements.txt

    @property
    def needs_rust(self) -> bool:
        """Whether the Rust worker calls it, by itself or once a script has found the library."""
        return self.script in (None, BLAS)

    def command(self, python: Path, rust: Path) -> list:
        """What starts its worker."""
        if self.script is None:
            return [str(rust), self.name]
        return [str(python), str(HERE / "workers" / self.script), self.name, str(rust)]


# Finds a library that has a CBLAS, and becomes the Rust worker that calls it.
BLAS = "blas.py"

OURS = Peer("ffwd", "ffwd", "f32")

IN_F32 = (
    OURS,
    Peer("mkl", "MKL", "f32", BLAS, ("intel-openmp", "mkl")),
    Peer("openblas", "OpenBLAS", "f32", BLAS, ("scipy-openblas32",)),
    Peer("openblas-native", "Debian's OpenBLAS", "f32", BLAS),
    Peer("blis", "Debian's BLIS", "f32", BLAS),
    Peer("matrixmultiply", "matrixmultiply", "f32"),
    Peer("gemm", "gemm", "f32"),
)

PRODUCTS = (
    *IN_F32,
    Peer("mkl-bf16", "MKL", "bf16", "mkl_bf16.py", ("intel-openmp", "mkl", "numpy")),
    Peer("onednn-bf16", "oneDNN", "bf16", "onednn.py", ("numpy", "torch")),
)

# What reads stored states.
STATES = ("numpy", "safetensors")

EPOCHS = (
    OURS,
    Peer("tensorflow", "TensorFlow", "f32", "tensorflow_epochs.py", (*STATES, "keras", "tensorflow-cpu")),
    Peer("pytorch", "PyTorch", "f32", "pytorch_epochs.py", (*STATES, "torch")),
)

OURS_BY_ITSELF = Peer("ffwd", "ffwd", "auto")

ACCURACY = (
    OURS,
    Peer("pytorch", "PyTorch", "f32", "pytorch_accuracy.py", ("numpy", "torch")),
    OURS_BY_ITSELF,
    Peer("pytorch", "PyTorch", "bf16", "pytorch_accuracy.py", ("numpy", "torch")),
)

OUR_ESTIMATOR = Peer("ffwd-python", "`ffwd.ForwardForwardClassifier`", "auto", "estimators.py", ("ffwd",))

ESTIMATORS = (
    OUR_ESTIMATOR,
    Peer("mlp-5", "`MLPClassifier`, as many epochs", "f32", "estimators.py", ("scikit-learn",)),
    Peer("mlp", "`MLPClassifier`, until it ends by itself", "f32", "estimators.py", ("scikit-learn",)),
)

ROLES = {
    "products": PRODUCTS,
    "sweep": IN_F32,
    "epochs": EPOCHS,
    "accuracy": ACCURACY,
    "estimators": ESTIMATORS,
}

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
    sweep: tuple  # the same of small and odd products
    rounds: int  # undisturbed runs of each product
    samples: int  # training images
    steps: int  # inner steps for each layer in an outer epoch
    epochs: tuple  # the outer epochs that are trained, counted from 1
    epoch_rounds: int  # undisturbed runs of each of them
    estimator_rounds: int  # undisturbed fits of each estimator
    preset_fields: dict  # laid over each preset that is trained to an accuracy


def squares(*sizes: int) -> tuple:
    return tuple(("NN", size, size, size) for size in sizes)


# Products: forward and gradients of both layers (two rows for each sample in the second), and a square. Sweep: squares,
# a mini-batch, ten units, one row, sizes beside powers of two.
FULL = Scale(
    quick=False,
    products=(
        ("NN", 60_000, 784, 500),
        ("NN", 120_000, 500, 500),
        ("TN", 784, 60_000, 500),
        ("TN", 500, 120_000, 500),
        ("NN", 2_048, 2_048, 2_048),
    ),
    sweep=(
        *squares(64, 96, 128, 192, 256, 384, 512, 768, 1_024),
        ("NN", 1_000, 784, 500),
        ("NN", 60_000, 784, 10),
        ("NN", 1_000, 500, 10),
        ("NN", 1, 784, 500),
        ("NN", 1, 2_048, 2_048),
        *squares(127, 129, 255, 257, 511, 513),
        ("NN", 33, 1_000, 77),
    ),
    rounds=7,
    samples=60_000,
    steps=50,
    epochs=(1, 5, 20, 60, 150),
    epoch_rounds=2,
    estimator_rounds=1,
    preset_fields={},
)

# Enough to see that every worker works; the figures mean nothing.
QUICK = Scale(
    quick=True,
    products=(("NN", 600, 784, 500), ("TN", 784, 600, 500), ("NN", 256, 256, 256)),
    sweep=(*squares(64, 96), ("NN", 1, 784, 500), *squares(65)),
    rounds=2,
    samples=600,
    steps=3,
    epochs=(1, 2, 3),
    epoch_rounds=2,
    estimator_rounds=1,
    preset_fields={"epochs": 2, "train_limit": 640, "test_limit": 640},
)
