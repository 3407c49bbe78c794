#!/usr/bin/env python3
"""Tests of the model of a step on many machines, and whether the document holds what it says.

    python3 tools/cluster/test_model.py
"""

from __future__ import annotations

import json
import unittest
import xml.etree.ElementTree as tree

import model


class Model(unittest.TestCase):
    def test_a_line_is_found_again(self) -> None:
        slope, height = model.line_through([(x, 3 * x + 5) for x in (1, 2, 7)])
        self.assertAlmostEqual(slope, 3)
        self.assertAlmostEqual(height, 5)

    def test_more_nodes_than_parts_bring_nothing(self) -> None:
        def step(nodes: int) -> float:
            return model.step_on(nodes, 60000, (2e-6, 1e-3), 25)

        self.assertAlmostEqual(step(1), 0.121)
        self.assertLess(step(8), step(2))
        self.assertGreater(step(64), step(32))

    def test_a_step_gets_longer_with_nodes_that_have_as_much_each(self) -> None:
        steps = [model.step_on(n, 60000 * n, (2e-6, 1e-3), 10) for n in model.NODES]
        self.assertEqual(steps, sorted(steps))

    def test_the_document_and_the_picture_are_those_of_the_measurements(self) -> None:
        measured = json.loads(model.MEASURED.read_text())
        document = model.ROOT / "docs/distributed.md"
        text = document.read_text()
        for name, rows in model.tables(measured).items():
            self.assertEqual(model.put(text, name, rows), text, f"{name}: run tools/cluster/model.py --write")
        picture = model.picture(measured)
        tree.fromstring(picture)
        self.assertEqual(document.with_suffix(".svg").read_text(), picture)


if __name__ == "__main__":
    unittest.main()
