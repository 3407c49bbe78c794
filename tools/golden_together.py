#!/usr/bin/env python3
"""Golden files of networks whose layers train together: mini-batches, read-out, peer normalisation, losses of pairs.

As tools/golden.py, written from the equations (docs/recipes.md) with NumPy in float64, and independent of the engine.
There are two classes, so that the wrong label of a negative is known.

    python3 tools/golden_together.py             write tests/golden/together_*.json (again the same bytes)
    python3 tools/golden_together.py --check     check the oracle itself: its gradients against differences

Needs Python 3.11 and NumPy.

Letters: `n` samples in a batch, `k` inputs of a layer, `u` units of a layer, `c` classes.
"""

import argparse
import json
import math
from dataclasses import dataclass, field

import numpy as np

from golden import GOLDEN, product, sigmoid, softplus

COMMAND = "python3 tools/golden_together.py"
CLASSES, ROWS, COLS, SAMPLES = 2, 5, 6, 40
KEPT = 0.9  # of a unit's mean activity from batch to batch, which begins at 0.5
DECIMALS = 9


@dataclass(frozen=True)
class Case:
    """Fields of a configuration, by their names there."""

    name: str
    layers: tuple = (12, 9, 7)
    fields: dict = field(default_factory=dict)

    def __getattr__(self, name):
        return {**DEFAULTS, **self.fields}[name]


DEFAULTS = {
    "learning": "forward_forward", "loss": "logistic", "temperature": 1.0, "threshold": 1.0, "epochs": 4, "batch": 15,
    "peer": 0.05, "optimizer": "averaged", "lr": 0.02, "momentum": 0.9, "weight_decay": 0.01, "beta1": 0.9,
    "beta2": 0.99, "epsilon": 1e-7, "readout_lr": 0.1, "readout_decay": 0.003, "schedule": "linear", "warmup": 0.0,
    "cooldown": 0.5, "weight_average": 0.0,
}

CASES = [
    Case("together_logistic"),
    Case("together_symba", fields={"loss": "symba", "temperature": 8.0}),
    Case("together_swish", fields={
        "loss": "swish", "temperature": 20.0, "schedule": "cosine", "warmup": 0.2, "cooldown": 0.7, "momentum": 0.8}),
    Case("together_adam", fields={"loss": "swish", "temperature": 20.0, "optimizer": "adam", "lr": 0.01, "peer": 0.0}),
    Case("together_one_layer", layers=(8,), fields={"loss": "swish", "temperature": 10.0}),
    Case("together_average", fields={"loss": "symba", "temperature": 8.0, "weight_average": 0.7}),
    Case("backpropagation", fields={"learning": "backpropagation", "lr": 0.2, "peer": 0.0}),
]

# Dropout is checked for one layer alone, whose rows stay in their order.
DROPOUT = Case("dropout", layers=(37,), fields={"loss": "swish", "temperature": 20.0})
SHARE, SEED, PAIRS, INPUTS = 0.3, 2**63 + 12345, 9, 11


# What a run computes --------------------------------------------------------------------------------------------------


def normalize(x):
    """Rows of x [n, k] divided by their root mean square; rows of zeros stay."""
    return x / (np.sqrt(np.mean(x * x, axis=1, keepdims=True)) + 1e-20)


def overlay(pixels, values):
    """Images in [0, 1], the first c pixels replaced by `values` [n, c]."""
    x = pixels / 255.0
    x[:, :CLASSES] = values
    return x


def one_hot(labels):
    return np.eye(CLASSES)[labels]


def activations(layer, x):
    """h [n, u] of normalized inputs [n, k]."""
    return np.maximum(product(x, layer["weights"]) + layer["bias"], 0)


def features(layers, pixels):
    """What the read-out sees under the neutral label: the later layers' normalized rows, or the only layer's."""
    x = normalize(overlay(pixels, np.full((len(pixels), CLASSES), 0.1)))
    rows = []
    for layer in layers:
        x = normalize(activations(layer, x))
        rows.append(x)
    return np.concatenate(rows[1:] or rows, axis=1)


def probabilities(readout, x):
    logits = product(x, readout["weights"]) + readout["bias"]
    # math.exp: the last bit of NumPy's own exp depends on the vector instructions of the CPU.
    e = np.array([[math.exp(v) for v in row] for row in logits - logits.max(axis=1, keepdims=True)])
    return e / e.sum(axis=1, keepdims=True)


