"""The table of presets that were trained to an accuracy."""

from __future__ import annotations

from typing import Optional

from cells import filled, table, typical, with_legend
from peers import ACCURACY, OURS


def accuracy_table(accuracy: dict) -> str:
    """A line for each preset and library: the median epoch, the time to an accuracy, also as a multiple of ours in f32,
    and the accuracy at the end."""
    head = ["preset, accuracy", "library", "s an epoch", "s to it", "epochs to it", "at the end", "times ffwd's f32"]
    body = [line for goal in accuracy["goals"] for line in goal_lines(goal)]
    lead = filled(
        f"Seconds of training to an accuracy on the test images of {accuracy['data']}: presets of ffwd and the same "
        "mini-batches in PyTorch, each trained once to the end of its schedule. The test images are predicted after "
        "each epoch, outside the clock, only to see when the accuracy is reached; nothing is chosen by them:"
    )
    return "\n\n".join([lead, *with_legend(table(head, body))])


def goal_lines(goal: dict) -> list:
    """The lines of one preset."""
    times = {(row["peer"], row["precision"]): time_to(row, goal["accuracy"]) for row in goal["rows"]}
    ours = times.get((OURS.name, OURS.dtype))
    lines = []
    for row in goal["rows"]:
        time, epoch = times[row["peer"], row["precision"]], typical(row)
        lines.append([
            f"`{goal['preset']['preset']}`, {goal['accuracy']:.2%}",
            f"{label(row['peer'])} {row['precision']}",
            f"{epoch.ns / 1e9:.3g}{epoch.mark}",
            f"{time[0] / 1e9:.3g}" if time else "–",
            f"{time[1]} of {len(row['samples_ns'])}" if time else "–",
            f"{row['accuracy'][-1]:.2%}",
            f"{time[0] / ours[0]:.2f}" if time and ours else "–",
        ])
    return lines


def time_to(row: dict, accuracy: float) -> Optional[tuple]:
    """Nanoseconds and number of the epochs up to the first after which the accuracy is reached, if it ever is."""
    reached = [epoch for epoch, found in enumerate(row["accuracy"], start=1) if found >= accuracy]
    return (sum(row["samples_ns"][: reached[0]]), reached[0]) if reached else None


def label(name: str) -> str:
    """What the peer of this name is called."""
    return next(peer.label for peer in ACCURACY if peer.name == name)
