"""The table of outer epochs from stored states, what they come to over a run, and whether all computed the same."""

from __future__ import annotations

from math import log
from statistics import mean
from typing import Optional

from cells import Time, filled, multiple, table, typical, with_legend
from peers import EPOCHS, OURS

# Outer epochs of the Keras example.
RUN = 250

# Each library permutes the labels of the negatives by itself. Of 60,000, the share of true ones among them has a
# standard deviation of 0.12%. Where all else is told apart, such a row has a loss of about 5, and half of the rows are
# negatives: losses of two libraries differ by 0.004 in one standard deviation, and by three of them at most.
LOSS_TOLERANCE = 0.012


def epochs_table(epochs: dict) -> str:
    """A line for each library: seconds of each epoch, also as a multiple of ours, how far its losses are from ours, and
    the mean epoch of a whole run."""
    numbers = sorted({row["epoch"] for row in epochs["rows"]})
    times = by_peer(epochs["rows"])
    ours = times.get(OURS.name, {})
    peers = [peer for peer in EPOCHS if peer.name in times]
    body = []
    for peer in peers:
        own = times[peer.name]
        cells = [seconds(own.get(epoch), ours.get(epoch) if peer != OURS else None) for epoch in numbers]
        whole = seconds(whole_run(own, numbers), whole_run(ours, numbers) if peer != OURS else None)
        body.append([peer.label, *cells, difference(epochs["rows"], peer.name), whole])
    head = ["library", *(f"epoch {epoch}" for epoch in numbers), "loss off by", f"mean over {RUN}"]
    lead = filled(
        f"Outer epochs of the Keras example, {epochs['data']}: {epochs['samples']} images, 784-500-500, one batch, "
        f"{epochs['steps']} inner steps for each layer, f32. Each is trained from the state that ffwd's run was in "
        "before it; in brackets, time as a multiple of ffwd's:"
    )
    below = filled(
        f"Mean over {RUN}: of the epochs from 1 to {RUN}, linear in the logarithm of the epoch's number between those "
        f"that were measured, and constant beyond epoch {numbers[-1]}. Loss off by: the largest difference of an "
        "epoch's mean loss from ffwd's; each library draws negatives of its own."
    )
    return "\n\n".join([lead, *with_legend(table(head, body)), below])


def by_peer(rows: list) -> dict:
    """The typical times of each library, by the numbers of the epochs."""
    times: dict[str, dict[int, Time]] = {}
    for row in rows:
        times.setdefault(row["peer"], {})[row["epoch"]] = typical(row)
    return times


def seconds(time: Optional[Time], ours: Optional[Time]) -> str:
    return f"{time.ns / 1e9:.4g} s{time.mark}{multiple(time.ns, ours.ns if ours else None)}" if time else "–"


def whole_run(times: dict, numbers: list) -> Optional[Time]:
    """The mean epoch of a run, where every epoch was measured that was to be; marked where one of them is."""
    if sorted(times) != numbers:
        return None
    marks = {time.mark for time in times.values()}
    return Time(mean(interpolated(times, epoch) for epoch in range(1, RUN + 1)), max(marks))


def interpolated(times: dict, epoch: int) -> float:
    """The time of any epoch: linear in the logarithm of its number between measured ones, constant beyond them."""
    before = max((number for number in times if number <= epoch), default=min(times))
    after = min((number for number in times if number >= epoch), default=max(times))
    share = log(epoch / before) / log(after / before) if before < after else 0.0
    return times[before].ns * (1 - share) + times[after].ns * share


def mean_losses(rows: list) -> dict:
    """The mean loss of each epoch, by its number and the names of the libraries."""
    losses: dict[int, dict[str, float]] = {}
    for row in rows:
        losses.setdefault(row["epoch"], {})[row["peer"]] = mean(row["loss"])
    return losses


def difference(rows: list, peer: str) -> str:
    """The largest difference of a library's losses from ours."""
    both = [of_epoch for of_epoch in mean_losses(rows).values() if {peer, OURS.name} <= of_epoch.keys()]
    if peer == OURS.name or not both:
        return "–"
    return f"{max(abs(of_epoch[peer] - of_epoch[OURS.name]) for of_epoch in both):.4f}"


def loss_notes(report: dict) -> list:
    """Warnings where the libraries did not compute the same; with few images, chance alone sets them apart."""
    rows = report["epochs"]["rows"] if report["epochs"] and not report["quick"] else []
    spreads = {epoch: max(of.values()) - min(of.values()) for epoch, of in mean_losses(rows).items()}
    return [
        f"The loss of epoch {epoch} differs by {spread:.4f}, more than {LOSS_TOLERANCE}: not the same computation."
        for epoch, spread in spreads.items()
        if spread > LOSS_TOLERANCE
    ]
