"""Builds the wheel: maturin's build backend, and before it the program `fast-train`, which the wheel carries as a
script.

pip calls these functions by the names that PEP 517 and PEP 660 give them. The program and the native module are made of
one build of the library. Needs Rust, and nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import maturin
from maturin import get_requires_for_build_editable, get_requires_for_build_sdist, get_requires_for_build_wheel

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
]

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
SCRIPTS = HERE / "data" / "scripts"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    place_program()
    return maturin.build_wheel(wheel_directory, config_settings, metadata_directory)


def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    place_program()
    return maturin.build_editable(wheel_directory, config_settings, metadata_directory)


def build_sdist(sdist_directory, config_settings=None):
    raise NotImplementedError("the package is built from the repository of ffwd, not from an archive of this directory")


def place_program() -> None:
    """Builds `fast-train` and puts it where maturin looks for scripts."""
    if not (ROOT / "Cargo.toml").exists():
        raise RuntimeError(f"{ROOT}: found no Cargo.toml, expected the repository; pip before 21.3 builds elsewhere")
    # With the native module, so that both come from one build of the library.
    cargo = ["cargo", "build", "--release", "--package", "ffwd", "--package", "ffwd-python", "--lib"]
    cargo += ["--bin", "fast-train", "--message-format", "json"]
    # The module is loaded by an interpreter and needs no library of it to be linked.
    variables = {**os.environ, "PYO3_BUILD_EXTENSION_MODULE": "1"}
    built = subprocess.run(cargo, cwd=ROOT, env=variables, check=True, stdout=subprocess.PIPE, text=True).stdout
    messages = (json.loads(line) for line in built.splitlines() if line.startswith("{"))
    program = Path(next(message["executable"] for message in messages if message.get("executable")))
    SCRIPTS.mkdir(parents=True, exist_ok=True)
    placed = SCRIPTS / program.name
    shutil.copy2(program, placed)
    if os.name == "posix" and shutil.which("strip"):
        # Its symbols are for those who debug it.
        subprocess.run(["strip", str(placed)], check=True)