def losses(case, g_pos, g_neg, units):
    """The mean loss over the 2n rows, and its derivatives after both goodnesses [n]."""
    n, t = len(g_pos), case.temperature
    if case.loss == "logistic":
        excess_pos, excess_neg = ((g - case.threshold * units) / t for g in (g_pos, g_neg))
        loss = np.mean(np.concatenate([softplus(-excess_pos), softplus(excess_neg)]))
        return loss, -sigmoid(-excess_pos) / (2 * n * t), sigmoid(excess_neg) / (2 * n * t)
    x = (g_neg - g_pos) / t
    s = sigmoid(x)
    if case.loss == "symba":
        loss, slope = np.mean(t * softplus(x)), s
    else:
        loss, slope = np.mean(t * x * s), s + x * s * (1 - s)
    return loss, -slope / n, slope / n


def dropout_factors(share, seed, samples, units):
    """What activations are multiplied with [samples, units]: 0, or 1 / (1 - share)."""
    def mixed(number, multipliers, shifts, bits):
        for multiplier, shift in zip(multipliers, shifts):
            number = ((number ^ number >> shift) * multiplier) % 2**bits
        return number

    def is_left(sample, unit):
        key = (seed + (sample + 1) * 0x9E3779B97F4A7C15) % 2**64
        key = mixed(key, (0xBF58476D1CE4E5B9, 0x94D049BB133111EB), (30, 27), 64) >> 32
        number = mixed((unit * 0x9E3779B9) % 2**32 ^ key, (0x7FEB352D, 0x846CA68B), (16, 15), 32)
        return (number ^ number >> 16) >= int(share * 2**32)

    return np.array([[is_left(s, j) for j in range(units)] for s in range(samples)]) / (1 - share)


def layer_gradient(case, layer, x_pos, x_neg, shift, factors=1.0):
    """Loss, gradient and both activations of a layer; `shift` [u] is added to the slopes of positive rows."""
    h_pos, h_neg = activations(layer, x_pos) * factors, activations(layer, x_neg) * factors
    g_pos, g_neg = ((h * h).sum(axis=1) for h in (h_pos, h_neg))
    loss, d_pos, d_neg = losses(case, g_pos, g_neg, h_pos.shape[1])
    dz_pos, dz_neg = 2 * d_pos[:, None] * h_pos * factors + shift(h_pos), 2 * d_neg[:, None] * h_neg * factors
    weights = product(x_pos.T, dz_pos) + product(x_neg.T, dz_neg)
    return loss, {"weights": weights, "bias": dz_pos.sum(axis=0) + dz_neg.sum(axis=0)}, h_pos, h_neg


def readout_gradient(readout, x, labels):
    """Cross-entropy, its gradient, and the slopes after the logits."""
    p = probabilities(readout, x)
    slopes = (p - one_hot(labels)) / len(labels)
    loss = -np.mean([math.log(row[label]) for row, label in zip(p, labels)])
    return loss, {"weights": product(x.T, slopes), "bias": slopes.sum(axis=0)}, slopes


def backpropagate(layers, readout, pixels, labels):
    """Cross-entropy, and the gradients of all layers and of the read-out."""
    inputs, hs = [normalize(overlay(pixels, np.full((len(pixels), CLASSES), 0.1)))], []
    for layer in layers:
        hs.append(activations(layer, inputs[-1]))
        inputs.append(normalize(hs[-1]))
    seen = range(min(1, len(layers) - 1), len(layers))
    loss, of_readout, slopes = readout_gradient(readout, features(layers, pixels), labels)
    of_features = product(slopes, readout["weights"].T)
    gradients, dy_behind, end = [], 0.0, of_features.shape[1]
    for at in reversed(range(len(layers))):
        h, u = hs[at], hs[at].shape[1]
        dy = dy_behind
        if at in seen:
            dy = dy + of_features[:, end - u : end]
            end -= u
        squares = (h * h).sum(axis=1, keepdims=True)
        along = np.where(squares > 0, (dy * h).sum(axis=1, keepdims=True) / np.where(squares > 0, squares, 1), 0)
        dz = np.where(h > 0, (dy - along * h) / (np.sqrt(squares / u) + 1e-20), 0)
        gradients.insert(0, {"weights": product(inputs[at].T, dz), "bias": dz.sum(axis=0)})
        dy_behind = product(dz, layers[at]["weights"].T)
    return loss, gradients, of_readout


# Training -------------------------------------------------------------------------------------------------------------


class Optimizer:
    """The running mean of the gradients, or Adam; weights decay beside it, biases do not."""

    def __init__(self, case, name, lr, decay):
        self.case, self.name, self.lr, self.decay, self.steps, self.moments = case, name, lr, decay, 0, {}

    def step(self, layer, gradient, rate):
        case, lr = self.case, rate * self.lr
        self.steps += 1
        for key, g in gradient.items():
            first, second = self.moments.get(key, (np.zeros_like(g), np.zeros_like(g)))
            decay = self.decay if key == "weights" else 0.0
            if self.name == "averaged":
                first = case.momentum * first + (1 - case.momentum) * g
                change = first
            else:
                first = case.beta1 * first + (1 - case.beta1) * g
                second = case.beta2 * second + (1 - case.beta2) * g * g
                correction = math.sqrt(1 - case.beta2**self.steps) / (1 - case.beta1**self.steps)
                change = correction * first / (np.sqrt(second) + case.epsilon)
            layer[key] = layer[key] - lr * (change + decay * layer[key])
            self.moments[key] = (first, second)


