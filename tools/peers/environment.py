"""What the workers run in: a virtual environment filled from PyPI, the built Rust worker, and their variables."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from peers import HERE

VENV = HERE / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
REQUIREMENTS = HERE / "requirements.txt"
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target").resolve()
RUST_WORKER = TARGET / "release" / ("ffwd-peers.exe" if os.name == "nt" else "ffwd-peers")


# Packages that are built from this repository and not taken from PyPI.
BUILT_HERE = {"ffwd": str(ROOT / "tools" / "python")}


def cpus() -> int:
    """CPUs this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# Beginnings of the variables that libraries take kernels, threads and their waiting from.
SETTINGS = tuple(f"{name}_" for name in "BLIS DNNL GOMP GOTO KMP MKL OMP ONEDNN OPENBLAS RAYON TF TORCH".split())


def python(packages: tuple) -> Path:
    """The interpreter that has these packages of PyPI."""
    return PYTHON if packages else Path(sys.executable)


def variables() -> dict:
    """The environment of the workers: libraries as they come, but with as many threads as CPUs; ordinary pages for
    everyone's operands, no GPU."""
    libraries = ("BLIS", "MKL", "OMP", "OPENBLAS", "RAYON")
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)},
        **{f"{library}_NUM_THREADS": str(cpus()) for library in libraries},
        "NUMPY_MADVISE_HUGEPAGE": "0",
        "CUDA_VISIBLE_DEVICES": "",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def failure(command: list) -> str:
    """Runs a command with its output on standard error; where it fails, why in one line, and otherwise nothing."""
    try:
        done = subprocess.run(command, stdout=sys.stderr.fileno(), stderr=subprocess.PIPE, text=True)
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    if done.returncode == 0:
        return ""
    print(done.stderr, file=sys.stderr)
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines[-1:] or [f"{command[0]} ended with code {done.returncode}"])[0]


def build_rust() -> str:
    """Builds the Rust worker, with all programs of the workspace, which share one build of the library; why not, if it
    cannot be built."""
    places = ["--manifest-path", str(ROOT / "Cargo.toml"), "--target-dir", str(TARGET)]
    return failure(["cargo", "build", "--release", "--quiet", "--workspace", "--bins", *places])


def install(packages: list) -> dict:
    """Installs packages one by one, so that one that cannot be had leaves the others; why not, for each that failed."""
    if not PYTHON.exists():
        reason = failure([sys.executable, "-m", "venv", str(VENV)])
        if reason:
            return {package: reason for package in packages}
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "-c", str(REQUIREMENTS)]
    reasons = {package: failure([*pip, BUILT_HERE.get(package, package)]) for package in packages}
    return {package: reason for package, reason in reasons.items() if reason}
