#!/usr/bin/env python3
"""Tests of the driver with workers that only pretend: turns, witnesses, states, tables. Needs nothing but Python.

    python3 tools/peers/test_peers.py
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import tempfile
import unittest
import xml.etree.ElementTree as tree
from dataclasses import replace
from pathlib import Path
from unittest import mock

import cells
import chart
import environment
import epochs_table
import machine
import measure
import report as reports
import session as sessions
import states
import table
import witness
from cells import Time
from peers import FULL, HERE, QUICK, ROLES
from products_table import products_table
from worker import Worker, WorkerError

sys.path.insert(0, str(HERE / "workers"))
import blas
import presets
from serve import Peer as Served
from serve import serve

DIRECTORY = "/a directory/with blanks"


class Pretender(Served):
    """A worker whose behaviour is in its name; its times are fixed."""

    NS = {"ffwd": 1_000_000, "mkl": 2_000_000}

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def hello(self) -> dict:
        print("a library that chatters on standard output")
        if self.name == "onednn-bf16":
            raise ValueError("no oneDNN\nin this build")
        return {"version": "1.5", "detail": "avx9" if self.name == "ffwd" else ""}

    def product(self, operation: str, m: int, k: int, n: int) -> dict:
        if self.name == "matrixmultiply" and operation == "TN":
            raise MemoryError("too large")
        self.task = lambda: {}
        return {"deviation": 0.5 if self.name == "gemm" else 1e-7}

    def epochs(self, samples: int, steps: int, directory: str, state: str) -> dict:
        assert directory == DIRECTORY, directory
        losses: list[float] = []
        # The number of the epoch, and how often it has been trained without the state being taken anew.
        self.before, self.task = losses.clear, lambda: {"loss": float(state) + len(losses)}
        self.afterwards = lambda: losses.append(1.0) or {}
        return {}

    def accuracy(self, directory: str, preset: dict) -> dict:
        assert directory == DIRECTORY, directory
        accuracies = [0.9, 0.98]
        self.task = dict
        self.afterwards = lambda: {"accuracy": accuracies.pop(0)}
        return {"precision": preset["by itself"] if preset["precision"] == "auto" else preset["precision"]}

    def estimator(self, samples: int, directory: str) -> dict:
        assert (samples, directory) == (QUICK.samples, DIRECTORY)
        self.task, self.afterwards = dict, lambda: {"accuracy": 0.98, "epochs": 5}
        return {}

    def run(self) -> dict:
        if self.name == "openblas":
            sys.exit("out of luck")
        return super().run()

    def timed(self) -> tuple[int, dict]:
        return self.runs * self.NS.get(self.name, 4_000_000), super().timed()[1]


def start(peer) -> Worker:
    if peer.name == "mkl-bf16":
        raise WorkerError("ERROR: no matching distribution")
    return Worker([sys.executable, __file__, "worker", peer.name], dict(os.environ))


class Probes:
    """A process of probes that get these speeds, and then the last of them, each after one that the system slows."""

    def __init__(self, *speeds: float) -> None:
        self.speeds = list(speeds)
        self.is_awake = True

    def ask(self, line: str) -> dict:
        if line == "hello":
            return {"quiet": {"fma": 0.85, "copy": 0.5}, "waiting": 0.02}
        if not self.speeds:
            raise WorkerError("its worker ended")
        self.is_awake = not self.is_awake
        if not self.is_awake:
            return {"fma": 1.0, "copy": 0.1}
        return {"fma": self.speeds.pop(0) if len(self.speeds) > 1 else self.speeds[0], "copy": 10.0}

    def stop(self) -> None:
        pass


class Still:
    """Waiting on a machine that does nothing else."""

    def __init__(self, process: int) -> None:
        pass

    def share(self) -> float:
        return 0.0


class Measuring(unittest.TestCase):
    """What sessions and witnesses need: no pauses, a quiet machine, and notes."""

    def setUp(self) -> None:
        self.notes: list[str] = []
        for patch in (
            mock.patch.object(witness, "PAUSE", 0),
            mock.patch.object(witness, "FIRST", 1),
            mock.patch.object(witness, "Waiting", Still),
            mock.patch.object(measure, "say"),
            mock.patch.object(states, "say"),
        ):
            patch.start()
            self.addCleanup(patch.stop)

    def witness(self, *speeds: float) -> witness.Witness:
        return witness.Witness(lambda: Probes(*speeds), self.notes.append)

    def session(self, role: str, names: list, *speeds: float) -> sessions.Session:
        peers = measure.chosen(role, names)
        session = sessions.Session(peers, start, self.witness(*speeds or (100.0,)), self.notes.append)
        self.addCleanup(session.stop)
        return session


class Turns(Measuring):
    def products(self, session: sessions.Session, rounds: int) -> list:
        return measure.products(session, QUICK.products, rounds)

    def test_every_round_runs_every_library(self) -> None:
        rows = self.products(self.session("products", ["mkl", "ffwd"]), 3)
        self.assertEqual([row["peer"] for row in rows], ["ffwd", "mkl"] * len(QUICK.products))
        self.assertEqual(rows[0]["samples_ns"], [1_000_000] * 3)
        self.assertEqual(rows[1]["samples_ns"], [2_000_000] * 3)
        self.assertEqual((rows[0]["probe"], rows[0]["waiting"]), ([{"fma": 100.0}] * 3, [0.0] * 3))
        self.assertEqual(self.notes, [])

    def test_memory_judges_what_is_bound_by_it(self) -> None:
        rows = measure.products(self.session("sweep", ["ffwd"]), (("NN", 1, 784, 500), ("NN", 64, 64, 64)), 1)
        self.assertEqual([row["probe"] for row in rows], [[{"fma": 100.0, "copy": 10.0}], [{"fma": 100.0}]])

    def test_what_fails_is_noted_and_the_others_go_on(self) -> None:
        names = ["ffwd", "openblas", "matrixmultiply", "gemm", "mkl-bf16", "onednn-bf16"]
        session = self.session("products", names)
        self.assertEqual(self.notes, [
            "MKL bf16: ERROR: no matching distribution",
            "oneDNN bf16: ValueError: no oneDNN in this build",
        ])
        rows = self.products(session, 2)
        measured = [(row["peer"], row["op"]) for row in rows]
        self.assertEqual(measured, [
            ("ffwd", "NN"), ("matrixmultiply", "NN"), ("ffwd", "TN"), ("ffwd", "NN"), ("matrixmultiply", "NN"),
        ])
        text = "\n".join(self.notes)
        self.assertIn("OpenBLAS f32, NN 600 x 784 x 500: its worker ended with code 1: out of luck", text)
        self.assertIn("matrixmultiply f32, TN 784 x 600 x 500: MemoryError: too large", text)
        self.assertEqual(text.count("gemm f32, "), 3)
        self.assertEqual(text.count("OpenBLAS"), 1, "a worker that ended is not asked again")

    def test_an_epoch_is_trained_from_its_state_in_every_round(self) -> None:
        session = self.session("epochs", ["ffwd", "pytorch"])
        rows = measure.epochs(session, QUICK, DIRECTORY, {1: Path("1"), 5: Path("5")})
        found = [(row["peer"], row["epoch"], row["loss"]) for row in rows]
        self.assertEqual(found, [
            ("ffwd", 1, [1.0, 1.0]), ("pytorch", 1, [1.0, 1.0]), ("ffwd", 5, [5.0, 5.0]), ("pytorch", 5, [5.0, 5.0]),
        ])
        self.assertEqual(rows[0]["samples_ns"], [1_000_000] * 2)

    def accuracy(self, by_itself: str, *speeds: float) -> list:
        session = self.session("accuracy", ["ffwd", "pytorch"], *speeds)
        preset = {"preset": "quick", "epochs": 2, "precision": "auto", "by itself": by_itself}
        return measure.accuracy(session, preset, DIRECTORY)

    def test_accuracy_is_kept_with_the_time_of_each_epoch(self) -> None:
        rows = self.accuracy("bf16")
        libraries = [("ffwd", "f32"), ("pytorch", "f32"), ("ffwd", "bf16"), ("pytorch", "bf16")]
        self.assertEqual([(row["peer"], row["precision"]) for row in rows], libraries)
        self.assertEqual((rows[3]["samples_ns"], rows[3]["accuracy"]), ([4_000_000] * 2, [0.9, 0.98]))
        self.assertEqual(self.notes, [])

    def test_what_takes_f32_by_itself_is_not_measured_twice(self) -> None:
        rows = self.accuracy("f32")
        libraries = [("ffwd", "f32"), ("pytorch", "f32"), ("pytorch", "bf16")]
        self.assertEqual([(row["peer"], row["precision"]) for row in rows], libraries)

    def test_estimators_are_fitted_in_every_round_and_tested(self) -> None:
        rows = measure.estimators(self.session("estimators", ["ffwd-python", "mlp"]), QUICK, DIRECTORY)
        self.assertEqual([(row["peer"], row["accuracy"], row["epochs"]) for row in rows], [
            ("ffwd-python", [0.98], [5]), ("mlp", [0.98], [5]),
        ])
        self.assertEqual(rows[0]["samples_ns"], [4_000_000])

    def test_what_was_prepared_goes_when_something_else_is(self) -> None:
        worker = Pretender("ffwd")
        worker.answer(f'accuracy ["{DIRECTORY}", {{"precision": "f32"}}]')
        self.assertEqual(worker.answer("run"), {"ns": 1_000_000, "accuracy": 0.9})
        worker.answer("product NN 1 2 3")
        self.assertEqual(worker.runs, 16, "of 1 ms each, for they have to fill 10 ms")
        self.assertEqual(worker.answer("run"), {"ns": 1_000_000})
        worker.answer(f'epochs [1, 1, "{DIRECTORY}", "5"]')
        self.assertEqual(worker.runs, 1)

    def test_a_pause_does_not_fill_a_sample(self) -> None:
        worker = Served()
        pauses = iter([50_000_000])
        worker.timed = lambda: (next(pauses, worker.runs * 1_000_000), {})
        worker.fill_a_sample()
        self.assertEqual(worker.runs, 16)

    def test_a_session_of_nobody_measures_nothing(self) -> None:
        self.assertEqual(self.products(self.session("products", []), 2), [])

    def test_disturbed_samples_are_taken_again(self) -> None:
        # The second probe lies between two samples; the first was before the session.
        session = self.session("sweep", ["ffwd"], 100.0, 100.0, 50.0, 100.0)
        row = measure.products(session, QUICK.sweep[:1], 2)[0]
        session.witness.mark([row])
        self.assertEqual(row["disturbed"], [True, True, False, False])
        self.assertEqual([probe["fma"] for probe in row["probe"]], [50.0, 50.0, 100.0, 100.0])

    def test_only_the_disturbed_library_has_more_turns_and_no_more_than_twice_as_many(self) -> None:
        session = self.session("sweep", ["ffwd", "mkl"], 100.0, 100.0, 100.0, 50.0)
        rows = measure.products(session, QUICK.sweep[:1], 1)
        session.witness.mark(rows)
        self.assertEqual([row["disturbed"] for row in rows], [[False], [True, True]])

    def test_epochs_that_follow_one_another_are_marked_only(self) -> None:
        rows = self.accuracy("f32", 100.0, 100.0, 50.0)
        self.assertEqual([len(row["samples_ns"]) for row in rows], [2] * 3)


class Witnesses(Measuring):
    def test_the_best_probe_of_the_whole_run_marks(self) -> None:
        seen = self.witness(50.0, 100.0)
        sample = {"probe": {"fma": 50.0, "copy": 10.0}, "waiting": 0.0}
        self.assertFalse(seen.is_disturbed(sample))
        seen.probe()
        row = {"probe": [sample["probe"], {"fma": 86.0, "copy": 10.0}, None], "waiting": [0.0, 0.0, None]}
        seen.mark([row])
        self.assertEqual(row["disturbed"], [True, False, False])

    def test_either_probe_and_waiting_disturb(self) -> None:
        seen = self.witness(100.0)
        for speeds, waiting, expected in (
            ((100.0, 10.0), 0.01, False),
            ((100.0, 6.0), 0.0, False),
            ((100.0, 4.0), 0.0, True),
            ((80.0, 10.0), 0.0, True),
            ((100.0, 10.0), 0.03, True),
        ):
            sample = {"probe": dict(zip(("fma", "copy"), speeds)), "waiting": waiting}
            self.assertEqual(seen.is_disturbed(sample), expected, sample)

    def test_without_probes_nothing_is_disturbed_and_one_note_says_why(self) -> None:
        def fail() -> Worker:
            raise WorkerError("error: no compiler")

        for seen in (witness.Witness(fail, self.notes.append), witness.Witness(Probes, self.notes.append)):
            seen.begin()
            self.assertIsNone(seen.last)
        self.assertEqual(self.notes, ["probes: error: no compiler", "probes: its worker ended"])
        self.assertFalse(witness.Witness(fail, self.notes.append).is_disturbed({"probe": None, "waiting": 0.9}))


class WaitingForACpu(unittest.TestCase):
    """The files of Linux that tell of it, as they are written."""

    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.proc = Path(place.name)
        patch = mock.patch.object(witness, "PROC", self.proc)
        patch.start()
        self.addCleanup(patch.stop)

    def write(self, steal: int, **tasks: tuple) -> None:
        """Nanoseconds that tasks, called pPROCESS_THREAD, have run and waited."""
        (self.proc / "stat").write_text(f"cpu  1 2 3 4 5 6 7 {steal} 0 0\ncpu0 1 2 3 4 5 6 7 8 0 0\n")
        for name, (ran, waited) in tasks.items():
            self.path(name).parent.mkdir(parents=True, exist_ok=True)
            self.path(name).write_text(f"{ran} {waited} 4\n")

    def path(self, name: str) -> Path:
        process, thread = name[1:].split("_")
        return self.proc / process / "task" / thread / "schedstat"

    def share(self, others: int) -> float:
        """The share of a second, in ticks of the clock of all CPUs, when the threads of process 7 wait 3 ticks longer,
        others run for so many, and the host steals 2."""
        tick = 10**9 // os.sysconf("SC_CLK_TCK")
        self.write(10, p7_7=(0, 1_000), p7_8=(0, 5_000), p9_9=(70, 0))
        with mock.patch.object(witness.time, "perf_counter_ns", side_effect=[0, 10**9]):
            waiting = witness.Waiting(7)
            self.path("p7_8").unlink()
            self.write(12, p7_7=(5 * tick, 1_000 + 2 * tick), p7_10=(0, tick), p9_9=(70 + others * tick, 0))
            return waiting.share() * 10**9 * environment.cpus() / tick

    def test_waiting_of_all_threads_and_steal_are_a_share_of_all_cpus(self) -> None:
        self.assertAlmostEqual(self.share(others=4), 5)

    def test_threads_that_wait_for_one_another_are_left_alone(self) -> None:
        self.assertAlmostEqual(self.share(others=1), 3)

    def test_a_process_that_ends_meanwhile_is_left_out(self) -> None:
        self.write(0, p7_7=(1, 2))
        (self.proc / "8").mkdir()
        (self.proc / "9" / "task" / "9").mkdir(parents=True)
        self.assertEqual(witness.tasks(), {(7, 7): (1, 2)})

    def test_a_system_that_tells_nothing_is_no_witness(self) -> None:
        self.assertIsNone(witness.Waiting(7).share())


class States(Measuring):
    DATA = {"name": "digits", "sha256": "ab12", "directory": DIRECTORY}

    def setUp(self) -> None:
        super().setUp()
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.place = Path(place.name)
        self.made: list[list] = []

    def ask(self, line: str) -> dict:
        command, _, rest = line.partition(" ")
        if command == "states":
            self.made.append(json.loads(rest))
            for directory in self.made[-1][3].values():
                Path(directory).mkdir(parents=True)
        return {"hello": {"version": "0.1"}, "preset": {"preset": {"seed": 7}}}.get(command, {})

    def provide(self, **changes: str) -> dict:
        return states.provide(self.place, QUICK, {**self.DATA, **changes}, self.ask)

    def test_states_are_made_once(self) -> None:
        found = self.provide()
        self.assertEqual(list(found), list(QUICK.epochs))
        self.assertTrue(all(path.is_dir() for path in found.values()))
        self.assertEqual(self.provide(), found)
        directories = {str(epoch): str(path) for epoch, path in found.items()}
        self.assertEqual(self.made, [[QUICK.samples, QUICK.steps, DIRECTORY, directories]])

    def test_states_of_something_else_or_in_part_are_made_anew(self) -> None:
        folder = self.provide()[1].parent
        self.provide(sha256="cd34")
        self.assertEqual(len(self.made), 2)
        (folder / states.RECORD).unlink()
        (folder / "left over").touch()
        self.provide(sha256="cd34")
        self.assertEqual(len(self.made), 3)
        self.assertFalse((folder / "left over").exists())

    def test_states_of_other_sizes_stand_beside(self) -> None:
        self.provide()
        states.provide(self.place, replace(QUICK, steps=9), self.DATA, self.ask)
        self.provide()
        self.assertEqual(len(self.made), 2)


def report(
    products: list, epochs: list, notes: list, goals: tuple = (), sweep: tuple = (), estimators: tuple = ()
) -> dict:
    return {
        "date": "2026-01-31T12:00:00Z",
        "quick": False,
        "system": machine.system(),
        "build": {"commit": "0123456789abcdef", "dirty": True, "rustc": "rustc 1.95"},
        "witness": {"quiet": {"fma": 0.85, "copy": 0.5}, "waiting": 0.02, "best": {"fma": 100.0, "copy": 10.0}},
        "peers": {"ffwd": {"version": "0.1", "detail": "avx9"}, "mkl": {"version": "1.5", "detail": ""}},
        "products": products,
        "sweep": list(sweep),
        "epochs": {"data": "mnist", "samples": 600, "steps": 3, "rows": epochs} if epochs else None,
        "accuracy": {"data": "mnist", "goals": goals} if goals else None,
        "estimators": {"data": "mnist", "samples": 600, "rows": estimators} if estimators else None,
        "notes": notes,
    }


def samples(*ns: float, disturbed: tuple = ()) -> dict:
    """The part of a row that all rows have; the samples with the numbers `disturbed` are."""
    return {"samples_ns": list(ns), "disturbed": [number in disturbed for number in range(len(ns))]}


class Tables(unittest.TestCase):
    def product(self, peer: str, op: str, *ns: float, disturbed: tuple = ()) -> dict:
        taken = samples(*ns, disturbed=disturbed)
        return {"peer": peer, "dtype": "f32", "op": op, "m": 10, "k": 50, "n": 100, **taken}

    def test_cells_are_the_rate_of_the_median_and_the_multiple_of_our_time(self) -> None:
        rows = [
            self.product("ffwd", "NN", 1000, 9000, 1000),
            self.product("mkl", "NN", 2000, 2500, 3000),
            self.product("gemm", "NN", 4000),
            self.product("mkl-bf16", "NN", 500),
            self.product("ffwd", "TN", 1000),
            self.product("gemm", "TN", 900),
        ]
        lines = products_table("products", rows).splitlines()
        self.assertEqual(lines[2:], [
            "| product | ffwd f32 | MKL f32 | gemm f32 | MKL bf16 | best of the others |",
            "| --- | --- | --- | --- | --- | --- |",
            "| NN 10 x 50 x 100 | 100 | 40 (2.50) | 25 (4.00) | 200 (0.50) | 2.50 |",
            "| TN 10 x 50 x 100 | 100 | – | 111 (0.90) | – | 0.90 |",
            "",
            "Best of the others: the time of the fastest other library in f32 as a multiple of ffwd's; its geometric "
            "mean is 1.50.",
        ])

    def test_estimators_have_a_line_each(self) -> None:
        rows = [
            {"peer": "ffwd-python", **samples(2e9, 3e9, 4e9), "accuracy": [0.98, 0.97, 0.99], "epochs": [5, 5, 5]},
            {"peer": "mlp", **samples(30e9), "accuracy": [0.975], "epochs": [17]},
        ]
        lines = table.markdown(report([], [], [], estimators=rows)).splitlines()
        found = [line for line in lines if line.startswith("| `")]
        self.assertEqual(found, [
            "| `ffwd.ForwardForwardClassifier` | 3 | 1.00 | 5 | 2.00% |",
            "| `MLPClassifier`, until it ends by itself | 30 | 10.00 | 17 | 2.50% |",
        ])

    def test_without_ffwd_there_is_no_multiple(self) -> None:
        text = products_table("sweep", [self.product("mkl", "NN", 1000)])
        self.assertIn("| NN 10 x 50 x 100 | 100 | – |", text)
        self.assertNotIn("geometric", text)

    def test_disturbed_samples_are_left_out_and_a_row_of_them_is_marked(self) -> None:
        rows = [
            self.product("ffwd", "NN", 1000, 9000, 9000, disturbed=(1, 2)),
            self.product("mkl", "NN", 2000, 4000, disturbed=(0, 1)),
        ]
        text = table.markdown(report(rows, [], []))
        self.assertIn("| NN 10 x 50 x 100 | 100 | 33† (3.00) | 3.00 |", text)
        self.assertIn("\n\n† No sample was undisturbed: the median of all.\n", text)
        self.assertIn("medians without the 4 of 5 samples that were disturbed.", text.replace("\n", " "))
        self.assertNotIn("†", table.markdown(report(rows[:1], [], [])))

    def epoch(self, peer: str, epoch: int, seconds: float, loss: float) -> dict:
        return {"peer": peer, "epoch": epoch, **samples(seconds * 1e9, seconds * 1e9), "loss": [loss, loss + 0.0002]}

    def test_epochs_show_seconds_multiples_losses_and_the_mean_of_a_run(self) -> None:
        rows = [
            self.epoch("ffwd", 1, 2, 0.7247),
            self.epoch("ffwd", 5, 2, 0.3011),
            self.epoch("pytorch", 1, 30, 0.7251),
            self.epoch("pytorch", 5, 30, 0.3021),
            self.epoch("tensorflow", 1, 20, 0.7240),
        ]
        text = table.markdown(report([], rows, ["a note"]))
        self.assertIn("| library | epoch 1 | epoch 5 | loss off by | mean over 250 |", text)
        self.assertIn("| ffwd | 2 s | 2 s | – | 2 s |", text)
        self.assertIn("| PyTorch | 30 s (15.00) | 30 s (15.00) | 0.0010 | 30 s (15.00) |", text)
        self.assertIn("| TensorFlow | 20 s (10.00) | – | 0.0007 | – |", text)
        self.assertIn("constant beyond epoch 5.", text)
        self.assertIn("- a note\n", text)
        self.assertIn("ffwd 0.1 (avx9), MKL 1.5; rustc 1.95. ffwd at commit 0123456789, with changes.", text)
        self.assertNotIn("not the same computation", text)

    def test_between_measured_epochs_time_is_linear_in_the_logarithm(self) -> None:
        times = {1: Time(20.0), 10: Time(10.0), 100: Time(4.0)}
        expected = {1: 20, 2: 20 - 10 * math.log10(2), 10: 10, 50: 10 - 6 * math.log10(5), 100: 4, 250: 4}
        for epoch, time in expected.items():
            self.assertAlmostEqual(epochs_table.interpolated(times, epoch), time)
        self.assertEqual(epochs_table.interpolated({5: Time(7.0)}, 1), 7, "nothing is known before the first")

    def test_the_mean_of_a_run_weighs_every_epoch_and_keeps_marks(self) -> None:
        times = {1: Time(3.0), 2: Time(1.0, cells.MARK)}
        whole = epochs_table.whole_run(times, [1, 2])
        self.assertEqual((whole.ns, whole.mark), ((3 + 249) / 250, cells.MARK))

    def test_losses_that_differ_are_told(self) -> None:
        rows = [self.epoch("ffwd", 20, 2, 0.7247), self.epoch("tensorflow", 20, 30, 0.7447)]
        self.assertIn("The loss of epoch 20 differs by 0.0200", table.markdown(report([], rows, [])))

    def test_accuracy_shows_the_time_to_it_and_the_multiple_of_our_time_in_f32(self) -> None:
        def row(peer: str, precision: str, seconds: list, accuracy: list) -> dict:
            taken = samples(*(second * 1e9 for second in seconds))
            return {"peer": peer, "precision": precision, **taken, "accuracy": accuracy}

        rows = [
            row("ffwd", "f32", [2, 1, 1], [0.96, 0.9756, 0.98]),
            row("ffwd", "bf16", [0.5, 0.5, 0.5], [0.96, 0.97, 0.9751]),
            row("pytorch", "f32", [3, 3, 4], [0.96, 0.97, 0.98]),
        ]
        goals = [{"preset": {"preset": "quick"}, "accuracy": 0.9756, "rows": rows}]
        text = table.markdown(report([], [], [], goals))
        self.assertIn("| `quick`, 97.56% | ffwd f32 | 1 | 3 | 2 of 3 | 98.00% | 1.00 |", text)
        self.assertIn("| `quick`, 97.56% | ffwd bf16 | 0.5 | – | – | 97.51% | – |", text)
        self.assertIn("| `quick`, 97.56% | PyTorch f32 | 3 | 10 | 3 of 3 | 98.00% | 3.33 |", text)
        goals[0]["rows"] = rows[2:]
        self.assertIn("| 98.00% | – |", table.markdown(report([], [], [], goals)))

    def test_the_table_replaces_what_stands_between_the_markers(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            document = Path(directory) / "README.md"
            document.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
            table.fill(document, "new\n")
            table.fill(document, "newer\n")
            self.assertEqual(document.read_text(), f"before\n{table.BEGIN}\n\nnewer\n\n{table.END}\nafter\n")
            document.write_text("no markers")
            with self.assertRaisesRegex(ValueError, "README.md: found no"):
                table.fill(document, "new")


class Picture(unittest.TestCase):
    PEERS = {"ffwd": 1.0, "mkl": 2.0, "blis": 40.0, "gemm": 0.8}

    def rows(self, shapes: tuple) -> list:
        return [
            {"peer": peer, "op": op, "m": m, "k": k, "n": n, **samples(factor * m * k * n)}
            for op, m, k, n in shapes
            for peer, factor in self.PEERS.items()
        ]

    def drawn(self, shapes: tuple) -> tree.Element:
        drawing = tree.fromstring(chart.draw(self.rows(shapes)))
        width, height = (float(size) for size in drawing.get("viewBox").split()[2:])
        self.assertLessEqual(width, 800)
        for element in drawing.iter():
            for name, value in element.items():
                if name in ("x", "cx", "y", "cy"):
                    self.assertTrue(0 <= float(value) <= (width if "x" in name else height), element.attrib)
        return drawing

    def count(self, drawing: tree.Element, tag: str) -> int:
        return len(drawing.findall(f"{{http://www.w3.org/2000/svg}}{tag}"))

    def test_squares_are_curves_and_other_shapes_dots_beside_ours(self) -> None:
        drawing = self.drawn(FULL.sweep)
        even = [shape for shape in FULL.sweep if chart.is_even_square(shape)]
        self.assertEqual(len(even), 9)
        self.assertEqual(self.count(drawing, "polyline"), len(self.PEERS))
        self.assertEqual(self.count(drawing, "circle"), (len(FULL.sweep) - 9) * (len(self.PEERS) - 1))
        words = [element.text for element in drawing.iter() if element.text and element.text.strip()]
        self.assertIn("1000 x 784 x 500", words)
        self.assertIn("Debian's BLIS", words)

    def test_either_part_may_be_missing(self) -> None:
        self.assertEqual(self.count(self.drawn((("NN", 64, 64, 64),)), "circle"), 0)
        self.assertEqual(self.count(self.drawn((("NN", 1, 784, 500),)), "polyline"), 0)

    def test_every_library_has_a_colour_of_its_own(self) -> None:
        self.assertEqual(set(chart.COLOUR), set(ROLES["sweep"]))
        self.assertEqual(len(set(chart.COLOUR.values())), len(chart.COLOUR))


class Libraries(unittest.TestCase):
    def test_one_of_the_system_is_looked_for_or_the_package_named(self) -> None:
        with tempfile.TemporaryDirectory() as directory, mock.patch.object(blas, "LIBRARIES", Path(directory)):
            with mock.patch("ctypes.util.find_library", return_value=None):
                with self.assertRaisesRegex(SystemExit, "libblis: not found.*libblis4-pthread"):
                    blas.system_library("blis", ("blis-pthread/libblis.so.4",), "libblis4-pthread")
                path = Path(directory) / "x86" / "blis-pthread" / "libblis.so.4"
                path.parent.mkdir(parents=True)
                path.touch()
                found = blas.system_library("blis", ("blis-openmp/x", "blis-pthread/libblis.so.4"), "")
                self.assertEqual(found, str(path))
            with mock.patch("ctypes.util.find_library", return_value="libblis.so.4"):
                self.assertEqual(blas.system_library("blis", ("nowhere/x",), ""), "libblis.so.4")

    def test_settings_of_libraries_are_kept_from_the_workers(self) -> None:
        with mock.patch.dict(os.environ, {"OPENBLAS_CORETYPE": "Haswell", "OMP_NUM_THREADS": "77", "FFWD_DATA": "d"}):
            variables = environment.variables()
        self.assertNotIn("OPENBLAS_CORETYPE", variables)
        self.assertEqual(variables["FFWD_DATA"], "d")
        threads = {variables[f"{name}_NUM_THREADS"] for name in ("OMP", "BLIS", "RAYON")}
        self.assertEqual(threads, {str(environment.cpus())})

    def test_every_package_has_an_exact_version(self) -> None:
        lines = environment.REQUIREMENTS.read_text().splitlines()
        versions = dict(line.split("==") for line in lines if not line.startswith("#"))
        needed = {package for peers in ROLES.values() for peer in peers for package in peer.packages}
        self.assertEqual(needed - set(environment.BUILT_HERE), set(versions))
        self.assertTrue(all(re.fullmatch(r"[\d.]+", version) for version in versions.values()))


class Presets(unittest.TestCase):
    def test_another_recipe_is_refused(self) -> None:
        presets.check({**presets.CHOICES, "lr": 0.1})
        with self.assertRaisesRegex(ValueError, "^shift: found 2, expected 0$"):
            presets.check({**presets.CHOICES, "shift": 2})

    def test_rates_rise_and_fall_where_they_should(self) -> None:
        def course(warmup: float, cooldown: float) -> list:
            preset = {"warmup": warmup, "cooldown": cooldown}
            return [presets.rate_factor(preset, progress) for progress in (0, 0.25, 0.5, 0.75, 1)]

        self.assertEqual(course(0, 0.5), [1, 1, 1, 0.5, 0])
        self.assertEqual(course(0.5, 0.25), [0, 0.5, 1, 1, 0])
        self.assertEqual(course(0, 0), [1] * 5)
        self.assertEqual(course(0, 1), [1, 0.75, 0.5, 0.25, 0])


class Files(unittest.TestCase):
    def setUp(self) -> None:
        place = tempfile.TemporaryDirectory()
        self.addCleanup(place.cleanup)
        self.path = Path(place.name) / "peers.json"

    def load(self, content: str) -> dict:
        self.path.write_text(content)
        return reports.load(self.path)

    def test_only_a_report_of_this_tool_is_loaded(self) -> None:
        for content in ("", "[]", '{"schema": "ffwd/report/v1"}'):
            with self.assertRaisesRegex(ValueError, "peers.json: "):
                self.load(content)
        found = self.load('{"schema": "ffwd/peers/v2"}')
        self.assertEqual(found, {"schema": reports.SCHEMA, "estimators": None})

    def test_of_the_version_before_all_but_its_epochs_is_read(self) -> None:
        row = {"peer": "ffwd", "dtype": "f32", "op": "NN", "m": 10, "k": 50, "n": 100, "samples_ns": [1000, 3000]}
        earlier = {**report([row], [{"peer": "ffwd", "samples_ns": [1e9], "final_loss": [0.7]}], [])}
        for absent in ("sweep", "witness", "accuracy"):
            del earlier[absent]
        found = self.load(json.dumps({**earlier, "schema": reports.EARLIER}))
        text = table.markdown(found)
        self.assertIn("| NN 10 x 50 x 100 | 50 | – |", text)
        self.assertIn("- ffwd/peers/v1 has no outer epochs from stored states.", text)
        self.assertNotIn("disturbed", text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        serve(lambda: Pretender(sys.argv[2]))
    else:
        unittest.main()
