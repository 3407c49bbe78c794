"""The report of a run: `ffwd/peers/v2`, and what can be read of the form before it.

Beside the samples of a row, "samples_ns", stand the worse of the two "probe"s of each, the share of "waiting" for
others, and whether it is "disturbed" by the best probe of the whole run. In the first version epochs followed one
another, so they are no rows of this one, and nothing stood beside samples.
"""

from __future__ import annotations

import json
from pathlib import Path

SCHEMA = "ffwd/peers/v2"
EARLIER = "ffwd/peers/v1"


def rows(report: dict) -> list:
    """The rows of all roles."""
    epochs = report["epochs"]["rows"] if report["epochs"] else []
    goals = report["accuracy"]["goals"] if report["accuracy"] else []
    estimators = report["estimators"]["rows"] if report["estimators"] else []
    of_goals = (row for goal in goals for row in goal["rows"])
    return [*report["products"], *report["sweep"], *epochs, *of_goals, *estimators]


def load(path: Path) -> dict:
    """The report of an earlier run."""
    try:
        report = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    found = report.get("schema") if isinstance(report, dict) else None
    if found == EARLIER:
        return upgraded(report)
    if found != SCHEMA:
        raise ValueError(f"{path}: found schema {found!r}, expected {SCHEMA!r} or {EARLIER!r}")
    # The first reports of this version have no estimators.
    return {"estimators": None, **report}


def upgraded(report: dict) -> dict:
    """A report of the first version as one of this."""
    notes = [f"{EARLIER} has no outer epochs from stored states."] if report["epochs"] else []
    report = {
        "accuracy": None,
        **report,
        "schema": SCHEMA,
        "sweep": [],
        "epochs": None,
        "estimators": None,
        "witness": None,
        "notes": [*report["notes"], *notes],
    }
    for row in rows(report):
        count = len(row["samples_ns"])
        row.update({"probe": [None] * count, "waiting": [None] * count, "disturbed": [False] * count})
    return report
