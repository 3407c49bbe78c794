"""Measuring this machine, as `fast-train bench` does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Optional

from ffwd._threads import threads_of


def bench(*, quick: bool = False, n_jobs: Optional[int] = None) -> dict[str, Any]:
    """Measure every kernel of the engine on this machine.

    Parameters
    ----------
    quick : bool, default=False
        A report that takes a minute, of small sizes, in place of 4 to 8 minutes.
    n_jobs : int, optional
        Threads; by default one for every CPU that the process may use.

    Returns
    -------
    report : dict
        The report of `fast-train bench -o json`: `system`, `peaks`, `kernels` with all samples in nanoseconds,
        `scaling` over threads, `training` and others. `fast-train compare` takes it from a file.

    Raises
    ------
    RuntimeError
        The program ended with an error.
    """
    command = [program(), "bench", "--output", "json"]
    command += ["--quick"] if quick else []
    command += ["--threads", str(threads_of(n_jobs))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"fast-train bench: exit code {done.returncode}")
    return json.loads(done.stdout)


def program() -> str:
    """The program that was installed with this package, beside the interpreter or on the path."""
    beside = Path(sys.executable).parent / "fast-train"
    found = shutil.which(str(beside)) or shutil.which("fast-train")
    if found is None:
        raise RuntimeError(f"fast-train: found neither {beside} nor one on the path, expected what the wheel installs")
    return found
