#!/usr/bin/env python3
"""Trains every preset with several seeds, unattended, and writes the table of docs/recipes.md and its curves.

    python3 tools/recipes/run.py --runs DIR --write docs/recipes.md     everything: hours, see `fast-train presets`
    python3 tools/recipes/run.py --runs DIR --presets quick,paper --seeds 3
    python3 tools/recipes/run.py --runs DIR --no-training --write docs/recipes.md      the table of what is there

A run that is there already is not repeated, so that the command can be stopped and started again. Runs of the table
train on all training images and look at the test images once, at their end. The curves are of one more run of each
preset, which keeps 10,000 training images for validation and predicts them after every epoch. Needs Python 3.9 and
nothing else.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import mean
from typing import Optional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from curves import Curve, draw  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target" / "release" / "fast-train"
BEGIN, END = "<!-- recipes -->", "<!-- /recipes -->"
PRESETS = ("quick", "paper", "paper-4x2000", "best", "backprop")
VALIDATION = 10_000


def arguments(words: Optional[list] = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=Path, required=True, metavar="DIR", help="where the runs are kept")
    parser.add_argument("--presets", default=",".join(PRESETS), help=f"which, default {','.join(PRESETS)}")
    parser.add_argument("--seeds", type=int, default=3, help="runs of each preset, default 3")
    parser.add_argument("--data", default="mnist", help="data set, as fast-train takes it, default mnist")
    parser.add_argument("--no-training", action="store_true", help="take the runs that are there")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help=f"put the table between {BEGIN} and {END}")
    return parser.parse_args(words)


def train(given: argparse.Namespace, directory: Path, preset: str, seed: int, more: list) -> None:
    """Trains one run, unless it is there."""
    if (directory / "summary.json").exists():
        return
    command = [PROGRAM, "--preset", preset, "--seed", seed, "--data", given.data, "--out", directory, *more]
    print(" ".join(map(str, command)), flush=True)
    subprocess.run(list(map(str, command)), check=True)


def summaries(runs: Path, preset: str) -> list:
    """The finished runs of a preset, by seed."""
    found = sorted(runs.glob(f"{preset}-*/summary.json"))
    of_preset = re.compile(re.escape(preset) + "-[0-9]+")
    whole = [json.loads(path.read_text()) for path in found if of_preset.fullmatch(path.parent.name)]
    return [summary for summary in whole if not summary["interrupted"]]


def peak() -> Optional[float]:
    """The f32 peak that `fast-train presets` measures, in GFLOP/s."""
    text = subprocess.run([PROGRAM, "presets"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"([0-9]+) GFLOP/s", text)
    return float(found[1]) if found else None


def operations(summary: dict) -> float:
    """Operations of the algorithm as written, two for each multiply-add, of a whole run."""
    config = summary["config"]
    sizes = [784, *config["layers"]]
    weights = sum(k * u for k, u in zip(sizes, sizes[1:]))
    # Forward and gradient of positive and negative rows, and the neutral ones forward; or one row there and back.
    products = 3 if config["learning"] == "backpropagation" else 5
    return 2.0 * products * weights * summary["dataset"]["train"] * config["epochs"]


def row(preset: str, runs: list, gflops: Optional[float]) -> str:
    """One line of the table."""
    config = runs[0]["config"]
    errors = [100.0 * (1.0 - run["test_accuracy"]) for run in runs]
    seconds = [sum(epoch["seconds"] for epoch in run["epochs"]) for run in runs]
    # What else runs on a machine only adds.
    fastest = min(seconds)
    share = f"{operations(runs[0]) / fastest / 1e9 / gflops:.0%}" if gflops else ""
    cells = [
        f"`{preset}`",
        "-".join(map(str, config["layers"])),
        str(config["epochs"]),
        f"{mean(errors):.2f}",
        f"{min(errors):.2f} to {max(errors):.2f} ({len(errors)})",
        f"{fastest:.1f}" if fastest < 100 else f"{fastest:.0f}",
        f"{runs[0]['dataset']['train'] * config['epochs'] / fastest:,.0f}",
        share,
        runs[0]["precision"],
    ]
    return "| " + " | ".join(cells) + " |"


def table(runs: Path, presets: list, gflops: Optional[float]) -> str:
    """The table in Markdown."""
    head = [
        "| preset | layers | epochs | error, % | seeds | seconds | images/s | of the f32 peak | products |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    rows = [row(preset, found, gflops) for preset in presets if (found := summaries(runs, preset))]
    return "\n".join(head + rows)


def curve(runs: Path, preset: str) -> Optional[Curve]:
    """Error on the validation images against seconds of training."""
    path = runs / f"curve-{preset}" / "metrics.jsonl"
    if not path.exists():
        return None
    points, seconds = [], 0.0
    for line in path.read_text().splitlines():
        epoch = json.loads(line)
        seconds += epoch["seconds"]
        if epoch.get("validation_accuracy") is not None:
            points.append((seconds, 100.0 * (1.0 - epoch["validation_accuracy"])))
    return Curve(preset, points)


def put(document: Path, text: str, marks: tuple = (BEGIN, END)) -> None:
    """Puts `text` between the marks of a document."""
    begin, end = marks
    before, rest = document.read_text().split(begin)
    after = rest.split(end)[1]
    document.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def main() -> int:
    given = arguments()
    presets = given.presets.split(",")
    os.chdir(ROOT)
    if not given.no_training:
        subprocess.run(["cargo", "build", "--release", "--locked"], check=True)
        for preset in presets:
            for seed in range(1, given.seeds + 1):
                train(given, given.runs / f"{preset}-{seed}", preset, seed, [])
            train(given, given.runs / f"curve-{preset}", preset, 1, ["--validation", VALIDATION])
    text = table(given.runs, presets, peak())
    print(text)
    if given.write:
        put(given.write, text)
        curves = [found for preset in presets if (found := curve(given.runs, preset))]
        if curves:
            given.write.with_suffix(".svg").write_text(draw(curves))
    return 0


if __name__ == "__main__":
    sys.exit(main())
