"""Worker: a preset of mini-batches in PyTorch, with the gradient of each layer written out by hand.

Positive and negative rows of a batch are one matrix. A layer's gradient is local and short: by hand, the product that
makes the gradient of the weights adds it to its running mean as well, and the norms that the next layer's rows are
divided by give the goodness. Autograd gives the same gradient and was found to take a tenth longer. In f32 some nine
tenths of a step are products.
"""

from __future__ import annotations

from importlib import metadata

import torch

import images
import presets
from serve import Peer, serve

# What each label's pixel becomes under the neutral label.
NEUTRAL = 0.1

# Share of the running mean of the units' activity kept from batch to batch, and where it begins.
ACTIVITY_KEPT, ACTIVITY_BEGIN = 0.9, 0.5

# Keeps a row of zeros zero when it is normalised.
ROOT_OFFSET = 1e-20


def root_mean_square(rows: torch.Tensor) -> torch.Tensor:
    """The root of the mean square of each row: [n, 1]."""
    return torch.linalg.vector_norm(rows, dim=1, keepdim=True).div_(rows.shape[1] ** 0.5).add_(ROOT_OFFSET)


def normalised(rows: torch.Tensor) -> torch.Tensor:
    """The rows, each divided by its root mean square, in place."""
    return rows.div_(root_mean_square(rows))


class Linear:
    """Weights [k, u] and biases [u] that step along a running mean of their gradients. Biases do not decay."""

    def __init__(self, weight: torch.Tensor, lr: float, momentum: float, decay: float) -> None:
        self.weight, self.bias = weight, torch.zeros(weight.shape[1])
        self.weight_mean, self.bias_mean = torch.zeros_like(self.weight), torch.zeros_like(self.bias)
        self.lr, self.momentum, self.decay = lr, momentum, decay

    def outputs(self, rows: torch.Tensor) -> torch.Tensor:
        """[n, u] of rows [n, k]."""
        return torch.addmm(self.bias, rows, self.weight)

    def step(self, rows: torch.Tensor, slopes: torch.Tensor, rate: float) -> None:
        """Takes a step, given the derivative [n, u] of the loss after the outputs of these rows."""
        lr = rate * self.lr
        self.average(rows, slopes)
        self.weight.mul_(1 - lr * self.decay).add_(self.weight_mean, alpha=-lr)
        self.bias.add_(self.bias_mean, alpha=-lr)

    def average(self, rows: torch.Tensor, slopes: torch.Tensor) -> None:
        """Takes the gradients into their running means."""
        self.weight_mean.addmm_(rows.t(), slopes, beta=self.momentum, alpha=1 - self.momentum)
        self.bias_mean.lerp_(slopes.sum(dim=0), 1 - self.momentum)


class LinearInBf16(Linear):
    """The same with products of bf16 operands, whose results PyTorch rounds to bf16. Everything else stays in f32."""

    def outputs(self, rows: torch.Tensor) -> torch.Tensor:
        return (rows.bfloat16() @ self.weight.bfloat16()).float().add_(self.bias)

    def average(self, rows: torch.Tensor, slopes: torch.Tensor) -> None:
        gradient = rows.bfloat16().t() @ slopes.bfloat16()
        self.weight_mean.lerp_(gradient.float(), 1 - self.momentum)
        self.bias_mean.lerp_(slopes.sum(dim=0), 1 - self.momentum)


# By the name of the precision.
LINEAR = {"f32": Linear, "bf16": LinearInBf16}


class Layer:
    """Units that learn by themselves, from pairs of a positive and a negative row."""

    def __init__(self, inputs: int, units: int, preset: dict) -> None:
        weight = torch.randn(inputs, units) / inputs**0.5
        self.linear = LINEAR[preset["precision"]](weight, preset["lr"], preset["momentum"], preset["weight_decay"])
        self.activity = torch.full((units,), ACTIVITY_BEGIN)
        self.temperature, self.peer = preset["temperature"], preset["peer"]

    def activations(self, rows: torch.Tensor) -> torch.Tensor:
        return self.linear.outputs(rows).relu_()

    def train(self, rows: torch.Tensor, rate: float) -> torch.Tensor:
        """Takes a step on rows [2n, k], positive ones first; returns their activations before it, normalised."""
        h = self.activations(rows)
        root = root_mean_square(h)
        self.linear.step(rows, self.slopes(h, root), rate)
        return h.div_(root)

    def slopes(self, h: torch.Tensor, root: torch.Tensor) -> torch.Tensor:
        """The derivative, after what the activations h are of, of the mean loss of the pairs, with the peer term."""
        n, units = len(h) // 2, h.shape[1]
        goodness = root.square() * units
        x = (goodness[n:] - goodness[:n]) / self.temperature
        sigma = x.sigmoid()
        slope = sigma * (1 + x * (1 - sigma)) * (2 / n)
        slopes = h * torch.cat([-slope, slope])
        self.activity.lerp_(h[:n].mean(dim=0), 1 - ACTIVITY_KEPT)
        slopes[:n] += (self.activity - self.activity.mean()) * (self.peer / n)
        return slopes


