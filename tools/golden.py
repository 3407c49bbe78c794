#!/usr/bin/env python3
"""Golden files for the Forward-Forward engine.

An independent oracle, written from the equations with NumPy in float64: it trains a few tiny networks, predicts with
them, and writes down every number a test may want to compare. One case per file, all the inputs included, so that a
reader of a file needs nothing from this script.

    python3 tools/golden.py                  write tests/golden/*.json (running it again gives the same bytes)
    python3 tools/golden.py --check          check the oracle itself: gradient, optimizers, softplus, overlay
    python3 tools/golden.py --float32-gap    what float32 arithmetic does to each case, as a table

Needs Python 3.11 and NumPy.

Letters: `n` samples in a batch, `k` inputs of a layer, `u` units of a layer, `c` classes.

The equations
-------------
Overlay     x = byte/255; the first c pixels become zero, except pixel y, which takes the largest pixel of the whole
            original image. Positive rows carry the true label, negative rows a permuted one.
Layer       x^ = x / (||x|| + 1e-4),  z = x^ W + b,  h = max(z, 0),  goodness g = mean over units of h^2.
Loss        mean over the 2n rows of softplus(theta - g) (positive) and softplus(g - theta) (negative),
            plus kernel_l2 * sum(W^2) + bias_l2 * sum(b^2).
Gradient    dL/dz = coef * h,  coef+ = -sigmoid(theta - g)/(n u),  coef- = sigmoid(g - theta)/(n u);
            dW = x^T dL/dz + 2 kernel_l2 W,  db = sum over rows of dL/dz + 2 bias_l2 b.
Epoch       for each batch in stored order, for each layer: `inner_steps` optimizer steps, then h+ and h- recomputed
            with the new weights are the next layer's inputs. No gradient crosses layers; each layer's optimizer state
            lives on through batches and epochs.
Prediction  overlay each label, add up the layers' goodness; the largest wins, the lowest label on an exact tie.
"""

import argparse
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SCHEMA = "ffwd/golden/v1"
COMMAND = "python3 tools/golden.py"
GOLDEN = Path(__file__).resolve().parent.parent / "tests" / "golden"

NORM_OFFSET = 1e-4

# What a case must satisfy, so that float32 arithmetic cannot legitimately give another answer.
MIN_MARGIN = 1e-4  # best goodness sum against the second best, relative
MIN_PRE_ACTIVATION = 1e-6  # |z|: no ReLU close enough to its corner to flip
MIN_GRADIENT = 1e-6  # first non-zero gradient of a weight under Adam, which divides by its size ...
MIN_GRADIENT_SHARE = 0.9  # ... for at least this share of the weights
MAX_WEIGHT_GAP = 1e-3  # float32 against float64, final weights and biases


# Cases ----------------------------------------------------------------------------------------------------------------


def adam(lr):
    return {"name": "adam", "lr": lr, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7}


def sgd(lr, momentum):
    return {"name": "sgd", "lr": lr, "momentum": momentum}


@dataclass(frozen=True)
class Case:
    name: str
    seed: int
    classes: int
    rows: int
    cols: int
    layers: tuple  # units of each layer
    samples: int
    tests: int
    epochs: int
    inner_steps: int
    optimizer: dict
    batch: int = 0  # rows of a batch; 0: the whole set
    threshold: float = 1.5
    use_bias: bool = True
    kernel_l2: float = 0.0
    bias_l2: float = 0.0
    bias_range: float = 0.0  # initial biases are uniform in +-bias_range
    weight_grid: int = 0  # initial weights are multiples of 1/weight_grid; 0: any float32
    final_decimals: int = 0  # digits kept of the final weights; 0: all

    @property
    def pixels(self):
        return self.rows * self.cols

    def batches(self):
        """Row ranges of the batches, in stored order; the last may be smaller."""
        size = self.batch or self.samples
        return [slice(at, min(at + size, self.samples)) for at in range(0, self.samples, size)]


