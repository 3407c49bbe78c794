#!/usr/bin/env python3
"""Trains a preset with one thing changed at a time, and writes the table of what each is worth.

    python3 tools/recipes/ablation.py --runs DIR --write docs/recipes.md        `quick` with three seeds: three minutes

Errors are those of the last 10,000 training images, which are kept for validation; the test images are not looked at
for the table. Runs that are there already are not repeated. Needs Python 3.9 and nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Optional

import run

BEGIN, END = "<!-- ablation -->", "<!-- /ablation -->"

# What is changed, and how.
CHANGES = (
    ("nothing", []),
    ("negatives any wrong class", ["--negatives", "wrong"]),
    ("negatives by the read-out's probabilities as they are", ["--hardness", "1"]),
    ("without peer normalisation", ["--peer", "0"]),
    ("peer normalisation of 0.06", ["--peer", "0.06"]),
    ("SymBa's loss, temperature 20", ["--loss", "symba", "--temperature", "20"]),
    ("the logistic loss, temperature 1, rate 0.01", ["--loss", "logistic", "--temperature", "1", "--lr", "0.01"]),
    ("the logistic loss, temperature 10, rate 0.2", ["--loss", "logistic", "--temperature", "10", "--lr", "0.2"]),
    ("input dropout of 0.1", ["--input-dropout", "0.1"]),
    ("dropout of activations of 0.1", ["--dropout", "0.1"]),
    ("dropout of activations of 0.3", ["--dropout", "0.3"]),
    ("the mean of some 100 batches' weights", ["--weight-average", "0.99"]),
    ("shift by up to 1 pixel", ["--shift", "1"]),
    ("shift by up to 2 pixels", ["--shift", "2"]),
    ("AdamW, rate 0.002, decay 0.1, no peers", "--optimizer adam --lr 0.002 --weight-decay 0.1 --peer 0".split()),
    ("batches of 64", ["--batch", "64"]),
    ("batches of 256", ["--batch", "256"]),
    ("f32 products", ["--precision", "f32"]),
)


def arguments(words: Optional[list] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, metavar="DIR", help="where the runs are kept")
    parser.add_argument("--preset", default="quick", help="what is changed, default quick")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each, default 3")
    parser.add_argument("--data", default="mnist", help="data set, as fast-train takes it, default mnist")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help=f"put the table between {BEGIN} and {END}")
    return parser.parse_args(words)


def errors(directory: Path) -> tuple:
    """The last epoch's error on the validation images in percent, and seconds of an epoch."""
    epochs = json.loads((directory / "summary.json").read_text())["epochs"]
    return 100.0 * (1.0 - epochs[-1]["validation_accuracy"]), mean(epoch["seconds"] for epoch in epochs)


def row(change: str, found: list) -> str:
    """One line of the table, from the errors and seconds of each seed."""
    percents, seconds = zip(*found)
    spread = f"{min(percents):.2f} to {max(percents):.2f}"
    return f"| {change} | {mean(percents):.2f} | {spread} | {mean(seconds):.2f} |"


def main() -> int:
    given = arguments()
    os.chdir(run.ROOT)
    lines = ["| changed | error, % | seeds | seconds of an epoch |", "| --- | --- | --- | --- |"]
    for number, (change, flags) in enumerate(CHANGES):
        found = []
        for seed in range(1, given.seeds + 1):
            directory = given.runs / f"ablation-{given.preset}-{number}-{seed}"
            more = ["--validation", run.VALIDATION, "--validate-every", 1000, *flags]
            run.train(given, directory, given.preset, seed, more)
            found.append(errors(directory))
        lines.append(row(change, found))
    text = "\n".join(lines)
    print(text)
    if given.write:
        run.put(given.write, text, (BEGIN, END))
    return 0


if __name__ == "__main__":
    sys.exit(main())
