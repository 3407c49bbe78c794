#!/usr/bin/env python3
"""Runs commands and draws what they print as a terminal, an SVG in which each line appears when it was printed.

    python3 tools/recording.py docs/recording.svg "cargo run --release -- --out none" "fast-train info"

A command is run by the shell; what it prints on both streams is shown as it is, long lines cut off. Where a picture
cannot move, all lines are visible. Pauses of more than two seconds are shown as two, and the picture says so by the
times that the commands print, which are not changed. Needs Python 3.9.
"""

import subprocess
import sys
import time
from html import escape
from pathlib import Path

COLUMNS = 116
LINE = 18
MARGIN = 14
WIDTH = 900
LONGEST_PAUSE = 2.0
# Between what a person would type and its first line.
TYPING = 0.8


def record(command: str) -> list:
    """The lines that a command prints, each with the seconds since it began."""
    begun = time.monotonic()
    process = subprocess.Popen(command, shell=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = [(time.monotonic() - begun, line.rstrip("\n")) for line in process.stdout]
    if process.wait():
        sys.exit(f"{command}: ended with {process.returncode}")
    return lines


def timeline(commands: list) -> list:
    """All lines with the seconds at which they appear, pauses shortened; a command's own line first."""
    shown, now = [], 0.0
    for command in commands:
        shown.append((now, f"$ {command}"))
        now, before = now + TYPING, 0.0
        for at, line in record(command):
            now += min(at - before, LONGEST_PAUSE)
            before = at
            shown.append((now, line))
        now += TYPING
    return shown


def drawing(lines: list) -> str:
    height = len(lines) * LINE + 2 * MARGIN
    texts = []
    for number, (at, line) in enumerate(lines):
        kind = "command" if line.startswith("$ ") else "line"
        cut = line if len(line) <= COLUMNS else line[: COLUMNS - 1] + "…"
        y = MARGIN + number * LINE + 13
        delay = f"animation-delay:{at:.2f}s"
        texts.append(f'<text class="{kind}" x="{MARGIN}" y="{y}" style="{delay}">{escape(cut)}</text>')
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"',
            f'     height="{height}">',
            "<style>",
            "text { font: 12.3px ui-monospace, Menlo, Consolas, monospace; fill: #d5dae2; white-space: pre;",
            "       animation: appear 1ms backwards }",
            ".command { fill: #8fd18f }",
            "@keyframes appear { from { opacity: 0 } }",
            "</style>",
            f'<rect width="{WIDTH}" height="{height}" rx="8" fill="#15191f"/>',
            *texts,
            "</svg>",
            "",
        ]
    )


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit((__doc__ or "").strip())
    Path(sys.argv[1]).write_text(drawing(timeline(sys.argv[2:])))