# Name, seed, classes, rows, cols, layers, samples, tests; then by keyword. The seeds meet the conditions above.
CASES = [
    # The Keras example in small: the whole set as one batch, Adam, zero biases.
    Case("keras", 302, 5, 6, 6, (9, 7), 23, 8, epochs=3, inner_steps=5, optimizer=adam(0.03)),
    # The smallest shapes: one layer of one unit, odd sizes.
    Case("one_layer", 105, 2, 1, 7, (1,), 5, 5, epochs=2, inner_steps=3, optimizer=adam(0.03)),
    # Three layers, and batches of 8, 8 and 3 rows.
    Case("three_layers_sgd", 162, 10, 4, 5, (17, 33, 5), 19, 7, epochs=2, inner_steps=4, batch=8,
         optimizer=sgd(0.1, 0.9)),
    # No bias; the regulariser also moves the weights of pixels that are zero in every image.
    Case("no_bias_l2", 158, 4, 5, 5, (12, 10), 13, 7, epochs=2, inner_steps=3, batch=5, optimizer=adam(0.03),
         use_bias=False, kernel_l2=1e-3),
    # Initial biases that are not zero, plain gradient descent, and a last batch of one row.
    Case("bias_l2_momentum", 75, 3, 3, 5, (11, 6), 9, 6, epochs=3, inner_steps=4, batch=4, optimizer=sgd(0.5, 0.0),
         bias_l2=1e-2, bias_range=0.3),
    # More than 64 units and more than 64 inputs. Short initial weights and rounded final ones keep the file small.
    Case("wide", 32, 26, 5, 7, (70, 65), 37, 4, epochs=1, inner_steps=2, optimizer=adam(0.03),
         weight_grid=128, final_decimals=7),
]


# Data -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Data:
    train_pixels: np.ndarray  # [n, k] bytes
    train_labels: np.ndarray  # [n]
    negative_labels: list  # per epoch: [n], the labels permuted within each batch
    test_pixels: np.ndarray  # [tests, k] bytes
    initial: list  # per layer: {"weights": [k, u], "bias": [u] or None}, float64 values exact in float32


def make_images(random, case, labels, prototypes, alive):
    """Sparse images [len(labels), k]: most of the class's prototype, a few stray pixels, dead pixels zero in all.

    Image 0 has its largest pixel among the first c, image 1 is all zero.
    """
    shape = (len(labels), case.pixels)
    lit = prototypes[labels] & (random.random_sample(shape) < 0.75) | (random.random_sample(shape) < 0.08)
    images = np.where(lit & alive, random.randint(1, 201, size=shape), 0)
    images[0, np.flatnonzero(alive[: case.classes])[0]] = 255
    images[1] = 0
    return images.astype(np.uint8)


def make_initial(random, case):
    """Glorot-uniform weights and uniform (or zero) biases, rounded to float32, as float64."""
    layers = []
    for k, u in zip((case.pixels, *case.layers), case.layers):
        limit = np.sqrt(6.0 / (k + u))
        weights = random.uniform(-limit, limit, size=(k, u))
        if case.weight_grid:
            # Away from zero, so that no weight is 0 and no pre-activation is 0 for that reason.
            weights = np.copysign(np.ceil(np.abs(weights) * case.weight_grid) / case.weight_grid, weights)
        bias = random.uniform(-1.0, 1.0, size=u) * case.bias_range + 0.0  # + 0.0 turns -0.0 into 0.0
        layers.append({
            "weights": weights.astype(np.float32).astype(np.float64),
            "bias": bias.astype(np.float32).astype(np.float64) if case.use_bias else None,
        })
    return layers


