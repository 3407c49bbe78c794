"""What is measured in each role, and the rows that come of it.

A row holds the samples of one library: "samples_ns", and beside each of them what its witnesses saw.
"""

from __future__ import annotations

import json
from pathlib import Path

from peers import OURS, OURS_BY_ITSELF, ROLES, Peer, Scale
from session import Session, Task, say
from witness import ARITHMETIC, MEMORY
from worker import Worker, WorkerError

# A larger deviation means that something else was multiplied; rounding a result to bf16 makes a smaller one.
MAX_DEVIATION = 1e-3

# For each sample that is wanted undisturbed, so many are taken at most.
TRIES = 2

# Products with fewer operations for a byte of their operands are bound by memory: CPUs of the last ten years do 4 to 20
# operations in the time of a byte from there.
MEMORY_BOUND = 4


def witnessed(samples: list) -> dict:
    """The samples of a row, and what stands beside each of them."""
    return {
        "samples_ns": [sample["ns"] for sample in samples],
        "probe": [sample["probe"] for sample in samples],
        "waiting": [sample["waiting"] for sample in samples],
    }


def products(session: Session, shapes: tuple, rounds: int) -> list:
    """A row for each shape and library."""
    rows = []
    for operation, m, k, n in shapes:
        shape = f"{operation} {m} x {k} x {n}"
        say(f"  {shape}")

        def prepare(peer: Peer, worker: Worker) -> bool:
            deviation = worker.ask(f"product {operation} {m} {k} {n}")["deviation"]
            if not deviation <= MAX_DEVIATION:
                raise WorkerError(f"its result is wrong by {deviation:.1e}")
            return True

        task = Task(shape, rounds, TRIES * rounds, probes(m, k, n))
        for peer, samples in session.turns(task, prepare).items():
            sizes = {"op": operation, "m": m, "k": k, "n": n}
            rows.append({"peer": peer.name, "dtype": peer.dtype, **sizes, **witnessed(samples)})
    return rows


def probes(m: int, k: int, n: int) -> tuple:
    """The probes that judge a product of f32."""
    return MEMORY if 2 * m * k * n < MEMORY_BOUND * 4 * (m * k + k * n + m * n) else ARITHMETIC


def epochs(session: Session, scale: Scale, directory: str, states: dict[int, Path]) -> list:
    """A row for each epoch and library, which trains it from its stored state again in every round."""
    rows = []
    for epoch, state in states.items():
        say(f"  epoch {epoch}")
        request = json.dumps([scale.samples, scale.steps, directory, str(state)])

        def prepare(peer: Peer, worker: Worker) -> bool:
            worker.ask(f"epochs {request}")
            return True

        task = Task(f"epoch {epoch}", scale.epoch_rounds, TRIES * scale.epoch_rounds, MEMORY)
        for peer, samples in session.turns(task, prepare).items():
            losses = [sample["loss"] for sample in samples]
            rows.append({"peer": peer.name, "epoch": epoch, **witnessed(samples), "loss": losses})
    return rows


def accuracy(session: Session, preset: dict, directory: str) -> list:
    """A row for each library that trains a preset, whose fields are given, to its end. No epoch is taken again: what
    disturbed it is marked only."""
    precisions: dict[Peer, str] = {}

    def prepare(peer: Peer, worker: Worker) -> bool:
        say(f"  preparing {peer.label} {peer.dtype} for {preset['preset']}")
        fields = {**preset, "precision": peer.dtype}
        precisions[peer] = worker.ask(f"accuracy {json.dumps([directory, fields])}")["precision"]
        # Where ffwd takes f32 by itself, its first row says all.
        return peer != OURS_BY_ITSELF or precisions[peer] != OURS.dtype

    task = Task(preset["preset"], preset["epochs"], preset["epochs"], MEMORY)
    return [
        {
            "peer": peer.name,
            "precision": precisions[peer],
            **witnessed(samples),
            "accuracy": [sample["accuracy"] for sample in samples],
        }
        for peer, samples in session.turns(task, prepare).items()
    ]


def estimators(session: Session, scale: Scale, directory: str) -> list:
    """A row for each estimator, which is fitted anew in every round and tested after it."""

    def prepare(peer: Peer, worker: Worker) -> bool:
        worker.ask(f"estimator {json.dumps([scale.samples, directory])}")
        return True

    task = Task("fit", scale.estimator_rounds, TRIES * scale.estimator_rounds, MEMORY)
    return [
        {
            "peer": peer.name,
            **witnessed(samples),
            "accuracy": [sample["accuracy"] for sample in samples],
            "epochs": [sample["epochs"] for sample in samples],
        }
        for peer, samples in session.turns(task, prepare).items()
    ]


def chosen(role: str, names: list) -> list:
    """The peers of a role among those named."""
    return [peer for peer in ROLES[role] if peer.name in names]
