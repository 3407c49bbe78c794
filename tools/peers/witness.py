"""What stands beside a sample and tells whether the machine was left to it: probes of about a millisecond before and
after it, and the share of the CPUs' time for which the library's threads waited while somebody else ran."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Callable, Optional

from environment import cpus
from worker import Worker, WorkerError

# Seconds between a run and what follows: the threads of some libraries wait for more work in a busy loop, at most 0.2 s
# by their own defaults, and must be asleep when a probe or another library runs.
PAUSE = 0.3

# Probes before the first sample, so that a good one is known from the beginning. They have pauses in between as those
# beside samples have.
FIRST = 10

# The probes that judge what is bound by arithmetic alone, and what may be bound by memory.
ARITHMETIC = ("fma",)
MEMORY = ("fma", "copy")

PROC = Path("/proc")


class Witness:
    """Takes samples between probes, which a process of its own makes. Where it cannot, probes are silent."""

    def __init__(self, start: Callable[[], Worker], note: Callable[[str], None]) -> None:
        self.note = note
        self.worker: Optional[Worker] = None
        self.best: dict[str, float] = {}  # of all probes, by their names
        self.last: Optional[dict] = None
        self.thresholds: dict = {}
        try:
            self.worker = start()
            self.thresholds = self.worker.ask("hello")
        except (OSError, WorkerError) as error:
            self.give_up(error)
        for _ in range(FIRST):
            self.begin()

    def give_up(self, error: Exception) -> None:
        self.note(f"probes: {error}")
        self.stop()

    def probe(self) -> Optional[dict]:
        """How fast the machine is now, by the names of the probes."""
        if self.worker is None:
            return None
        try:
            # The first brings back pages that the system has taken from a process which slept for a minute.
            self.worker.ask("probe")
            found = self.worker.ask("probe")
        except WorkerError as error:
            self.give_up(error)
            return None
        self.best = {name: max(speed, self.best.get(name, 0.0)) for name, speed in found.items()}
        return found

    def begin(self) -> None:
        """Probes before the first of several samples; each further one has the probe after the one before."""
        time.sleep(PAUSE)
        self.last = self.probe()

    def sample(self, worker: Worker, probes: tuple) -> dict:
        """The worker's answer to `run`, with the worse of the two readings of each of these probes, and the waiting."""
        waiting = Waiting(worker.pid)
        reply = worker.ask("run")
        share = waiting.share()
        time.sleep(PAUSE)
        before, self.last = self.last, self.probe()
        return {**reply, "probe": worse(before, self.last, probes), "waiting": share}

    def is_disturbed(self, sample: dict) -> bool:
        """Whether a sample is disturbed, as far as the best probe so far can tell."""
        probe, waiting = sample["probe"], sample["waiting"]
        if not self.thresholds:
            return False
        quiet = self.thresholds["quiet"]
        is_slow = any(speed < quiet[name] * self.best[name] for name, speed in (probe or {}).items())
        return is_slow or (waiting or 0.0) > self.thresholds["waiting"]

    def mark(self, rows: list) -> None:
        """Marks the samples of finished rows, now that the best probe of all is known."""
        for row in rows:
            samples = zip(row["probe"], row["waiting"])
            row["disturbed"] = [self.is_disturbed({"probe": probe, "waiting": share}) for probe, share in samples]

    def stop(self) -> None:
        if self.worker is not None:
            self.worker.stop()
        self.worker = None


def worse(before: Optional[dict], after: Optional[dict], probes: tuple) -> Optional[dict]:
    """The smaller speed of each of these probes."""
    return {name: min(before[name], after[name]) for name in probes} if before and after else None


class Waiting:
    """How long the threads of a process wait for a CPU that somebody else has: another process, or the host."""

    def __init__(self, process: int) -> None:
        self.process = process
        self.tasks = tasks()
        self.stolen = stolen() if self.tasks else 0
        self.begin = time.perf_counter_ns()

    def share(self) -> Optional[float]:
        """The share of the time of all CPUs since the beginning; None where the system tells nothing of it."""
        elapsed = time.perf_counter_ns() - self.begin
        before, after = self.tasks, tasks()
        if not (before and after):
            return None
        waited = others = 0
        # Tasks that have ended meanwhile are left out, and those that have begun are counted from then on.
        for task, (ran, waiting) in after.items():
            ran_before, waiting_before = before.get(task, (0, 0))
            if task[0] == self.process:
                waited += waiting - waiting_before
            elif task[0] != os.getpid():
                others += ran - ran_before
        # The threads of a process wait for one another, too, and nobody else is to be blamed for that.
        return (min(waited, others) + stolen() - self.stolen) / (elapsed * cpus())


def tasks() -> dict:
    """Nanoseconds for which each task has run and has waited for a CPU so far, by the numbers of its process and
    thread; none where the system does not count them."""
    found = {}
    for process in PROC.glob("[0-9]*"):
        try:
            threads = os.listdir(process / "task")
        except OSError:  # the process has ended
            continue
        for thread in threads:
            try:
                ran, waited = (process / "task" / thread / "schedstat").read_text().split()[:2]
            except OSError:  # the task has ended
                continue
            found[int(process.name), int(thread)] = int(ran), int(waited)
    return found


def stolen() -> int:
    """Nanoseconds that the host has not given to the machine's CPUs so far."""
    ticks = (PROC / "stat").read_text().split("\n", 1)[0].split()[8]
    return int(ticks) * 10**9 // os.sysconf("SC_CLK_TCK")