def make_data(case):
    # RandomState: its stream is frozen, so every NumPy version draws the same numbers.
    random = np.random.RandomState(case.seed)
    k, c = case.pixels, case.classes
    assert k >= c
    alive = random.random_sample(k) < 0.85  # [k]
    prototypes = random.random_sample((c, k)) < 0.3  # [c, k]
    assert alive[:c].any() and not alive.all(), f"{case.name}: pick another seed"

    train_labels = random.randint(0, c, size=case.samples)
    train_pixels = make_images(random, case, train_labels, prototypes, alive)
    negative_labels = [
        np.concatenate([random.permutation(train_labels[rows]) for rows in case.batches()])
        for _ in range(case.epochs)
    ]
    same = np.stack(negative_labels) == train_labels  # [epochs, n]
    assert same.any() and not same.all(), f"{case.name}: some negatives, not all, must carry the true label"

    test_pixels = make_images(random, case, random.randint(0, c, size=case.tests), prototypes, alive)
    return Data(train_pixels, train_labels, negative_labels, test_pixels, make_initial(random, case))


def overlay(pixels, labels, classes, dtype):
    """Images in [0, 1] with their labels in the first c pixels. pixels [n, k] bytes, labels [n] -> [n, k]."""
    x = pixels.astype(dtype) / dtype(255)
    largest = x.max(axis=1)  # [n], over the whole original image
    x[:, :classes] = 0
    x[np.arange(len(x)), labels] = largest
    return x


# Layer ----------------------------------------------------------------------------------------------------------------


def product(a, b):
    """a [m, k] times b [k, n] -> [m, n], summed over k in order: the same on every machine, whatever its BLAS."""
    out = np.zeros((a.shape[0], b.shape[1]), dtype=a.dtype)
    for j in range(a.shape[1]):
        out += a[:, j : j + 1] * b[j]
    return out


def softplus(t):
    """log(1 + exp(t)) without overflow."""
    return np.logaddexp(np.zeros_like(t), t)


def sigmoid(t):
    """1 / (1 + exp(-t)) without overflow. t [2n]"""
    # math.exp: the last bit of NumPy's own exp depends on the vector instructions of the CPU.
    small = np.array([math.exp(-abs(value)) for value in t], dtype=t.dtype)
    return np.where(t >= 0, 1, small) / (1 + small)


def normalize(x):
    """Rows of x [n, k] divided by their length plus NORM_OFFSET."""
    return x / (np.sqrt(np.sum(x * x, axis=1, keepdims=True)) + NORM_OFFSET)


def pre_activation(layer, x_hat, multiply=product):
    """z [n, u] from normalized inputs [n, k]."""
    z = multiply(x_hat, layer["weights"])
    return z if layer["bias"] is None else z + layer["bias"]


def outputs(layer, x, multiply=product):
    """h [n, u] from inputs [n, k]."""
    return np.maximum(pre_activation(layer, normalize(x), multiply), 0)


def goodness(h):
    """[n, u] -> [n]"""
    return np.mean(h * h, axis=1)


def loss_and_gradient(case, layer, x_pos, x_neg, multiply=product):
    """Loss, gradient of every parameter, and z [2n, u]. x_pos, x_neg [n, k]; positive rows come first."""
    n, u = len(x_pos), layer["weights"].shape[1]
    x_hat = normalize(np.concatenate([x_pos, x_neg]))  # [2n, k]
    z = pre_activation(layer, x_hat, multiply)  # [2n, u]
    h = np.maximum(z, 0)
    sign = np.concatenate([-np.ones(n), np.ones(n)]).astype(h.dtype)  # [2n]
    excess = sign * (goodness(h) - case.threshold)  # [2n]: theta - g+, then g- - theta

    loss = float(np.mean(softplus(excess)))
    coef = sign * sigmoid(excess) / (n * u)  # [2n]
    dz = coef[:, None] * h  # [2n, u]; zero where the ReLU is off
    gradient = {"weights": multiply(x_hat.T, dz), "bias": None}  # [k, u]
    if case.kernel_l2:
        loss += case.kernel_l2 * float(np.sum(layer["weights"] ** 2))
        gradient["weights"] = gradient["weights"] + 2 * case.kernel_l2 * layer["weights"]
    if layer["bias"] is not None:
        gradient["bias"] = np.sum(dz, axis=0)  # [u]
        if case.bias_l2:
            loss += case.bias_l2 * float(np.sum(layer["bias"] ** 2))
            gradient["bias"] = gradient["bias"] + 2 * case.bias_l2 * layer["bias"]
    return loss, gradient, z