class Mean:
    """The running mean of the weights after each batch, which keeps a share of itself, at first less: it begins as the
    mean of all. Without a share it is the last weights."""

    def __init__(self, kept, layers):
        self.kept, self.batches = kept, 0
        self.count(layers)

    def count(self, layers):
        if self.batches == 0 or self.kept == 0:
            self.layers = [dict(layer) for layer in layers]
        else:
            share = max(1 - self.kept, 1 / self.batches)
            self.layers = [
                {key: value + share * (layer[key] - value) for key, value in mean.items()}
                for mean, layer in zip(self.layers, layers)
            ]
        self.batches += 1


def rate(case, progress):
    """What the learning rates are multiplied with after this share of the run."""
    risen = min(progress / case.warmup, 1.0) if case.warmup else 1.0
    fallen = max(0.0, (progress - (1 - case.cooldown)) / case.cooldown)
    return risen * (1 - fallen if case.schedule == "linear" else (1 + math.cos(math.pi * fallen)) / 2)


def make_data(case):
    """Images, labels and initial layers, exact in float32; the read-out begins at zero."""
    random = np.random.RandomState(11)
    pixels = random.randint(0, 256, size=(SAMPLES, ROWS * COLS)) * (random.uniform(size=(SAMPLES, ROWS * COLS)) < 0.6)
    labels = random.randint(0, CLASSES, size=SAMPLES)
    layers, k = [], ROWS * COLS
    for u in case.layers:
        weights = (random.normal(size=(k, u)) / math.sqrt(k)).astype(np.float32).astype(np.float64)
        layers.append({"weights": weights, "bias": np.zeros(u)})
        k = u
    seen = sum(case.layers[1:]) or case.layers[0]
    return pixels, labels, layers, {"weights": np.zeros((seen, CLASSES)), "bias": np.zeros(CLASSES)}


def train(case):
    """The layers, the read-out and the losses [epoch][layer][batch] of a run."""
    pixels, labels, layers, readout = make_data(case)
    optimizers = [Optimizer(case, case.optimizer, case.lr, case.weight_decay) for _ in layers]
    of_readout = Optimizer(case, "averaged", case.readout_lr, case.readout_decay)
    activity = [np.full(u, 0.5) for u in case.layers]
    mean = Mean(case.weight_average, [*layers, readout])
    all_losses = []
    for epoch in range(case.epochs):
        epoch_losses = [[] for _ in layers]
        for first in range(0, SAMPLES, case.batch):
            images, truth = pixels[first : first + case.batch], labels[first : first + case.batch]
            factor = rate(case, (epoch + first / SAMPLES) / case.epochs)
            if case.learning == "backpropagation":
                loss, gradients, gradient = backpropagate(layers, readout, images, truth)
                for at, layer in enumerate(layers):
                    optimizers[at].step(layer, gradients[at], factor)
                    epoch_losses[at].append(float(loss))
                of_readout.step(readout, gradient, factor)
                mean.count([*layers, readout])
                continue
            gradient = readout_gradient(readout, features(layers, images), truth)[1]
            of_readout.step(readout, gradient, factor)
            x_pos, x_neg = (normalize(overlay(images, one_hot(y))) for y in (truth, 1 - truth))
            for at, layer in enumerate(layers):

                def shift(h_pos):
                    activity[at] = KEPT * activity[at] + (1 - KEPT) * h_pos.mean(axis=0)
                    return case.peer * (activity[at] - activity[at].mean()) / len(h_pos)

                loss, gradient, h_pos, h_neg = layer_gradient(case, layer, x_pos, x_neg, shift)
                optimizers[at].step(layer, gradient, factor)
                epoch_losses[at].append(float(loss))
                x_pos, x_neg = normalize(h_pos), normalize(h_neg)
            mean.count([*layers, readout])
        all_losses.append(epoch_losses)
    *layers, readout = mean.layers
    return layers, readout, all_losses


# Files and checks -----------------------------------------------------------------------------------------------------


def plain(value):
    """JSON in one line, floats rounded."""
    def rounded(value):
        if isinstance(value, np.ndarray):
            return rounded(value.ravel().tolist())
        if isinstance(value, (list, tuple)):
            return [rounded(item) for item in value]
        if isinstance(value, dict):
            return {key: rounded(item) for key, item in value.items()}
        return round(value, DECIMALS) + 0.0 if isinstance(value, float) else value

    return json.dumps(rounded(value), separators=(",", ":"))


