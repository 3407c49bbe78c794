"""Worker: the recipe in PyTorch: a full-batch loop with autograd, `Linear` layers and the fused Adam, f32.

Positive and negative rows are one batch of 2n, normalised once for each layer and outer epoch.
"""

from __future__ import annotations

from importlib import metadata
from statistics import mean

import torch
from torch import nn
from torch.nn import functional

import images
import recipe
import stored
from serve import Peer, serve


def overlay(pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Images [n, k] with their labels in the first pixels, as bright as the brightest pixel."""
    marked = pixels.clone()
    marked[:, : recipe.CLASSES] = 0
    return marked.scatter_(1, labels[:, None], pixels.amax(dim=1, keepdim=True))


class Layer:
    """Units that learn by themselves, from a stored state."""

    def __init__(self, state: stored.Layer) -> None:
        self.linear = nn.Linear(*state.kernel.values.shape)
        betas = (recipe.BETA1, recipe.BETA2)
        self.adam = torch.optim.Adam(self.linear.parameters(), recipe.LEARNING_RATE, betas, fused=True)
        self.state = state
        self.steps = 0

    @torch.no_grad()
    def restore(self) -> None:
        """Takes the stored state. PyTorch keeps weights as [u, k]."""
        self.steps = self.state.steps
        tensors = ((self.linear.weight, self.state.kernel), (self.linear.bias, self.state.bias))
        for parameter, of_state in tensors:
            arrays = (of_state.values, of_state.first, of_state.second)
            values, first, second = (torch.from_numpy(array.T.copy()) for array in arrays)
            parameter.copy_(values)
            steps = torch.tensor(float(self.steps))
            self.adam.state[parameter] = {"step": steps, "exp_avg": first, "exp_avg_sq": second}

    def step(self, loss: torch.Tensor) -> None:
        """One step of Adam. Keras adds epsilon before v is corrected for its bias, PyTorch after."""
        self.adam.zero_grad()
        loss.backward()
        self.steps += 1
        self.adam.param_groups[0]["eps"] = recipe.ADAM_EPSILON / (1 - recipe.BETA2**self.steps) ** 0.5
        self.adam.step()

    def train(self, rows: torch.Tensor, steps: int) -> tuple[torch.Tensor, float]:
        """Activations [2n, u] of rows [2n, k], positive first, after so many steps, and the mean loss of these."""
        x = rows / (rows.norm(dim=1, keepdim=True) + recipe.NORM_OFFSET)
        sign = torch.ones(len(x))
        sign[: len(x) // 2] = -1
        total = 0.0
        for _ in range(steps):
            goodness = functional.relu(self.linear(x)).square().mean(dim=1)
            loss = functional.softplus(sign * (goodness - recipe.THRESHOLD)).mean()
            self.step(loss)
            total += loss.item()
        with torch.no_grad():
            return functional.relu(self.linear(x)), total / steps


class PyTorch(Peer):
    def hello(self) -> dict:
        return {"version": metadata.version("torch"), "detail": ""}

    def epochs(self, samples: int, steps: int, directory: str, state: str) -> dict:
        torch.manual_seed(1)
        pixels, labels = map(torch.from_numpy, images.training_set(directory, samples))
        layers = [Layer(layer) for layer in stored.layers(state)]

        def restore() -> None:
            for layer in layers:
                layer.restore()

        def epoch() -> dict:
            negatives = labels[torch.randperm(len(labels))]
            rows = torch.cat([overlay(pixels, labels), overlay(pixels, negatives)])
            losses = []
            for layer in layers:
                rows, loss = layer.train(rows, steps)
                losses.append(loss)
            return {"loss": mean(losses)}

        self.before, self.task = restore, epoch
        return {}


if __name__ == "__main__":
    serve(PyTorch)