# Optimizers -----------------------------------------------------------------------------------------------------------


class Adam:
    """Adam in the arrangement of Keras 3. One per parameter array."""

    def __init__(self, parameter, options):
        self.options = options
        self.step = 0
        self.m = np.zeros_like(parameter)
        self.v = np.zeros_like(parameter)

    def update(self, parameter, gradient):
        self.step += 1
        o, t = self.options, self.step
        alpha = o["lr"] * (1 - o["beta2"] ** t) ** 0.5 / (1 - o["beta1"] ** t)
        self.m += (gradient - self.m) * (1 - o["beta1"])
        self.v += (gradient * gradient - self.v) * (1 - o["beta2"])
        parameter -= alpha * self.m / (np.sqrt(self.v) + o["epsilon"])


class Sgd:
    """Gradient descent with (non-Nesterov) momentum in the arrangement of Keras. One per parameter array."""

    def __init__(self, parameter, options):
        self.options = options
        self.velocity = np.zeros_like(parameter)

    def update(self, parameter, gradient):
        o = self.options
        if o["momentum"] == 0:
            parameter -= o["lr"] * gradient
        else:
            self.velocity[:] = o["momentum"] * self.velocity - o["lr"] * gradient
            parameter += self.velocity


OPTIMIZERS = {"adam": Adam, "sgd": Sgd}


# Training and prediction ----------------------------------------------------------------------------------------------


@dataclass
class Run:
    layers: list  # final weights and biases
    step_loss: list  # [epochs][layers][steps]
    layer_loss: list  # [epochs][layers]
    final_loss: list  # [epochs]
    goodness: np.ndarray  # [tests, c]
    predictions: np.ndarray  # [tests]
    pre_activations: list  # z [2n, u] of every step
    corner: float  # smallest |z| of a step, where z is not zero by construction
    first_gradients: list  # per layer and parameter: the first non-zero gradient of every element


def copy_layers(layers, dtype):
    return [{name: None if p is None else p.astype(dtype) for name, p in layer.items()} for layer in layers]


def smallest_pre_activation(layer, x, z):
    """Smallest |z|, leaving out all-zero inputs of units without a bias: there z is 0 in any arithmetic."""
    bias = np.zeros(z.shape[1]) if layer["bias"] is None else layer["bias"]
    by_construction = ~x.any(axis=1)[:, None] & (bias == 0)  # [2n, u]
    return np.min(np.abs(z), where=~by_construction, initial=np.inf)


def run(case, data, dtype=np.float64, multiply=product):
    """Train and predict in the given arithmetic."""
    layers = copy_layers(data.initial, dtype)
    optimizers = [
        {name: OPTIMIZERS[case.optimizer["name"]](p, case.optimizer) for name, p in layer.items() if p is not None}
        for layer in layers
    ]
    firsts = [{name: np.zeros_like(p) for name, p in layer.items() if p is not None} for layer in layers]
    step_loss, pre_activations, corner = [], [], np.inf

    for negative_labels in data.negative_labels:
        epoch_loss = [[] for _ in layers]
        for rows in case.batches():
            x_pos = overlay(data.train_pixels[rows], data.train_labels[rows], case.classes, dtype)  # [n, k]
            x_neg = overlay(data.train_pixels[rows], negative_labels[rows], case.classes, dtype)  # [n, k]
            for index, layer in enumerate(layers):
                for _ in range(case.inner_steps):
                    loss, gradient, z = loss_and_gradient(case, layer, x_pos, x_neg, multiply)
                    epoch_loss[index].append(loss)
                    pre_activations.append(z)
                    corner = min(corner, smallest_pre_activation(layer, np.concatenate([x_pos, x_neg]), z))
                    for name, optimizer in optimizers[index].items():
                        first = firsts[index][name]
                        np.copyto(first, gradient[name], where=first == 0)
                        optimizer.update(layer[name], gradient[name])
                x_pos, x_neg = outputs(layer, x_pos, multiply), outputs(layer, x_neg, multiply)  # [n, u]
        step_loss.append(epoch_loss)

    layer_loss = [[sum(steps) / len(steps) for steps in epoch] for epoch in step_loss]
    final_loss = [
        sum(map(sum, layer_loss[: epoch + 1])) / ((epoch + 1) * len(layers)) for epoch in range(len(layer_loss))
    ]
    sums = goodness_sums(case, layers, data.test_pixels, dtype, multiply)
    predictions = sums.argmax(axis=1)  # the lowest label on an exact tie
    first_gradients = [first for layer in firsts for first in layer.values()]
    return Run(layers, step_loss, layer_loss, final_loss, sums, predictions, pre_activations, corner, first_gradients)


