"""Curves as SVG, both axes logarithmic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 56, 130, 16, 44
COLOURS = ("#1b6ca8", "#c1440e", "#2e8b57", "#7b3f98", "#555555", "#b8860b")


@dataclass
class Curve:
    """Pairs of numbers above zero, such as seconds and errors in percent."""

    name: str
    points: list


def ticks(least: float, most: float) -> list:
    """1, 2 and 5 times powers of ten between two numbers."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    return [step * 10.0**power for power in powers for step in (1, 2, 5) if least <= step * 10.0**power <= most]


LEARNING = (
    "Error on validation images against seconds of training",
    "seconds of training",
    "error on validation images, %",
)


def draw(curves: list, words: tuple = LEARNING) -> str:
    """One picture of all curves that have a point; `words` say what it is of, and what its axes are."""
    title, below, beside = words
    curves = [curve for curve in curves if curve.points]
    seconds = [second for curve in curves for second, _ in curve.points]
    errors = [max(error, 0.01) for curve in curves for _, error in curve.points]
    (left, right), (low, high) = (min(seconds), max(seconds)), (min(errors) * 0.9, max(errors) * 1.1)

    def x(second: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(second / left) / max(math.log(right / left), 1e-9)

    def y(error: float) -> float:
        share = math.log(max(error, 0.01) / low) / math.log(high / low)
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    def text(at_x: float, at_y: float, words: str, anchor: str = "middle", colour: str = "#444") -> str:
        return f'<text x="{at_x:.1f}" y="{at_y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for tick in ticks(left, right):
        parts.append(f'<path d="M{x(tick):.1f} {TOP}V{HEIGHT - BOTTOM}" stroke="#ddd"/>')
        parts.append(text(x(tick), HEIGHT - BOTTOM + 16, f"{tick:g}"))
    for tick in ticks(low, high):
        parts.append(f'<path d="M{LEFT} {y(tick):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(text(LEFT - 6, y(tick) + 4, f"{tick:g}", "end"))
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, below))
    parts.append(text(LEFT, TOP - 4, beside, "start"))
    ends = []
    for colour, curve in zip(COLOURS, curves):
        line = " ".join(f"{x(second):.1f},{y(error):.1f}" for second, error in curve.points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        ends.append([y(curve.points[-1][1]) + 4, curve, colour])
    # Names stand at the ends of their curves, one below the other.
    ends.sort(key=lambda end: end[0])
    for above, below in zip(ends, ends[1:]):
        below[0] = max(below[0], above[0] + 14)
    for at, curve, colour in ends:
        words = f"{curve.name} {curve.points[-1][1]:.2f}"
        parts.append(text(WIDTH - RIGHT + 6, at, words, "start", colour))
    return "\n".join([*parts, "</svg>", ""])
