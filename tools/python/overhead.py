#!/usr/bin/env python3
"""What the way through Python costs: the program and `fit` train `quick` on MNIST in turns, in f32 with seed 1.

    pip install ./tools/python
    FFWD_DATA=DIR python3 tools/python/overhead.py      three rounds

Prints seconds of training of both, those that `fit` spent in its epochs, the most memory that each process held, and
whether the weights are the same. Needs the installed package, Linux, MNIST, and a machine that does nothing else.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

ROUNDS = 3


def fit() -> dict:
    """One fit, in a process of its own."""
    import ffwd

    X, y, _, _ = ffwd.load_data("mnist")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model = ffwd.ForwardForwardClassifier(epochs=5, precision="f32", random_state=1)
    start = time.perf_counter()
    model.fit(X, y)
    return {
        "seconds": time.perf_counter() - start,
        "epochs": sum(epoch["seconds"] for epoch in model.history_),
        "before_mb": before / 1024,
        "most_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "weights": model._engine.weights_sha256(),
    }


def output(*command: str) -> dict:
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout)


def main() -> None:
    from ffwd._bench import program

    options = "--data mnist --preset quick --epochs 5 --seed 1 --precision f32 --out none --json".split()
    for _ in range(ROUNDS):
        ours, python = output(program(), *options), output(sys.executable, __file__, "fit")
        print(
            f"program {ours['train_seconds']:.2f} s, {ours['peak_rss_bytes'] / 2**20:.0f} MB; "
            f"fit {python['seconds']:.2f} s, {python['epochs']:.2f} s of them epochs, "
            f"{python['most_mb']:.0f} MB, {python['before_mb']:.0f} MB before it; "
            f"{'the same' if ours['weights_sha256'] == python['weights'] else 'OTHER'} weights",
            flush=True,
        )


if __name__ == "__main__":
    print(json.dumps(fit())) if sys.argv[1:] == ["fit"] else main()
