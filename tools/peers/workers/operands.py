"""Operands of a product C = A B in NumPy: A is m x k, B k x n, C m x n, all row-major; in `TN` A is stored as k x m."""

from __future__ import annotations

import numpy as np

OPERATIONS = ("NN", "TN")


def uniform(random: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """f32 [rows, columns], uniform in +-1."""
    values = random.random((rows, columns), dtype=np.float32)
    values *= 2
    values -= 1
    return values


def make(operation: str, m: int, k: int, n: int) -> tuple[np.ndarray, np.ndarray]:
    """A as it is stored, and B."""
    if operation not in OPERATIONS:
        raise ValueError(f"found operation {operation!r}, expected one of {', '.join(OPERATIONS)}")
    random = np.random.default_rng(1)
    return uniform(random, *((k, m) if operation == "TN" else (m, k))), uniform(random, k, n)


def to_bf16(values: np.ndarray) -> np.ndarray:
    """f32 rounded to the nearest bf16, ties to even, as its bits in u16. No value is NaN or infinite."""
    bits = values.view(np.uint32)
    rounded = bits >> 16
    rounded &= 1
    rounded += 0x7FFF
    rounded += bits
    rounded >>= 16
    return rounded.astype(np.uint16)


def from_bf16(bits: np.ndarray) -> np.ndarray:
    """f32 of bf16 bits in u16."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def deviation(operation: str, a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    """How far three elements of C are from the exact sums, as a share of the sums of the terms' magnitudes.

    The largest of the three. A and B hold what was multiplied: of bf16, u16 bits.
    """
    m, n = c.shape
    largest = 0.0
    for i, j in ((0, 0), (m // 2, n // 3), (m - 1, n - 1)):
        row, column = (a[:, i] if operation == "TN" else a[i]), b[:, j]
        if row.dtype == np.uint16:
            row, column = from_bf16(row), from_bf16(column)
        terms = row.astype(np.float64) * column
        largest = max(largest, abs(float(c[i, j]) - terms.sum()) / np.abs(terms).sum())
    return float(largest)
