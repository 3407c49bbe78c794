"""Measuring in turns: each round runs every library once, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import json
import sys
import time
from typing import Callable, Optional

from peers import OURS, OURS_BY_ITSELF, ROLES, Peer, Scale
from worker import Worker, WorkerError

# Seconds between runs: the threads of some libraries wait for more work in a busy loop, at most 0.2 s by their own
# defaults, and must be asleep when another library runs.
PAUSE = 0.3

# A larger deviation means that something else was multiplied; rounding a result to bf16 makes a smaller one.
MAX_DEVIATION = 1e-3


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Session:
    """Workers of one role, started together; `note` takes what could not be measured."""

    def __init__(self, peers: list, start: Callable[[Peer], Worker], note: Callable[[str], None]) -> None:
        self.note = note
        self.workers: dict[Peer, Worker] = {}
        self.versions: dict[str, dict] = {}
        for peer in peers:
            self.attempt(peer, "", lambda: self.greet(peer, start(peer)))

    def greet(self, peer: Peer, worker: Worker) -> None:
        self.workers[peer] = worker
        self.versions[peer.name] = worker.ask("hello")

    def attempt(self, peer: Peer, task: str, action: Callable[[], object]) -> Optional[object]:
        """What the action returns, or None and a note. A worker that has ended is given up."""
        try:
            return action()
        except (OSError, WorkerError) as error:
            self.note(f"{peer.label} {peer.dtype}{', ' if task else ''}{task}: {error}")
            worker = self.workers.get(peer)
            if worker is not None and (not task or not worker.alive):
                self.workers.pop(peer).stop()
            return None

    def turns(self, task: str, prepare: Callable[[Peer, Worker], bool], rounds: int) -> dict:
        """Every worker's answers to `run`, in turns, each round beginning with another worker."""
        answers: dict[Peer, list] = {}
        for peer, worker in tuple(self.workers.items()):
            if self.attempt(peer, task, lambda: prepare(peer, worker)):
                answers[peer] = []
        for turn in range(rounds):
            order = list(answers)
            first = turn % max(len(order), 1)
            for peer in order[first:] + order[:first]:
                time.sleep(PAUSE)
                reply = self.attempt(peer, task, lambda: self.workers[peer].ask("run"))
                if reply is None:
                    del answers[peer]
                else:
                    answers[peer].append(reply)
        return answers

    def stop(self) -> None:
        for worker in self.workers.values():
            worker.stop()


def products(session: Session, scale: Scale) -> list:
    """A row for each shape and library."""
    rows = []
    for operation, m, k, n in scale.products:
        shape = f"{operation} {m} x {k} x {n}"
        say(f"  {shape}")

        def prepare(peer: Peer, worker: Worker) -> bool:
            deviation = worker.ask(f"product {operation} {m} {k} {n}")["deviation"]
            if not deviation <= MAX_DEVIATION:
                raise WorkerError(f"its result is wrong by {deviation:.1e}")
            return True

        for peer, answers in session.turns(shape, prepare, scale.rounds).items():
            sizes = {"op": operation, "m": m, "k": k, "n": n}
            samples = [answer["ns"] for answer in answers]
            rows.append({"peer": peer.name, "dtype": peer.dtype, **sizes, "samples_ns": samples})
    return rows


def epochs(session: Session, scale: Scale, directory: str) -> list:
    """A row for each library."""
    command = f"epochs {scale.samples} {scale.steps} {directory}"

    def prepare(peer: Peer, worker: Worker) -> bool:
        say(f"  preparing {peer.label}")
        worker.ask(command)
        return True

    answers = session.turns("outer epochs", prepare, scale.epochs)
    return [
        {
            "peer": peer.name,
            "samples_ns": [reply["ns"] for reply in replies],
            "final_loss": [reply["final_loss"] for reply in replies],
        }
        for peer, replies in answers.items()
    ]


def accuracy(session: Session, preset: dict, directory: str) -> list:
    """A row for each library that trains a preset, whose fields are given, to its end."""
    precisions: dict[Peer, str] = {}

    def prepare(peer: Peer, worker: Worker) -> bool:
        say(f"  preparing {peer.label} {peer.dtype} for {preset['preset']}")
        fields = {**preset, "precision": peer.dtype}
        precisions[peer] = worker.ask(f"accuracy {json.dumps([directory, fields])}")["precision"]
        # Where ffwd takes f32 by itself, its first row says all.
        return peer != OURS_BY_ITSELF or precisions[peer] != OURS.dtype

    answers = session.turns(preset["preset"], prepare, preset["epochs"])
    return [
        {
            "peer": peer.name,
            "precision": precisions[peer],
            "samples_ns": [reply["ns"] for reply in replies],
            "accuracy": [reply["accuracy"] for reply in replies],
        }
        for peer, replies in answers.items()
    ]


def chosen(role: str, names: list) -> list:
    """The peers of a role among those named."""
    return [peer for peer in ROLES[role] if peer.name in names]