def goodness_sums(case, layers, pixels, dtype, multiply=product):
    """Sum of the layers' goodness for every image and label: pixels [tests, k] -> [tests, c]."""
    sums = np.zeros((len(pixels), case.classes), dtype=dtype)
    for label in range(case.classes):
        h = overlay(pixels, np.full(len(pixels), label), case.classes, dtype)  # [tests, k]
        for layer in layers:
            h = outputs(layer, h, multiply)  # [tests, u]
            sums[:, label] += goodness(h)
    return sums


# Conditions on a case -------------------------------------------------------------------------------------------------


def smallest_margin(data, result):
    """Smallest relative distance between the best and the second best label.

    An all-zero image is the same under every label: an exact tie, which label 0 wins.
    """
    blank = ~data.test_pixels.any(axis=1)  # [tests]
    assert blank.any() and (result.goodness[blank] == result.goodness[blank][:, :1]).all()
    assert (result.predictions[blank] == 0).all()
    ranked = np.sort(result.goodness[~blank], axis=1)  # [tests, c]
    assert (ranked[:, -1] > 0).all(), "an image to which every layer is dead"
    return np.min((ranked[:, -1] - ranked[:, -2]) / ranked[:, -1])


def gradient_share(result):
    """Share of the weights whose first non-zero gradient exceeds MIN_GRADIENT, among those that have one."""
    sizes = np.concatenate([np.abs(first[first != 0]) for first in result.first_gradients])
    return np.mean(sizes > MIN_GRADIENT)


def check_conditions(case, data, result):
    """Refuse a case whose answer hangs on the last bits."""
    advice = f"{case.name}: pick another seed"
    margin = smallest_margin(data, result)
    assert margin >= MIN_MARGIN, f"{advice} (prediction margin {margin:.1e})"
    assert result.corner >= MIN_PRE_ACTIVATION, f"{advice} (pre-activation {result.corner:.1e})"
    if case.optimizer["name"] == "adam":
        share = gradient_share(result)
        assert share >= MIN_GRADIENT_SHARE, f"{advice} (gradient share {share:.3f})"


def parameters(layers):
    """All weights and biases as one array."""
    return np.concatenate([p.ravel() for layer in layers for p in layer.values() if p is not None])


def flat(nested):
    """Step losses [epochs][layers][steps] as one array."""
    return np.array([loss for epoch in nested for layer in epoch for loss in layer])


def float32_gap(case, data, exact):
    """Largest differences that float32 makes, over two orders of summation: in order, and as BLAS sums."""
    gap = {"weights": 0.0, "loss": 0.0, "goodness": 0.0, "flips": 0}
    for multiply in (product, np.matmul):
        rough = run(case, data, np.float32, multiply)
        assert (rough.predictions == exact.predictions).all(), f"{case.name}: float32 predicts another label"
        weights = np.max(np.abs(parameters(rough.layers) - parameters(exact.layers)))
        loss = np.max(np.abs(flat(rough.step_loss) - flat(exact.step_loss)))
        sums = np.max(np.abs(rough.goodness - exact.goodness))
        flips = sum(int(np.sum((a > 0) != (b > 0))) for a, b in zip(rough.pre_activations, exact.pre_activations))
        for name, value in zip(gap, (weights, loss, sums, flips)):
            gap[name] = max(gap[name], value)
    return gap


