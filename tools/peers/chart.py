"""The sweep as a picture: GFLOP/s over the sizes of squares, and times of the other shapes beside ffwd's."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from html import escape

from peers import HERE, IN_F32, OURS, Peer
from products_table import by_shape, name, rate

sys.path.append(str(HERE.parent))
from curves import COLOURS, ticks  # noqa: E402

WIDTH = 720
ROW = 20  # pixels from shape to shape

# Sizes that are none of these multiples stand among the other shapes.
EVEN = 32

COLOUR = dict(zip(IN_F32, (*COLOURS, "#d6336c")))


@dataclass(frozen=True)
class Panel:
    """Where curves or dots stand, in pixels, and which numbers lie at its edges."""

    left: int
    right: int
    top: int
    bottom: int
    least: float
    most: float

    def x(self, number: float) -> float:
        """By the number's logarithm."""
        share = math.log(number / self.least) / math.log(self.most / self.least)
        return self.left + (self.right - self.left) * share

    def grid(self) -> list:
        """Vertical lines with their numbers below."""
        parts = []
        for tick in ticks(self.least, self.most):
            parts.append(f'<path d="M{self.x(tick):.1f} {self.top}V{self.bottom}" stroke="#ddd"/>')
            parts.append(text(self.x(tick), self.bottom + 16, f"{tick:g}"))
        return parts


def text(x: float, y: float, words: str, anchor: str = "middle", colour: str = "#444") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(words)}</text>'


def draw(rows: list) -> str:
    """One picture of a sweep."""
    times = by_shape(rows)
    peers = [peer for peer in IN_F32 if any(peer.name in of_shape for of_shape in times.values())]
    squares = [shape for shape in times if is_even_square(shape)]
    others = [shape for shape in times if not is_even_square(shape) and OURS.name in times[shape]]
    parts, below = squares_panel(squares, times, peers) if squares else ([], 0)
    if others:
        dots, below = others_panel(others, times, peers, below + 34)
        parts += dots
    title = "Small and odd products of matrices in f32: GFLOP/s, and time beside ffwd's"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {below}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{below}" fill="#fff"/>',
        *parts,
        "</svg>",
        "",
    ])


def is_even_square(shape: tuple) -> bool:
    _, m, k, n = shape
    return m == k == n and m % EVEN == 0


def squares_panel(shapes: list, times: dict, peers: list) -> tuple[list, int]:
    """A curve for each library, whose name stands at its end; and where the panel ends."""
    sizes = {shape: shape[1] for shape in shapes}
    panel = Panel(56, WIDTH - 150, 28, 320, min(sizes.values()) * 0.95, max(sizes.values()) * 1.05)
    curves = {
        peer: [(sizes[shape], rate(shape, times[shape][peer.name])) for shape in shapes if peer.name in times[shape]]
        for peer in peers
    }
    most = 1.05 * max(speed for curve in curves.values() for _, speed in curve)

    def y(speed: float) -> float:
        return panel.bottom - (panel.bottom - panel.top) * speed / most

    parts = [text(panel.left, panel.top - 10, "GFLOP/s of squares, by their size", "start"), *panel.grid()]
    step = max(ticks(most / 10, most / 4))
    for speed in (step * count for count in range(int(most / step) + 1)):
        parts.append(f'<path d="M{panel.left} {y(speed):.1f}H{panel.right}" stroke="#ddd"/>')
        parts.append(text(panel.left - 6, y(speed) + 4, f"{speed:g}", "end"))
    for peer, curve in curves.items():
        line = " ".join(f"{panel.x(size):.1f},{y(speed):.1f}" for size, speed in curve)
        width = 3 if peer == OURS else 1.6
        parts.append(f'<polyline points="{line}" fill="none" stroke="{COLOUR[peer]}" stroke-width="{width}"/>')
    ends = {peer: y(curve[-1][1]) + 4 for peer, curve in curves.items() if curve}
    return parts + names(ends, panel.right + 8), panel.bottom + 24


def names(ends: dict, x: float) -> list:
    """The libraries' names at these heights, or as far below as they have to be to stand apart."""
    parts, free = [], 0.0
    for peer, end in sorted(ends.items(), key=lambda item: item[1]):
        free = max(free, end)
        parts.append(text(x, free, peer.label, "start", COLOUR[peer]))
        free += 14
    return parts


def others_panel(shapes: list, times: dict, peers: list, top: int) -> tuple[list, int]:
    """A line of dots for each shape, one for each library; and where the panel ends."""
    found = {
        shape: [(peer, multiple(peer, times[shape])) for peer in peers if peer.name in times[shape]] for shape in shapes
    }
    multiples = [number for of_shape in found.values() for _, number in of_shape]
    bottom = top + ROW * len(shapes) + 4
    panel = Panel(150, WIDTH - 24, top, bottom, min(0.5, 0.9 * min(multiples)), max(2.0, 1.1 * max(multiples)))
    parts = [
        text(panel.left, top - 10, "time of other shapes as a multiple of ffwd's: the right is slower", "start"),
        *panel.grid(),
    ]
    for index, shape in enumerate(shapes):
        y = top + ROW * (index + 0.5) + 2
        parts.append(text(panel.left - 8, y + 4, name(shape).removeprefix("NN "), "end"))
        parts.append(f'<path d="M{panel.left} {y:.1f}H{panel.right}" stroke="#ddd"/>')
        for peer, number in found[shape]:
            if peer != OURS:
                parts.append(dot(panel.x(number), y, peer))
    parts.append(f'<path d="M{panel.x(1):.1f} {top}V{bottom}" stroke="{COLOUR[OURS]}" stroke-width="3"/>')
    return parts, bottom + 28


def multiple(peer: Peer, times: dict) -> float:
    """A library's time as a multiple of ours."""
    return times[peer.name].ns / times[OURS.name].ns


def dot(x: float, y: float, peer: Peer) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{COLOUR[peer]}"/>'
