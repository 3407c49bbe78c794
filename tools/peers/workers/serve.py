"""The line protocol between the driver and its workers, from the side of a worker written in Python.

A worker is a process that holds one library. It reads one command a line and answers each with one line of JSON:

    hello                           {"version": "1.2", "detail": "how it works here"}
    product OPERATION M K N         {"deviation": 1e-7}; makes operands, multiplies, checks three elements
    epochs [SAMPLES, STEPS, DIRECTORY, STATE]
                                    {}; reads the images and the state that ffwd has stored in the directory STATE
    accuracy [DIRECTORY, PRESET]    {"precision": "f32"}; reads the images and makes a network as a preset says
    estimator [SAMPLES, DIRECTORY]  {}; reads the images
    run                             {"ns": 123}; multiplies, trains one epoch, or fits an estimator
    quit                            no answer: the process ends

What stands in brackets is JSON. A run of a small product is the mean of as many as take 10 ms. An epoch of `epochs`
begins with the stored state every time and is answered with its "loss" besides, the mean of the layers' mean losses. An
epoch of `accuracy` goes on from the one before, and is answered with the "accuracy" on the test images after it, as is
an estimator that was fitted, with its "epochs". Only the epoch or the fit itself is timed. Three commands are for
ffwd's worker alone:

    data SPEC                       {"directory": "/d", "name": "mnist", "sha256": "ab12"}; finds what
                                    `fast-train --data` takes
    preset NAME                     {"preset": {"layers": [500, 500]}}; all fields of a preset
    states [SAMPLES, STEPS, DIRECTORY, {EPOCH: STATE}]
                                    {}; trains, and stores what the run is before each of the epochs

Another process, called `probe`, answers

    hello                           {"quiet": {"fma": 0.75, "copy": 0.5}, "waiting": 0.02}; a sample is disturbed where
                                    a probe beside it got a smaller share of its best, or where a larger share of the
                                    CPUs' time was others'
    probe                           {"fma": 200.1, "copy": 20.1}; GFLOP/s and GB/s just now

What goes wrong is answered as {"error": "one line"}. Preparing anew drops what was prepared before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Callable, Optional, TextIO


# Nanoseconds that a sample of a product takes at least.
SAMPLE_NS = 10_000_000


class Peer:
    """What a worker answers with; a library overrides what it can do."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Drops what was prepared."""
        self.task: Optional[Callable[[], dict]] = None
        self.runs = 1  # of the task in a sample
        self.before: Callable[[], None] = lambda: None
        self.afterwards: Callable[[], dict] = dict

    def hello(self) -> dict:
        raise NotImplementedError

    def product(self, operation: str, m: int, k: int, n: int) -> dict:
        """Prepares a product and sets `task`."""
        raise ValueError("multiplies no matrices")

    def epochs(self, samples: int, steps: int, directory: str, state: str) -> dict:
        """Prepares a network and sets `task`, and `before` to what gives it the stored state."""
        raise ValueError("trains no network")

    def accuracy(self, directory: str, preset: dict) -> dict:
        """Prepares a network and sets `task` and `afterwards`."""
        raise ValueError("trains no network")

    def estimator(self, samples: int, directory: str) -> dict:
        """Prepares a fit and sets `task`, and `afterwards` to what tests it."""
        raise ValueError("is no estimator")

    def run(self) -> dict:
        """One sample of the task, between what comes before and afterwards: the reply with the time of one run."""
        if self.task is None:
            raise ValueError("nothing is prepared")
        self.before()
        elapsed, outcome = self.timed()
        return {"ns": elapsed // self.runs, **outcome, **self.afterwards()}

    def timed(self) -> tuple[int, dict]:
        """Nanoseconds of so many runs, and what the last of them came to."""
        start = time.perf_counter_ns()
        for _ in range(self.runs):
            outcome = self.task()
        return time.perf_counter_ns() - start, outcome

    def fill_a_sample(self) -> None:
        """Doubles the runs until they take long enough, and do so once more: the first time may have been a pause."""
        while self.timed()[0] < SAMPLE_NS or self.timed()[0] < SAMPLE_NS:
            self.runs *= 2

    def answer(self, line: str) -> dict:
        command, _, rest = line.partition(" ")
        if command == "hello":
            return self.hello()
        if command == "run":
            return self.run()
        self.forget()
        if command == "product":
            operation, *sizes = rest.split(" ")
            reply = self.product(operation, *map(int, sizes))
            self.fill_a_sample()
            return reply
        if command == "epochs":
            return self.epochs(*json.loads(rest))
        if command == "accuracy":
            return self.accuracy(*json.loads(rest))
        if command == "estimator":
            return self.estimator(*json.loads(rest))
        raise ValueError(f"{line!r}: not a command")


def serve(make: Callable[[], Peer]) -> None:
    """Answers until the driver says `quit` or is gone. Whatever a library prints goes to standard error."""
    replies: TextIO = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    peer = make()
    for line in sys.stdin:
        line = line.rstrip("\n")
        if line == "quit":
            break
        try:
            reply = peer.answer(line)
        except Exception as error:  # whatever a library raises is an answer
            reply = {"error": f"{type(error).__name__}: {error}".replace("\n", " ")}
        print(json.dumps(reply), file=replies, flush=True)
