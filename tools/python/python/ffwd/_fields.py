"""The fields of the engine's configuration, and which of them are parameters of the estimator."""

from __future__ import annotations

import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

# Fields that are parameters of the estimator under the same name.
PARAMETERS = ("layers", "epochs", "batch", "lr", "precision")

# Fields that the estimator sets by itself, or that belong to the program's files and data sets.
NOT_OPTIONS = {
    "preset",
    "classes",
    "seed",
    "threads",
    "data",
    "out",
    "from",
    "label_base",
    "transpose",
    "train_limit",
    "test_limit",
    "validation",
    "validate_every",
    "target_accuracy",
    "checkpoint_every",
    *PARAMETERS,
}


def fields_of(parameters: Mapping[str, Any], options: Any) -> dict[str, Any]:
    """What the parameters that are given and the options ask for, in types that JSON knows."""
    if options is not None and not isinstance(options, Mapping):
        raise ValueError(f"options: found {type(options).__name__}, expected a mapping of fields")
    for name in options or {}:
        if name in NOT_OPTIONS:
            raise ValueError(f"options: found {name!r}, expected a field that is no parameter of the estimator itself")
    given = {name: parameters[name] for name in PARAMETERS if parameters[name] is not None}
    return {name: plain(name, value) for name, value in {**given, **(options or {})}.items()}


def plain(field: str, value: Any) -> Any:
    """A value as JSON knows it."""
    if isinstance(value, (np.generic, np.ndarray)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(field, each) for each in value]
    if isinstance(value, (str, bool, numbers.Integral)):
        return value
    if isinstance(value, numbers.Real):
        if not math.isfinite(value):
            raise ValueError(f"{field}: found {value}, expected a finite number")
        return float(value)
    raise ValueError(f"{field}: found {type(value).__name__}, expected a number, a text or a sequence of these")
