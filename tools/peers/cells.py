"""What the tables are made of: lines of Markdown, and the typical time of a row."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from statistics import median
from typing import Optional

# What a time is marked with that is a median of disturbed samples, and what it says below the table.
MARK = "†"
LEGEND = f"{MARK} No sample was undisturbed: the median of all."


@dataclass(frozen=True)
class Time:
    """The typical time of a row."""

    ns: float
    mark: str = ""


def typical(row: dict) -> Time:
    """The median of the undisturbed samples; where there are none, that of all, marked."""
    samples = row["samples_ns"]
    undisturbed = [ns for ns, disturbed in zip(samples, row["disturbed"]) if not disturbed]
    return Time(median(undisturbed)) if undisturbed else Time(median(samples), MARK)


def multiple(ns: float, ours: Optional[float]) -> str:
    """A time as a multiple of ours, in brackets."""
    return f" ({ns / ours:.2f})" if ours else ""


def filled(paragraph: str) -> str:
    """The paragraph in lines of at most 120 characters."""
    return textwrap.fill(paragraph, 120, break_on_hyphens=False)


def line(cells: list) -> str:
    return "| " + " | ".join(cells) + " |"


def table(head: list, body: list) -> str:
    return "\n".join([line(head), line(["---"] * len(head)), *map(line, body)])


def with_legend(text: str) -> list:
    """A table, and below it what its marks say."""
    return [text, LEGEND] if MARK in text else [text]
