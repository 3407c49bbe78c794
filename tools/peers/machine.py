"""What the figures were measured on: CPU, operating system, build, date. What cannot be read is null."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path
from typing import Optional

from environment import cpus
from peers import HERE


def cpu_fields() -> dict:
    """The first CPU of /proc/cpuinfo."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return {}
    pairs = (line.split(":", 1) for line in first.splitlines() if ":" in line)
    return {key.strip(): value.strip() for key, value in pairs}


def system() -> dict:
    fields = cpu_fields()
    flags = fields.get("flags", "").split()
    return {
        "cpu": fields.get("model name") or platform.processor() or None,
        "family": fields.get("cpu family"),
        "model": fields.get("model"),
        "cpus": cpus(),
        "hypervisor": "hypervisor" in flags if flags else None,
        "bf16_instructions": [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags] if flags else None,
        "os": platform.platform(),
        "load_before": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
    }


def said(*command: str) -> Optional[str]:
    """The first line a program prints."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE)
    except OSError:
        return None
    return done.stdout.partition("\n")[0] if done.returncode == 0 else None


def build() -> dict:
    changes = said("git", "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": said("git", "rev-parse", "HEAD"),
        "dirty": None if changes is None else bool(changes),
        "rustc": said("rustc", "--version"),
        "python": platform.python_version(),
    }


def now() -> str:
    """UTC, to the second."""
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
