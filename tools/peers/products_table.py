"""The tables of products, and how far ffwd is ahead of the fastest other library in f32."""

from __future__ import annotations

from statistics import geometric_mean
from typing import Optional

from cells import Time, filled, multiple, table, typical, with_legend
from peers import IN_F32, OURS, PRODUCTS, Peer

LEADS = {
    "products": "GFLOP/s of products m x k x n (TN: A stored transposed); in brackets, time as a multiple of ffwd's:",
    "sweep": "GFLOP/s of small and odd products m x k x n, each again and again; in brackets, time as a multiple of "
    "ffwd's:",
}


def products_table(role: str, rows: list) -> str:
    """A line for each shape, a column for each library, and one for the fastest of the others."""
    times = by_shape(rows)
    peers = [peer for peer in PRODUCTS if any(peer.name in of_shape for of_shape in times.values())]
    ahead = {shape: lead(of_shape) for shape, of_shape in times.items()}
    body = []
    for shape, of_shape in times.items():
        best = f"{ahead[shape]:.2f}" if ahead[shape] else "–"
        body.append([name(shape), *(cell(peer, shape, of_shape) for peer in peers), best])
    head = ["product", *(f"{peer.label} {peer.dtype}" for peer in peers), "best of the others"]
    parts = [filled(LEADS[role]), *with_legend(table(head, body))]
    known = [multiple for multiple in ahead.values() if multiple]
    if known:
        parts.append(filled(
            "Best of the others: the time of the fastest other library in f32 as a multiple of ffwd's; its geometric "
            f"mean is {geometric_mean(known):.2f}."
        ))
    return "\n\n".join(parts)


def by_shape(rows: list) -> dict:
    """The typical times of each shape, by the names of the libraries."""
    times: dict[tuple, dict[str, Time]] = {}
    for row in rows:
        times.setdefault((row["op"], row["m"], row["k"], row["n"]), {})[row["peer"]] = typical(row)
    return times


def name(shape: tuple) -> str:
    op, m, k, n = shape
    return f"{op} {m} x {k} x {n}"


def rate(shape: tuple, time: Time) -> float:
    """GFLOP/s of a product."""
    _, m, k, n = shape
    return 2 * m * k * n / time.ns


def cell(peer: Peer, shape: tuple, times: dict) -> str:
    time, ours = times.get(peer.name), times.get(OURS.name)
    if time is None:
        return "–"
    return f"{rate(shape, time):.0f}{time.mark}{multiple(time.ns, ours.ns if ours and peer != OURS else None)}"


def lead(times: dict) -> Optional[float]:
    """The time of the fastest other library in f32 as a multiple of ours, where there is one."""
    others = [times[peer.name].ns for peer in IN_F32 if peer != OURS and peer.name in times]
    return min(others) / times[OURS.name].ns if others and OURS.name in times else None
