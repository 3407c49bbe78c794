"""The line protocol between the driver and its workers, from the side of a worker written in Python.

A worker is a process that holds one library. It reads one command a line and answers each with one line of JSON:

    hello                           {"version": "1.2", "detail": "how it works here"}
    product OPERATION M K N         {"deviation": 1e-7}; makes operands, multiplies once, checks three elements
    epochs SAMPLES STEPS DIRECTORY  {}; reads the images and makes a network
    accuracy [DIRECTORY, PRESET]    {"precision": "f32"}; the same as a preset says; what follows the word is JSON
    run                             {"ns": 123}; multiplies once or trains one epoch
    quit                            no answer: the process ends

An epoch of `epochs` is answered with "final_loss" besides, and an epoch of `accuracy` with the "accuracy" on the test
images after it, which are predicted when the time has been taken. Two commands are for ffwd's worker alone:

    data SPEC                       {"directory": "/d", "name": "mnist"}; finds what `fast-train --data` takes
    preset NAME                     {"preset": {"layers": [500, 500]}}; all fields of a preset

What goes wrong is answered as {"error": "one line"}. Preparing anew drops what was prepared before.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Callable, Optional, TextIO


class Peer:
    """What a worker answers with; a library overrides what it can do."""

    def __init__(self) -> None:
        self.task: Optional[Callable[[], dict]] = None
        self.afterwards: Callable[[], dict] = dict

    def hello(self) -> dict:
        raise NotImplementedError

    def product(self, operation: str, m: int, k: int, n: int) -> dict:
        """Prepares a product and sets `task`."""
        raise ValueError("multiplies no matrices")

    def epochs(self, samples: int, steps: int, directory: str) -> dict:
        """Prepares a network and sets `task`."""
        raise ValueError("trains no network")

    def accuracy(self, directory: str, preset: dict) -> dict:
        """Prepares a network and sets `task` and `afterwards`."""
        raise ValueError("trains no network")

    def run(self) -> dict:
        """Runs the task once, and what comes afterwards: the reply with the task's time."""
        if self.task is None:
            raise ValueError("nothing is prepared")
        start = time.perf_counter_ns()
        outcome = self.task()
        elapsed = time.perf_counter_ns() - start
        return {"ns": elapsed, **outcome, **self.afterwards()}

    def answer(self, line: str) -> dict:
        command, _, rest = line.partition(" ")
        if command == "hello":
            return self.hello()
        if command == "run":
            return self.run()
        self.task, self.afterwards = None, dict
        if command == "product":
            operation, *sizes = rest.split(" ")
            return self.product(operation, *map(int, sizes))
        if command == "epochs":
            samples, steps, directory = rest.split(" ", 2)
            return self.epochs(int(samples), int(steps), directory)
        if command == "accuracy":
            return self.accuracy(*json.loads(rest))
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