def write_files():
    for case in CASES:
        pixels, labels, initial, _ = make_data(case)
        layers, readout, all_losses = train(case)
        last = probabilities(readout, features(layers, pixels))
        entries = {
            "schema": plain("ffwd/golden-together/v1"),
            "command": plain(COMMAND),
            "case": plain(case.name),
            "rows": plain(ROWS),
            "cols": plain(COLS),
            "layers": plain(case.layers),
            "fields": plain({**DEFAULTS, **case.fields}),
            "pixels": plain(pixels.astype(np.uint8).tobytes().hex()),
            "labels": plain(labels.tolist()),
            # Exact in float32, so not rounded.
            "initial": json.dumps([layer["weights"].ravel().tolist() for layer in initial], separators=(",", ":")),
            "step_loss": plain(all_losses),
            "final": plain(layers),
            "readout": plain(readout),
            "probabilities": plain(last),
        }
        write(case.name, entries)
    write_dropout()


def make_dropout():
    """Rows of a batch, positive and negative in turn, and the parameters of a layer, exact in float32."""
    random = np.random.RandomState(12)
    rows = random.randint(0, 8, size=(2 * PAIRS, INPUTS)) / 4.0
    (u,) = DROPOUT.layers
    weights = (random.normal(size=(INPUTS, u)) / 2).astype(np.float32).astype(np.float64)
    return rows, {"weights": weights, "bias": np.full(u, 0.25)}, dropout_factors(SHARE, SEED, PAIRS, u)


def dropout_result(rows, layer, factors):
    x = normalize(rows)
    return layer_gradient(DROPOUT, layer, x[::2], x[1::2], lambda h: 0.0, factors)


def write_dropout():
    rows, layer, factors = make_dropout()
    loss, gradient, h_pos, h_neg = dropout_result(rows, layer, factors)
    entries = {
        "schema": plain("ffwd/golden-dropout/v1"),
        "command": plain(COMMAND),
        "share": plain(SHARE),
        "seed": plain(SEED),
        "k": plain(INPUTS),
        "u": plain(DROPOUT.layers[0]),
        "temperature": plain(DROPOUT.temperature),
        "rows": plain(rows),
        # Exact in float32, so not rounded.
        "weights": json.dumps(layer["weights"].ravel().tolist(), separators=(",", ":")),
        "bias": plain(layer["bias"]),
        "loss": plain(float(loss)),
        "gradient": plain(gradient),
        "outputs": plain(np.stack([h_pos, h_neg], axis=1)),
    }
    write("dropout", entries)


def write(name, entries):
    text = "{" + ",\n".join(f'"{key}":{value}' for key, value in entries.items()) + "}\n"
    (GOLDEN / f"{name}.json").write_text(text, encoding="ascii", newline="\n")
    print(f"{name:20} {len(text)} bytes")


def check_slopes(parameters, gradient, loss, what):
    """A gradient against central differences of the loss."""
    half = 1e-6
    for key, values in parameters.items():
        for at in np.ndindex(values.shape):
            was = values[at]
            ends = []
            for step in (half, -half):
                values[at] = was + step
                ends.append(loss())
            values[at] = was
            slope = (ends[0] - ends[1]) / (2 * half)
            assert abs(slope - gradient[key][at]) < 1e-6, (what, key, at, slope, gradient[key][at])


def check():
    for case in CASES:
        pixels, labels, layers, readout = make_data(case)
        random = np.random.RandomState(5)
        readout["weights"] = random.normal(size=readout["weights"].shape)
        if case.learning == "backpropagation":
            _, gradients, _ = backpropagate(layers, readout, pixels, labels)
            for at, layer in enumerate(layers):
                check_slopes(layer, gradients[at], lambda: backpropagate(layers, readout, pixels, labels)[0], case.name)
        else:
            x_pos, x_neg = (normalize(overlay(pixels, one_hot(y))) for y in (labels, 1 - labels))

            def result():
                return layer_gradient(case, layers[0], x_pos, x_neg, lambda h: 0.0)

            check_slopes(layers[0], result()[1], lambda: result()[0], case.name)
        x = features(layers, pixels)
        gradient = readout_gradient(readout, x, labels)[1]
        check_slopes(readout, gradient, lambda: readout_gradient(readout, x, labels)[0], "read-out")
        print(f"{case.name}: ok")
    rows, layer, factors = make_dropout()
    loss_of, gradient = (lambda: dropout_result(rows, layer, factors)[0]), dropout_result(rows, layer, factors)[1]
    check_slopes(layer, gradient, loss_of, "dropout")
    print("dropout: ok")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="check the oracle itself")
    check() if parser.parse_args().check else write_files()


if __name__ == "__main__":
    main()