def print_float32_gap():
    print("| case | weights, biases | step loss | goodness sum | ReLU flips | largest move of a weight |")
    print("| --- | --- | --- | --- | --- | --- |")
    for case in CASES:
        data = make_data(case)
        exact = run(case, data)
        gap = float32_gap(case, data, exact)
        move = np.max(np.abs(parameters(exact.layers) - parameters(data.initial)))
        print(f"| {case.name} | {gap['weights']:.1e} | {gap['loss']:.1e} | {gap['goodness']:.1e} | {gap['flips']} "
              f"| {move:.2g} |")
        assert gap["weights"] <= MAX_WEIGHT_GAP and gap["flips"] == 0, f"{case.name}: pick another seed"


# Files ----------------------------------------------------------------------------------------------------------------


def layer_text(layer, decimals=0):
    """One layer as JSON, a line for its weights (row-major [k, u]) and one for its bias (empty when there is none)."""
    def numbers(values):
        values = [] if values is None else values.ravel().tolist()
        return json.dumps([round(v, decimals) for v in values] if decimals else values, separators=(",", ":"))

    return f'{{"weights":{numbers(layer["weights"])},\n"bias":{numbers(layer["bias"])}}}'


def layers_text(layers, decimals=0):
    return "[" + ",\n".join(layer_text(layer, decimals) for layer in layers) + "]"


def case_text(case, data, result):
    """The file of a case: one key a line. json prints a float as the shortest decimal that reads back to it."""
    def plain(value):
        return json.dumps(value, separators=(",", ":"))

    entries = [
        ("schema", plain(SCHEMA)),
        ("command", plain(COMMAND)),
        ("case", plain(case.name)),
        ("classes", plain(case.classes)),
        ("rows", plain(case.rows)),
        ("cols", plain(case.cols)),
        ("layers", plain(case.layers)),
        ("inner_steps", plain(case.inner_steps)),
        ("batch", plain(case.batch)),
        ("threshold", plain(case.threshold)),
        ("use_bias", plain(case.use_bias)),
        ("kernel_l2", plain(case.kernel_l2)),
        ("bias_l2", plain(case.bias_l2)),
        ("optimizer", plain(case.optimizer)),
        ("train_pixels", plain(data.train_pixels.tobytes().hex())),
        ("train_labels", plain(data.train_labels.tolist())),
        ("negative_labels", plain([labels.tolist() for labels in data.negative_labels])),
        ("test_pixels", plain(data.test_pixels.tobytes().hex())),
        ("initial", layers_text(data.initial)),
        ("step_loss", plain(result.step_loss)),
        ("layer_loss", plain(result.layer_loss)),
        ("final_loss", plain(result.final_loss)),
        ("final", layers_text(result.layers, case.final_decimals)),
        ("goodness", plain(result.goodness.tolist())),
        ("predictions", plain(result.predictions.tolist())),
    ]
    return "{" + ",\n".join(f'"{key}":{value}' for key, value in entries) + "}\n"


def write_files():
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        data = make_data(case)
        result = run(case, data)
        check_conditions(case, data, result)
        text = case_text(case, data, result)
        (GOLDEN / f"{case.name}.json").write_text(text, encoding="ascii", newline="\n")
        print(f"{case.name:18} {len(text):7} bytes   margin {smallest_margin(data, result):.1e}   "
              f"smallest |z| {result.corner:.1e}   gradient share {gradient_share(result):.4f}")


# Checks of the oracle itself ------------------------------------------------------------------------------------------


def check_gradient():
    """The analytic gradient of every parameter against central differences of the loss."""
    random = np.random.RandomState(7)
    case = Case("gradient", 0, 2, 1, 6, (5,), 4, 0, 1, 1, sgd(0.1, 0.0), kernel_l2=1e-2, bias_l2=3e-2)
    layer = {"weights": random.normal(size=(6, 5)), "bias": random.normal(size=5)}
    x_pos, x_neg = random.uniform(size=(2, 4, 6))
    _, gradient, _ = loss_and_gradient(case, layer, x_pos, x_neg)
    half_step = 1e-5
    for name, parameter in layer.items():
        for at in np.ndindex(parameter.shape):
            losses = []
            for shift in (half_step, -half_step):
                nudged = copy_layers([layer], np.float64)[0]
                nudged[name][at] += shift
                losses.append(loss_and_gradient(case, nudged, x_pos, x_neg)[0])
            numeric = (losses[0] - losses[1]) / (2 * half_step)
            assert abs(numeric - gradient[name][at]) < 1e-9, (name, at, numeric, gradient[name][at])


