#!/usr/bin/env python3
"""Tests of the driver with workers that only pretend: turns, failures, tables. Needs nothing but Python.

    python3 tools/peers/test_peers.py
"""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

import machine
import measure
import run
import table
from peers import HERE, QUICK
from worker import Worker, WorkerError

sys.path.insert(0, str(HERE / "workers"))
import presets
from serve import Peer as Served
from serve import serve


class Pretender(Served):
    """A worker whose behaviour is in its name; its times are fixed."""

    NS = {"ffwd": 1_000_000, "mkl": 2_000_000}

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.losses = [0.7, 0.65]

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

    def epochs(self, samples: int, steps: int, directory: str) -> dict:
        assert directory == "/a directory/with blanks", directory
        self.task = lambda: {"final_loss": self.losses.pop(0) + (0.01 if self.name == "tensorflow" else 0)}
        return {}

    def accuracy(self, directory: str, preset: dict) -> dict:
        assert directory == "/a directory/with blanks", directory
        accuracies = [0.9, 0.98]
        self.task = dict
        self.afterwards = lambda: {"accuracy": accuracies.pop(0)}
        return {"precision": preset["by itself"] if preset["precision"] == "auto" else preset["precision"]}

    def run(self) -> dict:
        reply = super().run()
        if self.name == "openblas":
            sys.exit("out of luck")
        return {**reply, "ns": self.NS.get(self.name, 4_000_000)}


def start(peer) -> Worker:
    if peer.name == "mkl-bf16":
        raise WorkerError("ERROR: no matching distribution")
    return Worker([sys.executable, __file__, "worker", peer.name], dict(os.environ))


def report(products: list, epochs: list, notes: list, goals: tuple = ()) -> dict:
    return {
        "date": "2026-01-31T12:00:00Z",
        "quick": False,
        "system": machine.system(),
        "build": {"commit": "0123456789abcdef", "dirty": True, "rustc": "rustc 1.95"},
        "peers": {"ffwd": {"version": "0.1", "detail": "avx9"}, "mkl": {"version": "1.5", "detail": ""}},
        "products": products,
        "epochs": {"data": "mnist", "samples": 600, "steps": 3, "rows": epochs} if epochs else None,
        "accuracy": {"data": "mnist", "goals": goals} if goals else None,
        "notes": notes,
    }


class Turns(unittest.TestCase):
    def setUp(self) -> None:
        self.notes: list[str] = []
        self.pause, measure.PAUSE = measure.PAUSE, 0
        measure.say, self.say = lambda text: None, measure.say

    def tearDown(self) -> None:
        measure.PAUSE, measure.say = self.pause, self.say

    def session(self, role: str, names: list) -> measure.Session:
        session = measure.Session(measure.chosen(role, names), start, self.notes.append)
        self.addCleanup(session.stop)
        return session

    def test_every_round_runs_every_library(self) -> None:
        rows = measure.products(self.session("products", ["mkl", "ffwd"]), replace(QUICK, rounds=3))
        self.assertEqual([row["peer"] for row in rows], ["ffwd", "mkl"] * len(QUICK.products))
        self.assertEqual(rows[0]["samples_ns"], [1_000_000] * 3)
        self.assertEqual(rows[1]["samples_ns"], [2_000_000] * 3)
        self.assertEqual(self.notes, [])

    def test_what_fails_is_noted_and_the_others_go_on(self) -> None:
        names = ["ffwd", "openblas", "matrixmultiply", "gemm", "mkl-bf16", "onednn-bf16"]
        session = self.session("products", names)
        self.assertEqual(self.notes, [
            "MKL bf16: ERROR: no matching distribution",
            "oneDNN bf16: ValueError: no oneDNN in this build",
        ])
        rows = measure.products(session, QUICK)
        measured = [(row["peer"], row["op"]) for row in rows]
        self.assertEqual(measured, [
            ("ffwd", "NN"), ("matrixmultiply", "NN"), ("ffwd", "TN"), ("ffwd", "NN"), ("matrixmultiply", "NN"),
        ])
        text = "\n".join(self.notes)
        self.assertIn("OpenBLAS f32, NN 600 x 784 x 500: its worker ended with code 1: out of luck", text)
        self.assertIn("matrixmultiply f32, TN 784 x 600 x 500: MemoryError: too large", text)
        self.assertEqual(text.count("gemm f32, "), 3)
        self.assertEqual(text.count("OpenBLAS"), 1, "a worker that ended is not asked again")

    def test_epochs_keep_time_and_loss_of_each(self) -> None:
        session = self.session("epochs", ["ffwd", "pytorch"])
        rows = measure.epochs(session, QUICK, "/a directory/with blanks")
        self.assertEqual([row["peer"] for row in rows], ["ffwd", "pytorch"])
        self.assertEqual(rows[0], {"peer": "ffwd", "samples_ns": [1_000_000] * 2, "final_loss": [0.7, 0.65]})

    def accuracy(self, by_itself: str) -> list:
        session = self.session("accuracy", ["ffwd", "pytorch"])
        preset = {"preset": "quick", "epochs": 2, "precision": "auto", "by itself": by_itself}
        return measure.accuracy(session, preset, "/a directory/with blanks")

    def test_accuracy_is_kept_with_the_time_of_each_epoch(self) -> None:
        rows = self.accuracy(by_itself="bf16")
        libraries = [("ffwd", "f32"), ("pytorch", "f32"), ("ffwd", "bf16"), ("pytorch", "bf16")]
        self.assertEqual([(row["peer"], row["precision"]) for row in rows], libraries)
        self.assertEqual((rows[3]["samples_ns"], rows[3]["accuracy"]), ([4_000_000] * 2, [0.9, 0.98]))
        self.assertEqual(self.notes, [])

    def test_what_takes_f32_by_itself_is_not_measured_twice(self) -> None:
        rows = self.accuracy(by_itself="f32")
        libraries = [("ffwd", "f32"), ("pytorch", "f32"), ("pytorch", "bf16")]
        self.assertEqual([(row["peer"], row["precision"]) for row in rows], libraries)

    def test_what_was_prepared_goes_when_something_else_is(self) -> None:
        worker = Pretender("ffwd")
        worker.answer('accuracy ["/a directory/with blanks", {"precision": "f32"}]')
        self.assertEqual(worker.answer("run"), {"ns": 1_000_000, "accuracy": 0.9})
        worker.answer("product NN 1 2 3")
        self.assertEqual(worker.answer("run"), {"ns": 1_000_000})

    def test_a_session_of_nobody_measures_nothing(self) -> None:
        self.assertEqual(measure.products(self.session("products", []), QUICK), [])