class Network:
    """Layers, and a softmax read-out in f32 of those from the second up, for images under the neutral label."""

    def __init__(self, pixels: int, preset: dict) -> None:
        sizes = (pixels, *preset["layers"])
        self.layers = [Layer(inputs, units, preset) for inputs, units in zip(sizes, sizes[1:])]
        self.classes = torch.eye(preset["classes"])
        features = sum(preset["layers"][1:] or preset["layers"])
        weight = torch.zeros(features, preset["classes"])
        self.readout = Linear(weight, preset["readout_lr"], preset["momentum"], preset["readout_decay"])
        self.hardness = preset["hardness"]

    def labelled(self, pixels: torch.Tensor, marks: torch.Tensor | float) -> torch.Tensor:
        """Images [n, k] with their labels' marks [n, c] in the first pixels, normalised."""
        rows = pixels.clone()
        rows[:, : len(self.classes)] = marks
        return normalised(rows)

    def features(self, pixels: torch.Tensor) -> torch.Tensor:
        """What the read-out sees of images [n, k]."""
        rows, seen = self.labelled(pixels, NEUTRAL), []
        for layer in self.layers:
            rows = normalised(layer.activations(rows))
            seen.append(rows)
        return torch.cat(seen[1:] or seen, dim=1)

    def predict(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.readout.outputs(self.features(pixels)).argmax(dim=1)

    def train(self, pixels: torch.Tensor, truth: torch.Tensor, rate: float) -> None:
        """Takes a step of the read-out, and of every layer, on a batch."""
        negatives = self.train_readout(pixels, truth, rate)
        positive, negative = self.labelled(pixels, self.classes[truth]), self.labelled(pixels, self.classes[negatives])
        rows = torch.cat([positive, negative])
        for layer in self.layers:
            rows = layer.train(rows, rate)

    def train_readout(self, pixels: torch.Tensor, truth: torch.Tensor, rate: float) -> torch.Tensor:
        """Takes a step of the read-out; returns a wrong label for each image, drawn by the power `hardness` of the
        probabilities before it."""
        features = self.features(pixels)
        logits = self.readout.outputs(features)
        self.readout.step(features, (logits.softmax(dim=1) - self.classes[truth]) / len(truth), rate)
        wrong = (self.hardness * logits).scatter_(1, truth[:, None], -torch.inf).softmax(dim=1)
        return torch.multinomial(wrong, 1).squeeze(1)


class PyTorch(Peer):
    def hello(self) -> dict:
        return {"version": metadata.version("torch"), "detail": ""}

    def accuracy(self, directory: str, preset: dict) -> dict:
        presets.check(preset)
        torch.manual_seed(preset["seed"])
        pixels, labels = map(torch.from_numpy, images.training_set(directory, preset["train_limit"]))
        test_pixels, test_labels = map(torch.from_numpy, images.test_set(directory, preset["test_limit"]))
        network = Network(pixels.shape[1], preset)
        kept = 1 - preset["input_dropout"]
        epoch = 0

        @torch.inference_mode()
        def train() -> dict:
            nonlocal epoch
            order = torch.randperm(len(labels))
            for first in range(0, len(labels), preset["batch"]):
                chosen = order[first : first + preset["batch"]]
                rate = presets.rate_factor(preset, (epoch + first / len(labels)) / preset["epochs"])
                batch = pixels[chosen]
                if kept < 1:
                    batch *= torch.rand_like(batch) < kept
                network.train(batch, labels[chosen], rate)
            epoch += 1
            return {}

        @torch.inference_mode()
        def test() -> dict:
            right = network.predict(test_pixels) == test_labels
            return {"accuracy": right.double().mean().item()}

        self.task, self.afterwards = train, test
        return {"precision": preset["precision"]}


if __name__ == "__main__":
    serve(PyTorch)
