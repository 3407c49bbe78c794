#!/usr/bin/env python3
"""Predicts with a model of fast-train in NumPy, from nothing but the documented file, and compares.

    fast-train predict --model M.safetensors IMAGES.idx > labels.txt
    python3 tools/model_in_numpy.py M.safetensors IMAGES.idx labels.txt

Images are an unpacked IDX file. The arithmetic is float64, that of fast-train f32: where two labels are as good as each
other they may differ, in one image of a hundred at most. Needs Python 3.11 and the packages numpy and safetensors.
docs/reliability.md describes the file, docs/recipes.md the equations.
"""

import sys
import tomllib
from pathlib import Path

import numpy as np
from safetensors import safe_open

NEUTRAL = 0.1  # of the label's value, in the pixels of all classes


def load(path):
    """The layers from first to last, the read-out or None, and the metadata of a model."""
    with safe_open(path, framework="numpy") as file:
        # Copies, C-contiguous: k x u, row-major.
        tensors = {name: np.ascontiguousarray(file.get_tensor(name)) for name in file.keys()}
        metadata = file.metadata()

    def linear(name):
        weights = tensors[f"{name}.kernel"].astype(np.float64)
        return weights, tensors.get(f"{name}.bias", np.zeros(weights.shape[1])).astype(np.float64)

    layers = sum(name.startswith("layer.") and name.endswith(".kernel") for name in tensors)
    readout = linear("readout") if "readout.kernel" in tensors else None
    return [linear(f"layer.{index}") for index in range(layers)], readout, metadata


def read_images(path):
    """Images [n, pixels] in 0 to 255."""
    content = Path(path).read_bytes()
    rank = content[3]
    sizes = np.frombuffer(content, ">u4", rank, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(sizes[0], -1).astype(np.float64)


class Network:
    def __init__(self, path):
        self.layers, self.readout, metadata = load(path)
        self.classes = int(metadata["classes"])
        config = tomllib.loads(metadata["config"])
        self.label, self.normalisation, self.goodness = (config[key] for key in ("label", "normalisation", "goodness"))
        self.size, self.transpose = (int(metadata["rows"]), int(metadata["cols"])), config["transpose"]
        self.label_base = config["label_base"]

    def normalised(self, rows):
        squares = (rows * rows).sum(axis=1, keepdims=True)
        if self.normalisation == "unit_length":
            return rows / (np.sqrt(squares) + 1e-4)
        return rows / (np.sqrt(squares / rows.shape[1]) + 1e-20)

    def labelled(self, images, marks):
        """Images in 0 to 1 whose first pixels are `marks` [classes] times the value of a label."""
        value = np.full(len(images), 255.0) if self.label == "one" else images.max(axis=1)
        rows = images.copy()
        rows[:, : self.classes] = value[:, None] * marks
        return rows / 255.0

    def activations(self, rows):
        """Each layer's activations."""
        for weights, bias in self.layers:
            rows = np.maximum(self.normalised(rows) @ weights + bias, 0)
            yield rows

    def seen(self, rows):
        """The activations that the read-out sees: all but the first layer's, if there are others."""
        activations = list(self.activations(rows))
        return activations[1:] or activations

    def labels(self, images):
        """The labels of images [n, pixels] as they lie in the file, counted as the data set counts them."""
        if self.transpose:
            rows, cols = self.size
            images = images.reshape(-1, cols, rows).swapaxes(1, 2).reshape(len(images), -1)
        return self.predict(images) + self.label_base

    def predict(self, images):
        if self.readout:
            rows = self.labelled(images, np.full(self.classes, NEUTRAL))
            features = np.concatenate([self.normalised(h) for h in self.seen(rows)], axis=1)
            weights, bias = self.readout
            return (features @ weights + bias).argmax(axis=1)
        total = np.zeros((len(images), self.classes))
        for label, marks in enumerate(np.eye(self.classes)):
            for h in self.activations(self.labelled(images, marks)):
                total[:, label] += (h * h).mean(axis=1) if self.goodness == "mean_of_squares" else (h * h).sum(axis=1)
        return total.argmax(axis=1)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    model, images, labels = sys.argv[1:]
    found = Network(model).labels(read_images(images))
    expected = np.array(Path(labels).read_text().split(), dtype=int)
    assert len(found) == len(expected), (len(found), len(expected))
    differ = int((found != expected).sum())
    print(f"{model}: {differ} of {len(found)} labels differ")
    return 1 if differ > len(found) / 100 else 0


if __name__ == "__main__":
    sys.exit(main())
