"""Training images and labels from IDX files, as they are or gzipped, under the names that MNIST uses."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np


def read(directory: Path, name: str) -> np.ndarray:
    """The bytes of one file in the shape its header tells: [n] labels or [n, rows, columns] images."""
    for spelling in (name, name.replace("-idx", ".idx")):
        for path, unpack in ((directory / spelling, open), (directory / f"{spelling}.gz", gzip.open)):
            if path.is_file():
                with unpack(path, "rb") as file:
                    return parse(file.read())
    raise FileNotFoundError(f"{directory}: no {name}")


def parse(content: bytes) -> np.ndarray:
    rank = content[3]
    shape = np.frombuffer(content, dtype=">u4", count=rank, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * rank).reshape(shape)


def training_set(directory: str, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The first `samples` images, f32 in [0, 1] [samples, k], and labels, i64 [samples]; all of them for 0."""
    return labelled(Path(directory), "train", samples)


def test_set(directory: str, samples: int) -> tuple[np.ndarray, np.ndarray]:
    """The same of the test images."""
    return labelled(Path(directory), "t10k", samples)


def labelled(directory: Path, part: str, samples: int) -> tuple[np.ndarray, np.ndarray]:
    images, labels = read(directory, f"{part}-images-idx3-ubyte"), read(directory, f"{part}-labels-idx1-ubyte")
    if len(labels) < samples:
        raise ValueError(f"{directory}: found {len(labels)} images, expected {samples}")
    count = samples or len(labels)
    return images[:count].reshape(count, -1).astype(np.float32) / 255, labels[:count].astype(np.int64)
