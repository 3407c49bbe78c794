"""Worker: the recipe in TensorFlow: gradients by tape, Keras's Dense layers and Adam, an outer epoch as one graph.

The whole set is one batch, positive and negative rows apart, and rows are normalised in every step, as in the Keras
example. Labels are written into the whole batch at once and everything is f32, where the example takes image by image
and normalises the first layer's rows in f64. Preparing traces the graph with one inner step.
"""

from __future__ import annotations

import os
from statistics import mean

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np
import tensorflow as tf
from keras import ops

import images
import recipe
import stored
from serve import Peer, serve


def overlay(pixels: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Images [n, k] with their labels in the first pixels, as bright as the brightest pixel."""
    marks = ops.one_hot(labels, recipe.CLASSES) * ops.max(pixels, axis=1, keepdims=True)
    return ops.concatenate([marks, pixels[:, recipe.CLASSES :]], axis=1)


class Layer:
    """Units that learn by themselves, from a stored state."""

    def __init__(self, state: stored.Layer) -> None:
        inputs, units = state.kernel.values.shape
        self.dense = keras.layers.Dense(units, activation="relu")
        self.dense.build((None, inputs))
        self.weights = self.dense.trainable_variables
        self.adam = keras.optimizers.Adam(recipe.LEARNING_RATE, recipe.BETA1, recipe.BETA2, recipe.ADAM_EPSILON)
        self.adam.build(self.weights)
        self.state = state

    def restore(self) -> None:
        """Takes the stored state."""
        kernel, bias = self.state.kernel, self.state.bias
        moments = kernel.first, kernel.second, bias.first, bias.second
        self.dense.set_weights([kernel.values, bias.values])
        # In the order in which Keras's Adam keeps them.
        self.adam.set_weights([np.array(self.state.steps), np.array(recipe.LEARNING_RATE), *moments])

    def outputs(self, x: tf.Tensor) -> tf.Tensor:
        """Activations [n, u] of inputs [n, k]."""
        return self.dense(x / (ops.norm(x, axis=1, keepdims=True) + recipe.NORM_OFFSET))

    def goodness(self, x: tf.Tensor) -> tf.Tensor:
        return ops.mean(ops.square(self.outputs(x)), axis=1)

    def step(self, positive: tf.Tensor, negative: tf.Tensor) -> tf.Tensor:
        """One step of the optimiser: the loss before it."""
        with tf.GradientTape() as tape:
            missing = recipe.THRESHOLD - self.goodness(positive)
            excess = self.goodness(negative) - recipe.THRESHOLD
            loss = ops.mean(ops.softplus(ops.concatenate([missing, excess], axis=0)))
        self.adam.apply(tape.gradient(loss, self.weights), self.weights)
        return loss


class TensorFlow(Peer):
    def hello(self) -> dict:
        return {"version": tf.__version__, "detail": f"Keras {keras.__version__}"}

    def epochs(self, samples: int, steps: int, directory: str, state: str) -> dict:
        keras.utils.set_random_seed(1)
        pixels, labels = map(tf.constant, images.training_set(directory, samples))
        layers = [Layer(layer) for layer in stored.layers(state)]

        @tf.function
        def epoch(pixels: tf.Tensor, labels: tf.Tensor, steps: tf.Tensor) -> list:
            """Each layer's mean loss."""
            positive = overlay(pixels, labels)
            negative = overlay(pixels, tf.random.shuffle(labels))
            losses = []
            for layer in layers:
                total = tf.constant(0.0)
                for _ in tf.range(steps):
                    total += layer.step(positive, negative)
                losses.append(total / tf.cast(steps, tf.float32))
                positive, negative = layer.outputs(positive), layer.outputs(negative)
            return losses

        def restore() -> None:
            for layer in layers:
                layer.restore()

        def run() -> dict:
            losses = epoch(pixels, labels, tf.constant(steps))
            return {"loss": mean(float(loss) for loss in losses)}

        epoch(pixels, labels, tf.constant(1))
        self.before, self.task = restore, run
        return {}


if __name__ == "__main__":
    serve(TensorFlow)
