#!/usr/bin/env python3
"""Tests of the table and the curves from runs that only pretend. Needs nothing but Python.

    python3 tools/recipes/test_recipes.py
"""

from __future__ import annotations

import json
import tempfile
import unittest
import xml.etree.ElementTree as tree
from pathlib import Path

import ablation
import run
from curves import Curve, draw, ticks


def summary(accuracy: float, seconds: float, interrupted: bool = False) -> dict:
    config = {"layers": [500, 500], "epochs": 2, "learning": "forward_forward"}
    return {
        "config": config,
        "epochs": [{"seconds": seconds / 2}] * 2,
        "dataset": {"train": 1000},
        "test_accuracy": accuracy,
        "precision": "f32",
        "interrupted": interrupted,
    }


class Recipes(unittest.TestCase):
    def setUp(self) -> None:
        self.place = tempfile.TemporaryDirectory()
        self.runs = Path(self.place.name)
        self.addCleanup(self.place.cleanup)

    def keep(self, name: str, content: dict) -> None:
        (self.runs / name).mkdir()
        (self.runs / name / "summary.json").write_text(json.dumps(content))

    def test_a_row_is_mean_and_range_over_finished_runs(self) -> None:
        self.keep("quick-1", summary(0.98, 4.0))
        self.keep("quick-2", summary(0.97, 4.0))
        self.keep("quick-3", summary(0.5, 4.0, interrupted=True))
        self.keep("paper-4x2000-1", summary(0.99, 200.0))
        # 2 x 5 x 642,000 x 1,000 x 2 operations in 4 seconds are 3.2 GFLOP/s.
        lines = run.table(self.runs, ["quick", "paper", "paper-4x2000"], 32.1).splitlines()
        self.assertEqual(
            lines[2], "| `quick` | 500-500 | 2 | 2.50 | 2.00 to 3.00 (2) | 4.0 | 500 | 10% | f32 |"
        )
        self.assertTrue(lines[3].startswith("| `paper-4x2000` |") and " 200 |" in lines[3])
        self.assertEqual(len(lines), 4, "a preset without runs has no row")

    def test_an_ablation_is_the_last_validation_error_over_seeds(self) -> None:
        for seed, accuracy in ((1, 0.98), (2, 0.985)):
            epochs = [{"seconds": 1.0}, {"seconds": 2.0, "validation_accuracy": accuracy}]
            self.keep(f"a-{seed}", {"epochs": epochs})
        found = [ablation.errors(self.runs / f"a-{seed}") for seed in (1, 2)]
        self.assertEqual(ablation.row("x", found), "| x | 1.75 | 1.50 to 2.00 | 1.50 |")

    def test_the_table_stands_between_the_marks(self) -> None:
        document = self.runs / "a.md"
        document.write_text(f"head\n{run.BEGIN}\nold\n{run.END}\ntail\n")
        run.put(document, "new")
        self.assertEqual(document.read_text(), f"head\n{run.BEGIN}\n\nnew\n\n{run.END}\ntail\n")

    def test_a_curve_is_validation_error_by_summed_seconds(self) -> None:
        (self.runs / "curve-quick").mkdir()
        lines = [{"seconds": 1.5, "validation_accuracy": 0.9}, {"seconds": 1.0}]
        lines.append({"seconds": 1.0, "validation_accuracy": 0.95})
        (self.runs / "curve-quick" / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
        found = run.curve(self.runs, "quick")
        self.assertEqual([(s, round(e, 6)) for s, e in found.points], [(1.5, 10.0), (3.5, 5.0)])
        self.assertIsNone(run.curve(self.runs, "paper"))

    def test_the_picture_is_well_formed_and_names_every_curve(self) -> None:
        picture = draw([Curve("a<b", [(1.0, 10.0), (20.0, 1.2)]), Curve("c", [(3.0, 0.0)]), Curve("none", [])])
        words = [element.text for element in tree.fromstring(picture).iter() if element.text]
        self.assertIn("a<b 1.20", words)
        self.assertIn("c 0.00", words)
        self.assertEqual(ticks(0.7, 12.0), [1.0, 2.0, 5.0, 10.0])


if __name__ == "__main__":
    unittest.main()
