"""A comparison as Markdown: products, outer epochs, and what they were measured with."""

from __future__ import annotations

import textwrap
from pathlib import Path
from statistics import median
from typing import Optional

from peers import EPOCHS, OURS, PRODUCTS, ROLES, Peer

BEGIN, END = "<!-- peers -->", "<!-- /peers -->"

# FinalLoss of the same epoch of two seeds differs by about this much at most.
LOSS_TOLERANCE = 0.002


def markdown(report: dict) -> str:
    """The whole comparison."""
    parts = [heading(report)]
    if report["products"]:
        parts.append(products_table(report["products"]))
    if report["epochs"]:
        parts.append(epochs_table(report["epochs"]))
    if report.get("accuracy"):
        parts.append(accuracy_table(report["accuracy"]))
    parts.append(versions(report))
    notes = report["notes"] + loss_note(report)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    return "\n\n".join(parts) + "\n"


def heading(report: dict) -> str:
    system = report["system"]
    numbers = f" (family {system['family']}, model {system['model']})" if system["family"] else ""
    virtual = ", virtual" if system["hypervisor"] else ""
    bf16 = ", ".join(system["bf16_instructions"] or ()) or "none"
    quick = " **Quick: small sizes, the figures mean nothing.**" if report["quick"] else ""
    return filled(
        f"{system['cpu'] or 'unknown CPU'}{numbers}, {system['cpus']} CPUs{virtual}, bf16 instructions: {bf16}; "
        f"{report['date'][:10]}, all in turns in one run, medians.{quick}"
    )


def filled(paragraph: str) -> str:
    """The paragraph in lines of at most 120 characters."""
    return textwrap.fill(paragraph, 120, break_on_hyphens=False)


def row(cells: list) -> str:
    return "| " + " | ".join(cells) + " |"


def table(head: list, body: list) -> str:
    return "\n".join([row(head), row(["---"] * len(head)), *map(row, body)])


def products_table(rows: list) -> str:
    """A line for each shape, a column for each library: GFLOP/s, and its time as a multiple of ours."""
    peers = [peer for peer in PRODUCTS if any(row["peer"] == peer.name for row in rows)]
    shapes = list(dict.fromkeys((row["op"], row["m"], row["k"], row["n"]) for row in rows))
    times = {(row["peer"], row["op"], row["m"], row["k"], row["n"]): median(row["samples_ns"]) for row in rows}

    def cell(peer: Peer, shape: tuple) -> str:
        time, ours = times.get((peer.name, *shape)), times.get((OURS.name, *shape))
        if time is None:
            return "–"
        _, m, k, n = shape
        rate = 2 * m * k * n / time
        return f"{rate:.0f}{ratio(time, None if peer == OURS else ours)}"

    body = [[f"{op} {m} x {k} x {n}", *(cell(peer, (op, m, k, n)) for peer in peers)] for op, m, k, n in shapes]
    lead = "GFLOP/s of products m x k x n (TN: A stored transposed); in brackets, time as a multiple of ffwd's:"
    return lead + "\n\n" + table(["product", *(f"{peer.label} {peer.dtype}" for peer in peers)], body)


def ratio(time: float, ours: Optional[float]) -> str:
    return f" ({time / ours:.2f})" if ours else ""


def epochs_table(epochs: dict) -> str:
    """A line for each library: seconds and FinalLoss of each outer epoch, and its time as a multiple of ours."""
    rows = {row["peer"]: row for row in epochs["rows"]}
    count = max((len(row["samples_ns"]) for row in rows.values()), default=0)
    ours = rows.get(OURS.name)
    head = ["outer epoch", *(f"{epoch + 1}" for epoch in range(count)), "FinalLoss", "times ffwd's"]
    body = []
    for peer in EPOCHS:
        if peer.name not in rows:
            continue
        samples = rows[peer.name]["samples_ns"]
        multiple = f"{sum(samples) / sum(ours['samples_ns']):.2f}" if ours else "–"
        losses = ", ".join(f"{loss:.4f}" for loss in rows[peer.name]["final_loss"])
        body.append([peer.label, *(f"{ns / 1e9:.4g} s" for ns in samples), losses, multiple])
    lead = (
        f"Outer epochs from the first on, {epochs['data']}: {epochs['samples']} images, 784-500-500, one batch, "
        f"{epochs['steps']} inner steps for each layer, f32:"
    )
    return lead + "\n\n" + table(head, body)


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
    return lead + "\n\n" + table(head, body)


def goal_lines(goal: dict) -> list:
    """The lines of one preset."""
    times = {(row["peer"], row["precision"]): time_to(row, goal["accuracy"]) for row in goal["rows"]}
    ours = times.get((OURS.name, OURS.dtype))
    lines = []
    for row in goal["rows"]:
        time = times[row["peer"], row["precision"]]
        lines.append([
            f"`{goal['preset']['preset']}`, {goal['accuracy']:.2%}",
            f"{label(row['peer'])} {row['precision']}",
            f"{median(row['samples_ns']) / 1e9:.3g}",
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
    return next(peer.label for peers in ROLES.values() for peer in peers if peer.name == name)


def versions(report: dict) -> str:
    """Who was compared, in which version."""
    labels = {peer.name: peer.label + (f" {peer.dtype}" if peer.dtype != "f32" else "") for peer in PRODUCTS + EPOCHS}
    parts = []
    for name, version in report["peers"].items():
        detail = f" ({version['detail']})" if version["detail"] else ""
        parts.append(f"{labels[name]} {version['version']}{detail}")
    build = report["build"]
    changes = ", with changes" if build["dirty"] else ""
    commit = f" ffwd at commit {build['commit'][:10]}{changes}." if build["commit"] else ""
    compiler = f"; {build['rustc']}" if build["rustc"] else ""
    return filled(f"Versions: {', '.join(parts)}{compiler}.{commit}")


def loss_note(report: dict) -> list:
    """A warning where the libraries did not compute the same; with few images, chance alone sets them apart."""
    rows = report["epochs"]["rows"] if report["epochs"] and not report["quick"] else []
    spreads = [max(losses) - min(losses) for losses in zip(*(row["final_loss"] for row in rows))]
    if max(spreads, default=0.0) <= LOSS_TOLERANCE:
        return []
    return [f"FinalLoss differs by {max(spreads):.4f}, more than {LOSS_TOLERANCE}: not the same computation."]


def around(document: Path) -> tuple[str, str]:
    """What stands before and after the markers of a document, these included."""
    before, begin, rest = document.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{document}: found no {BEGIN} ... {END}, expected both")
    return before + begin, end + after


def fill(document: Path, text: str) -> None:
    """Replaces what stands between the markers of a document."""
    before, after = around(document)
    document.write_text(f"{before}\n\n{text}\n{after}")
