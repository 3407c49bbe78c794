"""Training states of the Keras example before chosen outer epochs, which ffwd makes once and all libraries go on from.

Each is a directory with a checkpoint of ffwd in it. Beside them stands what they are of, and by that they are known
again.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Callable

from peers import HERE, Scale
from session import say

# Where they are kept unless somebody says otherwise.
PLACE = HERE / ".states"

# The file that says what the states beside it are of.
RECORD = "states.json"


def provide(place: Path, scale: Scale, data: dict, ask: Callable[[str], dict]) -> dict[int, Path]:
    """The directory of the state before each epoch of `scale`, on the data set that ffwd has told of. `ask` gets what
    ffwd answers to a command; it makes the states where they are not there."""
    wanted = {
        "ffwd": ask("hello")["version"],
        "data": data["name"],
        "data_sha256": data["sha256"],
        "samples": scale.samples,
        "steps": scale.steps,
        "seed": ask("preset keras")["preset"]["seed"],
        "epochs": list(scale.epochs),
    }
    folder = place.resolve() / f"{data['name']}-{scale.samples}-{scale.steps}"
    states = {epoch: folder / f"epoch-{epoch}" for epoch in scale.epochs}
    if recorded(folder) != wanted:
        say(f"  making states before the epochs {', '.join(map(str, scale.epochs))} in {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        directories = {epoch: str(path) for epoch, path in states.items()}
        ask(f"states {json.dumps([scale.samples, scale.steps, data['directory'], directories])}")
        # Last: states that are not all there have no record.
        (folder / RECORD).write_text(json.dumps(wanted, indent=1) + "\n")
    return states


def recorded(folder: Path) -> object:
    """What the states in a folder are of; None where there are none."""
    try:
        return json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return None