class Tables(unittest.TestCase):
    def product(self, peer: str, op: str, ns: list) -> dict:
        return {"peer": peer, "dtype": "f32", "op": op, "m": 10, "k": 50, "n": 100, "samples_ns": ns}

    def test_cells_are_the_rate_of_the_median_and_the_multiple_of_our_time(self) -> None:
        rows = [
            self.product("ffwd", "NN", [1000, 9000, 1000]),
            self.product("mkl", "NN", [2000, 2500, 3000]),
            self.product("mkl", "TN", [1000]),
        ]
        lines = table.products_table(rows).splitlines()
        self.assertEqual(lines[2:], [
            "| product | ffwd f32 | MKL f32 |",
            "| --- | --- | --- |",
            "| NN 10 x 50 x 100 | 100 | 40 (2.50) |",
            "| TN 10 x 50 x 100 | – | 100 |",
        ])

    def test_epochs_show_seconds_losses_and_the_multiple_of_our_time(self) -> None:
        rows = [
            {"peer": "ffwd", "samples_ns": [2e9, 4e9], "final_loss": [0.7247, 0.7089]},
            {"peer": "pytorch", "samples_ns": [30e9, 33e9], "final_loss": [0.7251, 0.7080]},
        ]
        text = table.markdown(report([], rows, ["a note"]))
        self.assertIn("| ffwd | 2 s | 4 s | 0.7247, 0.7089 | 1.00 |", text)
        self.assertIn("| PyTorch | 30 s | 33 s | 0.7251, 0.7080 | 10.50 |", text)
        self.assertIn("- a note\n", text)
        self.assertIn("ffwd 0.1 (avx9), MKL 1.5; rustc 1.95. ffwd at commit 0123456789, with changes.", text)
        self.assertNotIn("not the same computation", text)

    def test_accuracy_shows_the_time_to_it_and_the_multiple_of_our_time_in_f32(self) -> None:
        def row(peer: str, precision: str, seconds: list, accuracy: list) -> dict:
            samples = [second * 1e9 for second in seconds]
            return {"peer": peer, "precision": precision, "samples_ns": samples, "accuracy": accuracy}

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

    def test_losses_that_differ_are_told(self) -> None:
        rows = [
            {"peer": "ffwd", "samples_ns": [2e9], "final_loss": [0.7247]},
            {"peer": "tensorflow", "samples_ns": [30e9], "final_loss": [0.7347]},
        ]
        self.assertIn("FinalLoss differs by 0.0100", table.markdown(report([], rows, [])))

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
    def test_only_a_report_of_this_tool_is_loaded(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory) / "peers.json"
            for content in ("", "[]", '{"schema": "ffwd/report/v1"}'):
                path.write_text(content)
                with self.assertRaisesRegex(ValueError, "peers.json: "):
                    run.load(path)
            path.write_text('{"schema": "ffwd/peers/v1"}')
            self.assertEqual(run.load(path), {"schema": run.SCHEMA})


if __name__ == "__main__":
    if sys.argv[1:2] == ["worker"]:
        serve(lambda: Pretender(sys.argv[2]))
    else:
        unittest.main()
