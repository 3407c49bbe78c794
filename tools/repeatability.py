#!/usr/bin/env python3
"""Takes two reports with one program and says by how much they differ, on a quiet machine or beside a neighbour.

    python3 tools/repeatability.py                          two reports of target/release/fast-train
    python3 tools/repeatability.py --neighbour              a busy loop on one CPU, on for 2 s and off for 2 s
    python3 tools/repeatability.py --keep DIR --neighbour   the reports stay in DIR
    python3 tools/repeatability.py --compare A.json B.json  two reports that are there already
    python3 tools/repeatability.py --compare A.json B.json --copies 0.6 --multiply-adds 0.85
                                                            the same, judged by other thresholds than the program's

What is compared are the medians of the samples that are not disturbed, as `fast-train compare` takes them, and beside
them the medians of all samples. Reports of one build on one machine should differ by at most 2% in the median over
kernels, and by at most 5% in every kernel of more than 5 ms; where they differ by more, the exit code is 1.

Needs Python 3.9 and Linux, which can pin a process to a CPU.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Iterator

ON, OFF = 2.0, 2.0  # seconds
OF_THE_MEDIAN, OF_EACH = 0.02, 0.05
LONG = 5e6  # nanoseconds

# The thresholds of src/bench/probe.rs, where samples are judged anew.
QUIET, QUIET_MEMORY, WAITING = 0.75, 0.5, 0.02


def arguments() -> argparse.Namespace:
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(
        description=lines[0], epilog="\n".join(lines[1:]), formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--program", type=Path, default=Path("target/release/fast-train"))
    parser.add_argument("--neighbour", action="store_true", help="keep one CPU busy every other two seconds")
    parser.add_argument("--quick", action="store_true", help="quick reports")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the reports there")
    parser.add_argument("--compare", type=Path, nargs=2, metavar="REPORT.json", help="measure nothing")
    parser.add_argument("--copies", type=float, metavar="SHARE", help="judge anew: copies below it disturb a sample")
    parser.add_argument("--multiply-adds", type=float, metavar="SHARE", help="the same of multiply-adds")
    return parser.parse_args()


def disturb(cpu: int) -> None:
    """Takes time from one CPU until the process is ended."""
    os.sched_setaffinity(0, {cpu})
    while True:
        end = time.monotonic() + ON
        while time.monotonic() < end:
            pass
        time.sleep(OFF)


@contextmanager
def neighbour(wanted: bool) -> Iterator[None]:
    """Another process on the last CPU of this one, while the block runs."""
    if not wanted:
        yield
        return
    process = multiprocessing.Process(target=disturb, args=(max(os.sched_getaffinity(0)),), daemon=True)
    process.start()
    try:
        yield
    finally:
        process.terminate()
        process.join()


def measure(program: Path, quick: bool, directory: Path) -> list[dict]:
    """Two reports, one after the other."""
    reports = []
    for name in ("first", "second"):
        file = directory / f"{name}.json"
        command = [str(program), "bench", "-o", "json", "--save", str(file), *(["--quick"] if quick else [])]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        reports.append(json.loads(file.read_text()))
    return reports


def judge_anew(report: dict, multiply_adds: float, copies: float) -> dict:
    """The report with its kernels' samples judged by these thresholds."""
    for row in report["kernels"]:
        seen = row["witnesses"]
        shares = zip(seen["arithmetic"], seen["memory"], seen["waiting"])
        seen["disturbed"] = [
            adds < multiply_adds or copy < copies or waiting > WAITING for adds, copy, waiting in shares
        ]
    return report


def times(row: dict, all_samples: bool) -> list[float]:
    """The samples that count, in nanoseconds; all of them where none is undisturbed."""
    samples = row["samples_ns"]
    disturbed = row.get("witnesses", {}).get("disturbed", [])
    quiet = [ns for ns, is_disturbed in zip(samples, disturbed) if not is_disturbed]
    return samples if all_samples or not quiet else quiet


def differences(reports: list[dict], all_samples: bool) -> dict[tuple, tuple[float, float]]:
    """Of each kernel of both reports, the median of the first and by how much that of the second is off."""
    keys = ("op", "shape", "dtype", "isa", "threads")
    first, second = (
        {tuple(row[key] for key in keys): median(times(row, all_samples)) for row in report["kernels"]}
        for report in reports
    )
    return {key: (first[key], second[key] / first[key] - 1) for key in first if key in second}


def disturbed(report: dict) -> str:
    rows = [row.get("witnesses", {}).get("disturbed", []) for part in ("peaks", "kernels", "scaling")
            for row in report[part]]
    return f"{sum(map(sum, rows))} of {sum(map(len, rows))} samples"


def judged(reports: list[dict]) -> bool:
    """Prints by how much two reports differ; whether that is within what is expected."""
    quiet, noisy = differences(reports, all_samples=False), differences(reports, all_samples=True)
    if not quiet:
        sys.exit("the reports have no kernel in common")
    print(f"{'kernel':<64} {'ms':>9} {'quiet':>8} {'all':>8}")
    for key, (ns, difference) in quiet.items():
        name = " ".join(map(str, key[:4]))
        print(f"{name:<64} {ns / 1e6:>9.3f} {difference:>+8.1%} {noisy[key][1]:>+8.1%}")
    print(f"disturbed: {disturbed(reports[0])}, then {disturbed(reports[1])}")
    within = True
    for name, found in (("undisturbed", quiet), ("all", noisy)):
        of_median = median(abs(difference) for _, difference in found.values())
        worst = max((abs(difference) for ns, difference in found.values() if ns > LONG), default=0.0)
        print(f"{name} samples: {of_median:.1%} in the median over kernels, {worst:.1%} in the worst of more than 5 ms")
        if name == "undisturbed":
            within = of_median <= OF_THE_MEDIAN and worst <= OF_EACH
    return within


def main() -> int:
    options = arguments()
    if options.compare:
        return finish([json.loads(path.read_text()) for path in options.compare], options)
    with tempfile.TemporaryDirectory() as temporary, neighbour(options.neighbour):
        directory = options.keep or Path(temporary)
        directory.mkdir(parents=True, exist_ok=True)
        reports = measure(options.program, options.quick, directory)
    return finish(reports, options)


def finish(reports: list[dict], options: argparse.Namespace) -> int:
    """The exit code, when all is printed."""
    if (options.multiply_adds, options.copies) != (None, None):
        multiply_adds = QUIET if options.multiply_adds is None else options.multiply_adds
        copies = QUIET_MEMORY if options.copies is None else options.copies
        reports = [judge_anew(report, multiply_adds, copies) for report in reports]
    return 0 if judged(reports) else 1


if __name__ == "__main__":
    sys.exit(main())
