"""Measuring in turns: each round runs every library once, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Callable, Optional

from peers import Peer
from witness import Witness
from worker import Worker, WorkerError


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Task:
    """What every worker has turns of, until so many of its samples are undisturbed by what is known then."""

    name: str
    rounds: int
    most: int  # turns at most
    probes: tuple  # that judge a sample


class Session:
    """Workers of one role, started together; `note` takes what could not be measured."""

    def __init__(
        self, peers: list, start: Callable[[Peer], Worker], witness: Witness, note: Callable[[str], None]
    ) -> None:
        self.note = note
        self.witness = witness
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

    def turns(self, task: Task, prepare: Callable[[Peer, Worker], bool]) -> dict:
        """Every worker's samples, in turns, each round beginning with another worker."""
        samples: dict[Peer, list] = {}
        for peer, worker in tuple(self.workers.items()):
            if self.attempt(peer, task.name, lambda: prepare(peer, worker)):
                samples[peer] = []
        self.witness.begin()
        for turn in range(task.most):
            order = [peer for peer, taken in samples.items() if self.undisturbed(taken) < task.rounds]
            first = turn % max(len(order), 1)
            for peer in order[first:] + order[:first]:
                sample = self.attempt(peer, task.name, lambda: self.witness.sample(self.workers[peer], task.probes))
                if sample is None:
                    del samples[peer]
                else:
                    samples[peer].append(sample)
        return samples

    def undisturbed(self, samples: list) -> int:
        return sum(not self.witness.is_disturbed(sample) for sample in samples)

    def stop(self) -> None:
        for worker in self.workers.values():
            worker.stop()
