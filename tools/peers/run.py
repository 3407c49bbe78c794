#!/usr/bin/env python3
"""Measures ffwd beside other libraries, all in turns in one run, and writes a table.

    python3 tools/peers/run.py --save peers.json                        everything: two hours on two cores
    python3 tools/peers/run.py --only products,epochs --readme README.md
    python3 tools/peers/run.py --only sweep --svg sweep.svg
    python3 tools/peers/run.py --only accuracy --readme docs/recipes.md
    python3 tools/peers/run.py --only estimators --readme tools/python/README.md
    python3 tools/peers/run.py --quick                                  small sizes: does every worker work?
    python3 tools/peers/run.py --only products --peers ffwd,mkl,openblas
    python3 tools/peers/run.py --load peers.json --markdown peers.md    the table of an earlier run

Products of dense matrices: `ffwd::gemm`, MKL, OpenBLAS as PyPI and as Debian has it, Debian's BLIS, matrixmultiply and
gemm in f32, MKL and oneDNN (through PyTorch) in bf16. A sweep of small and odd products: the same in f32. Outer epochs
of the Keras example "Using the Forward-Forward Algorithm for Image Classification": ffwd, and the same algorithm in
TensorFlow (with Keras) and in PyTorch. Time to accuracy: presets of ffwd, whose fields ffwd tells, and the same
mini-batches in PyTorch, epoch after epoch to the end; test images are predicted after each epoch, outside the clock, to
see when an accuracy is reached. Estimators in Python: ffwd's package, which is built from tools/python, and
scikit-learn's `MLPClassifier`, each fitted and then tested.

Each library runs in a process of its own with as many threads as this process has CPUs, and otherwise as it comes:
variables that would set it otherwise are kept from it. Operands are uniform in +-1 and made before the clock starts; a
product runs unmeasured before, and three of its elements are checked. Libraries with a C interface are called by the
same program as those in Rust. Of products that take less than 30 ms a sample is the mean of as many runs as take so
long, after as many that are not measured.

An outer epoch is trained from the state that ffwd's run was in before it: weights, moments and step counts, which ffwd
writes once into --states and every library loads, again before each run and outside the clock. An epoch of TensorFlow
is traced before the clock starts; ffwd orders the images by likeness in every one of these epochs, and so pays each
time for what a whole run does once.

Each sample is taken between two probes of about a millisecond, made by a process of its own when all threads of the
library have had time to fall asleep: multiply-adds, and copying where memory may bound what is measured. A sample is
disturbed where a probe got a smaller share of the best of the run than `fast-train bench` allows, or where the worker's
threads waited for CPUs that others had, or the host kept, for more than it allows. Disturbed samples are kept, marked,
left out of medians, and taken again, until there are as many undisturbed ones as there are rounds, or twice as many
samples. Epochs of a training to an accuracy follow one another and are marked only.

The Python libraries come from PyPI into tools/peers/.venv (8 GB with PyTorch, whose package for Linux brings CUDA
along; see requirements.txt), Debian's from its packages libopenblas0-pthread and libblis4-openmp. A library that cannot
be had or fails is named in the notes, and the exit code is 1.

Needs Python 3.9 (the packages of requirements.txt may need a newer one), cargo, 8 GB of memory, and a machine that does
nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Optional

import chart
import environment
import machine
import measure
import report
import states
import table
from peers import FULL, GOALS, NAMES, OURS, QUICK, ROLES, Peer, Scale
from session import Session, say
from witness import Witness
from worker import Worker, WorkerError


def arguments(words: Optional[list] = None) -> argparse.Namespace:
    lines = (__doc__ or "").splitlines()
    parser = argparse.ArgumentParser(
        description=lines[0], epilog="\n".join(lines[1:]), formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default=",".join(ROLES), help=f"what to measure, default all: {','.join(ROLES)}")
    parser.add_argument("--peers", default=",".join(NAMES), help=f"whom to measure, default all: {','.join(NAMES)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that everything works")
    parser.add_argument("--rounds", type=positive, help=f"undisturbed runs of each product, default {FULL.rounds}")
    parser.add_argument(
        "--epochs-rounds", type=positive, help=f"undisturbed runs of each outer epoch, default {FULL.epoch_rounds}"
    )
    parser.add_argument("--data", help="data set, as fast-train takes it; default mnist, with --quick digits")
    parser.add_argument(
        "--states", type=Path, default=states.PLACE, metavar="DIR", help="where states are kept, default %(default)s"
    )
    parser.add_argument("--save", type=Path, metavar="FILE.json", help="write all samples")
    parser.add_argument("--load", type=Path, metavar="FILE.json", help="take an earlier run's samples, measure nothing")
    parser.add_argument("--markdown", type=Path, metavar="FILE.md", help="write the table")
    parser.add_argument("--svg", type=Path, metavar="FILE.svg", help="draw the sweep")
    parser.add_argument(
        "--readme", type=Path, metavar="README.md", help=f"put the table between {table.BEGIN} and {table.END}"
    )
    options = parser.parse_args(words)
    options.peers = some_of(parser, "--peers", options.peers, NAMES)
    options.only = some_of(parser, "--only", options.only, tuple(ROLES))
    if options.quick and options.readme:
        parser.error("--readme: found --quick, whose figures mean nothing")
    try:
        if options.readme:
            table.around(options.readme)
        options.report = report.load(options.load) if options.load else None
    except (OSError, ValueError) as error:
        parser.error(str(error))
    if options.svg and not (options.report["sweep"] if options.report else "sweep" in options.only):
        parser.error("--svg: found no sweep, expected one among what is measured or loaded")
    return options


def some_of(parser: argparse.ArgumentParser, option: str, words: str, names: tuple) -> list:
    """The words of an option that are separated by commas, each of which has to be one of the names."""
    found = words.split(",")
    unknown = [word for word in found if word not in names]
    if unknown:
        parser.error(f"{option}: found {unknown[0]!r}, expected some of {','.join(names)}")
    return found


def positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def scale(options: argparse.Namespace) -> Scale:
    default = QUICK if options.quick else FULL
    rounds, epoch_rounds = options.rounds or default.rounds, options.epochs_rounds or default.epoch_rounds
    return replace(default, rounds=rounds, epoch_rounds=epoch_rounds)


class Comparison:
    """One run and its report."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.scale = scale(options)
        self.unbuilt = ""  # why the Rust worker cannot start
        self.missing: dict[str, str] = {}  # why a peer cannot
        self.report = {
            "schema": report.SCHEMA,
            "date": machine.now(),
            "quick": options.quick,
            "system": machine.system(),
            "build": machine.build(),
            "witness": None,
            "peers": {},
            "products": [],
            "sweep": [],
            "epochs": None,
            "accuracy": None,
            "estimators": None,
            "notes": [],
        }

    def roles(self) -> list:
        return [role for role in ROLES if role in self.options.only]

    def prepare(self) -> None:
        """Builds and installs what the chosen peers need."""
        peers = {peer for role in self.roles() for peer in measure.chosen(role, self.options.peers)}
        say("building and installing")
        self.unbuilt = environment.build_rust()
        packages = sorted({package for peer in peers for package in peer.packages})
        failed = environment.install(packages) if packages else {}
        for peer in peers:
            reasons = [self.unbuilt] if peer.needs_rust else []
            reasons += [failed[package] for package in peer.packages if package in failed]
            self.missing.update({peer.name: why for why in reasons if why})

    def start(self, peer: Peer) -> Worker:
        if peer.name in self.missing:
            raise WorkerError(self.missing[peer.name])
        command = peer.command(environment.python(peer.packages), environment.RUST_WORKER)
        return Worker(command, environment.variables())

    def start_probes(self) -> Worker:
        if self.unbuilt:
            raise WorkerError(self.unbuilt)
        return Worker([str(environment.RUST_WORKER), "probe"], environment.variables())

    def note(self, text: str) -> None:
        say(f"  {text}")
        self.report["notes"].append(text)

    def measure(self) -> dict:
        self.prepare()
        self.report["system"]["load_before"] = machine.system()["load_before"]
        witness = Witness(self.start_probes, self.note)
        try:
            for role in self.roles():
                say(role)
                self.measure_role(role, witness)
        finally:
            witness.stop()
        witness.mark(report.rows(self.report))
        self.report["witness"] = {**witness.thresholds, "best": witness.best} if witness.thresholds else None
        return self.report

    def measure_role(self, role: str, witness: Witness) -> None:
        session = Session(measure.chosen(role, self.options.peers), self.start, witness, self.note)
        try:
            self.report[role] = getattr(self, role)(session)
        except (OSError, WorkerError) as error:
            self.note(f"{role}: {error}")
        finally:
            session.stop()
        self.report["peers"].update(session.versions)

    def products(self, session: Session) -> list:
        return measure.products(session, self.scale.products, self.scale.rounds)

    def sweep(self, session: Session) -> list:
        return measure.products(session, self.scale.sweep, self.scale.rounds)

    def epochs(self, session: Session) -> dict:
        """Outer epochs on the data set that ffwd finds by its name."""
        data = self.ask_ours(self.data)
        stored = states.provide(self.options.states, self.scale, data, self.ask_ours)
        rows = measure.epochs(session, self.scale, data["directory"], stored)
        return {"data": data["name"], "samples": self.scale.samples, "steps": self.scale.steps, "rows": rows}

    def accuracy(self, session: Session) -> dict:
        """Presets whose fields ffwd tells, on the data set that it finds by its name."""
        data = self.ask_ours(self.data)
        goals = []
        for goal in GOALS:
            preset = {**self.ask_ours(f"preset {goal.preset}")["preset"], **self.scale.preset_fields}
            rows = measure.accuracy(session, preset, data["directory"])
            goals.append({"preset": preset, "accuracy": goal.accuracy, "rows": rows})
        return {"data": data["name"], "goals": goals}

    def estimators(self, session: Session) -> dict:
        """Estimators in Python on the data set that ffwd finds by its name."""
        data = self.ask_ours(self.data)
        rows = measure.estimators(session, self.scale, data["directory"])
        return {"data": data["name"], "samples": self.scale.samples, "rows": rows}

    @property
    def data(self) -> str:
        """The command that finds the data set."""
        return f"data {self.options.data or ('digits' if self.options.quick else 'mnist')}"

    def ask_ours(self, command: str) -> dict:
        """What ffwd's worker answers to a command that only it knows."""
        worker = self.start(OURS)
        try:
            return worker.ask(command)
        finally:
            worker.stop()


def main() -> int:
    options = arguments()
    measured = options.report or Comparison(options).measure()
    if options.save:
        options.save.write_text(json.dumps(measured, indent=1) + "\n")
    text = table.markdown(measured)
    print(text, end="")
    if options.markdown:
        options.markdown.write_text(text)
    if options.svg:
        options.svg.write_text(chart.draw(measured["sweep"]))
    if options.readme:
        table.fill(options.readme, text)
    return 0 if options.load or not measured["notes"] else 1


if __name__ == "__main__":
    sys.exit(main())
