#!/usr/bin/env python3
"""Fits a model of a step on many machines to what was measured on one, and writes its predictions.

    python3 tools/cluster/model.py --measure --write docs/distributed.md     measures this machine first: ten minutes
    python3 tools/cluster/model.py --write docs/distributed.md               from tools/cluster/measured.json

A step of R nodes on n samples takes

    compute    a n / R + f                      a and f from steps of one process on 7,500 to 60,000 samples
    bytes      2 S (R - 1) / R / B              each node sends its slices of S bytes, and its sums of them
    units      16 U (R - 1) / B                 each node tells all others of its U units
    messages   L (log2 R + 1 + R / 2) + o R     a gathering, an exchange and a spreading that goes from node to node

where B is the bandwidth of a node and L the time of a message. How well the second line fits is told by the runs that
tools/cluster/network.py makes of two ranks at several bandwidths.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))

from curves import Curve, draw  # noqa: E402

MEASURED = HERE / "measured.json"
SAMPLES = (7500, 15000, 30000, 60000)
# Of the Keras example: inputs and units of each layer, and the columns that its units are packed in.
LAYERS = ((784, 512), (500, 512))
UNITS = 500
STEPS = 20
PARTS = 32
# A message from machine to machine, and what each further one costs that is under way beside it.
LATENCY, OVERHEAD = 50e-6, 2e-6
NODES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
GBITS = (10, 25)
MARKS = ("<!-- {} -->", "<!-- /{} -->")


def bytes_of_step() -> float:
    """S: what the sums of a layer are, the mean of all."""
    return sum(4 * inputs * columns for inputs, columns in LAYERS) / len(LAYERS)


def line_through(points: list) -> tuple:
    """Slope and height at zero of the line of least squares."""
    count = len(points)
    x, y = (sum(values) / count for values in zip(*points))
    slope = sum((a - x) * (b - y) for a, b in points) / sum((a - x) ** 2 for a, _ in points)
    return slope, y - slope * x


def step_on(nodes: int, samples: int, fitted: tuple, gbit: float) -> float:
    """Predicted seconds of a step of `nodes` nodes on a batch of `samples`."""
    slope, fixed = fitted
    parts = PARTS if samples <= PARTS * 4096 else math.ceil(samples / 4096)
    busiest = math.ceil(parts / nodes) / parts
    compute = slope * samples * busiest + fixed
    if nodes == 1:
        return compute
    sent = (2 * bytes_of_step() / nodes + 16 * UNITS) * (nodes - 1) / (gbit * 1e9 / 8)
    messages = LATENCY * (math.log2(nodes) + 1 + nodes / 2) + OVERHEAD * nodes
    return compute + sent + messages


def measure(program: Path) -> dict:
    """Seconds of a step of one process with all cores, in turns over the sizes."""
    found: dict = {samples: [] for samples in SAMPLES}
    for _ in range(3):
        for samples in SAMPLES:
            words = "--preset keras --precision f32 --epochs 1 --test-limit 100 --quiet --json --out none --data mnist"
            options = [*words.split(), "--inner-steps", str(STEPS), "--train-limit", str(samples)]
            done = subprocess.run([program, *options], capture_output=True, text=True, check=True)
            summary = json.loads(done.stdout)
            found[samples].append(summary["epochs"][0]["seconds"] / (STEPS * len(LAYERS)))
    return {str(samples): median(steps) for samples, steps in found.items()}


def network(program: Path) -> dict:
    """Two ranks of one thread each at several bandwidths."""
    file = HERE / "network.json"
    words = [sys.executable, HERE / "network.py", "--program", program, "--delay", "50us", "--write", file]
    subprocess.run(words, check=True, env={**os.environ})
    found = json.loads(file.read_text())
    file.unlink()
    for runs in found["runs"].values():
        for run in runs:
            del run["weights_sha256"]
    return found


def seconds_per_byte(rate: str) -> float:
    return 0.0 if rate == "none" else 8 / (float(rate.removesuffix("gbit")) * 1e9)


def tables(measured: dict) -> dict:
    """The tables of the document, by name."""
    steps = measured["steps"]
    slope, fixed = fitted = line_through([(int(samples), seconds) for samples, seconds in steps.items()])
    rows = ["| samples | ms a step | the line through them |", "| --- | --- | --- |"]
    for samples, seconds in steps.items():
        rows.append(f"| {int(samples):,} | {1e3 * seconds:.1f} | {1e3 * (slope * int(samples) + fixed):.1f} |")
    rows += ["", f"The line: {1e6 * slope:.2f} us for each sample, and {1e3 * fixed:.2f} ms for each step."]
    compute = rows

    runs = measured["network"]["runs"]
    waits = {rate: median(run["waiting"] for run in of_rate) for rate, of_rate in runs.items()}
    sent, least = line_through([(seconds_per_byte(rate), wait) for rate, wait in waits.items()])
    rows = ["| bandwidth | ms a step | of these waiting | the model's waiting |", "| --- | --- | --- | --- |"]
    for rate, of_rate in runs.items():
        step = median(run["step"] for run in of_rate)
        name = "no limit" if rate == "none" else rate.replace("gbit", " Gbit/s")
        model = 1e3 * (least + bytes_of_step() * seconds_per_byte(rate))
        rows.append(f"| {name} | {1e3 * step:.1f} | {1e3 * waits[rate]:.1f} | {model:.1f} |")
    rows += [
        "",
        f"The line through the waiting: {sent / 1e6:.2f} MB for each step, where the model says "
        f"{bytes_of_step() / 1e6:.2f} MB, and {1e3 * least:.1f} ms without a limit.",
    ]
    waiting = rows

    head = "| nodes | 60,000 samples in all: ms a step | times as fast | 60,000 for each node: ms a step | efficiency |"
    rows = [head, "| --- | --- | --- | --- | --- |"]
    for nodes in NODES:
        both = [[step_on(nodes, n, fitted, gbit) for gbit in GBITS] for n in (60000, 60000 * nodes)]
        one = step_on(1, 60000, fitted, GBITS[0])
        pair = "{:.{p}f} / {:.{p}f}".format
        strong, weak = ([1e3 * seconds for seconds in steps] for steps in both)
        speed = [one / seconds for seconds in both[0]]
        efficiency = [100 * one / seconds for seconds in both[1]]
        cells = (pair(*strong, p=1), pair(*speed, p=1), pair(*weak, p=1), pair(*efficiency, p=0) + " %")
        rows.append(f"| {nodes:,} | " + " | ".join(cells) + " |")
    return {"compute": compute, "waiting": waiting, "predicted": rows}


def picture(measured: dict) -> str:
    """How many times as fast as one node, predicted."""
    fitted = line_through([(int(samples), seconds) for samples, seconds in measured["steps"].items()])
    one = step_on(1, 60000, fitted, GBITS[0])
    curves = []
    for gbit in GBITS:
        strong = [(n, one / step_on(n, 60000, fitted, gbit)) for n in NODES]
        weak = [(n, n * one / step_on(n, 60000 * n, fitted, gbit)) for n in NODES]
        curves += [Curve(f"strong, {gbit} Gbit/s", strong), Curve(f"weak, {gbit} Gbit/s", weak)]
    beside = "times the samples a second of one node (predicted)"
    return draw(curves, ("Predicted speed against nodes", "nodes", beside))


def put(text: str, name: str, rows: list) -> str:
    """`text` with the table between its marks."""
    begin, end = (mark.format(name) for mark in MARKS)
    before, rest = text.split(begin)
    _, after = rest.split(end)
    return before + begin + "\n" + "\n".join(rows) + "\n" + end + after


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/fast-train")
    parser.add_argument("--measure", action="store_true", help="measure this machine (as root) before")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="put the tables there, and the picture beside it")
    return parser.parse_args()


def main() -> None:
    asked = arguments()
    if asked.measure:
        program = asked.program.resolve()
        measured = {"steps": measure(program), "network": network(program)}
        MEASURED.write_text(json.dumps(measured, indent=1) + "\n")
    measured = json.loads(MEASURED.read_text())
    for name, rows in tables(measured).items():
        print("\n".join(rows), end="\n\n")
        if asked.write:
            asked.write.write_text(put(asked.write.read_text(), name, rows))
    if asked.write:
        asked.write.with_suffix(".svg").write_text(picture(measured))


if __name__ == "__main__":
    main()