def check_adam():
    """The first step in closed form, a constant gradient, and a zero gradient that moves nothing."""
    options = adam(0.03)
    gradient = np.array([2.0, -1e-3, 1e-7, 0.0])
    parameter = np.zeros(4)
    optimizer = Adam(parameter, options)
    optimizer.update(parameter, gradient)
    root = np.sqrt(1 - options["beta2"])
    first = -options["lr"] * root * gradient / (root * np.abs(gradient) + options["epsilon"])
    assert np.allclose(parameter, first, rtol=1e-12, atol=0)
    for _ in range(9):
        optimizer.update(parameter, gradient)
    assert np.allclose(parameter[0], -10 * options["lr"], rtol=1e-5)
    assert parameter[3] == 0


def check_sgd():
    """Two steps with momentum, and without."""
    gradient = np.array([1.0, -2.0])
    for momentum, expected in ((0.9, -0.1 * (1 + 1.9) * gradient), (0.0, -0.2 * gradient)):
        parameter = np.zeros(2)
        optimizer = Sgd(parameter, sgd(0.1, momentum))
        optimizer.update(parameter, gradient)
        optimizer.update(parameter, gradient)
        assert np.allclose(parameter, expected, rtol=1e-12, atol=0)


def check_softplus():
    """Against the textbook formula where that is safe, and at its limits where it is not; sigmoid likewise."""
    t = np.linspace(-20, 20, 81)
    assert np.allclose(softplus(t), np.log(1 + np.exp(t)), rtol=1e-6, atol=0)
    assert np.allclose(softplus(t) - softplus(-t), t, rtol=1e-12, atol=1e-12)
    assert np.allclose(sigmoid(t), 1 / (1 + np.exp(-t)), rtol=1e-12, atol=0)
    far = np.array([-1e4, -700.0, 700.0, 1e4])
    with np.errstate(over="raise", invalid="raise"):
        assert np.allclose(softplus(far), [0, np.exp(-700.0), 700, 1e4], rtol=1e-12, atol=0)
        assert np.allclose(sigmoid(far), [0, np.exp(-700.0), 1, 1], rtol=1e-12, atol=0)


def check_overlay():
    """The largest pixel counts even among the first c, and the bytes are not changed."""
    pixels = np.array([[9, 255, 3, 51, 0], [0, 0, 0, 0, 0]], dtype=np.uint8)
    x = overlay(pixels, np.array([2, 1]), 3, np.float64)
    assert (x == [[0, 0, 1, 0.2, 0], [0, 0, 0, 0, 0]]).all()
    assert pixels[0, 1] == 255


def check_product():
    random = np.random.RandomState(3)
    a, b = random.normal(size=(5, 7)), random.normal(size=(7, 4))
    assert np.allclose(product(a, b), a @ b, rtol=1e-12, atol=1e-14)


def check():
    for part in (check_gradient, check_adam, check_sgd, check_softplus, check_overlay, check_product):
        part()
        print(f"{part.__name__}: ok")
    for case in CASES:
        data = make_data(case)
        check_conditions(case, data, run(case, data))
        print(f"{case.name}: well conditioned")


def main():
    parser = argparse.ArgumentParser(description="Write the golden files, tests/golden/*.json.")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--check", action="store_true", help="check the oracle itself")
    which.add_argument("--float32-gap", action="store_true", help="print what float32 arithmetic does to each case")
    options = parser.parse_args()
    if options.check:
        check()
    elif options.float32_gap:
        print_float32_gap()
    else:
        write_files()


if __name__ == "__main__":
    main()
