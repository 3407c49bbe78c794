"""Worker: the recipe in TensorFlow: gradients by tape, Keras's Dense layers and Adam, an outer epoch as one graph.

The whole set is one batch, positive and negative rows apart, and rows are normalised in every step, as in the Keras
example. Labels are written into the whole batch at once and everything is f32, where the example takes image by image
and normalises the first layer's rows in f64. Preparing traces the graph with one inner step and then takes the initial
state again.
"""

from __future__ import annotations

import os

os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import tensorflow as tf
from keras import ops

import images
import recipe
from serve import Peer, serve


def overlay(pixels: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Images [n, k] with their labels in the first pixels, as bright as the brightest pixel."""
    marks = ops.one_hot(labels, recipe.CLASSES) * ops.max(pixels, axis=1, keepdims=True)
    return ops.concatenate([marks, pixels[:, recipe.CLASSES :]], axis=1)


class Layer:
    """Units that learn by themselves."""

    def __init__(self, inputs: int, units: int) -> None:
        self.dense = keras.layers.Dense(units, activation="relu")
        self.dense.build((None, inputs))
        self.weights = self.dense.trainable_variables
        self.adam = keras.optimizers.Adam(recipe.LEARNING_RATE, recipe.BETA1, recipe.BETA2, recipe.ADAM_EPSILON)
        self.adam.build(self.weights)

    def state(self) -> list:
        return [*self.weights, *self.adam.variables]

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

    def epochs(self, samples: int, steps: int, directory: str) -> dict:
        keras.utils.set_random_seed(1)
        pixels, labels = map(tf.constant, images.training_set(directory, samples))
        sizes = (pixels.shape[1], *recipe.UNITS)
        layers = [Layer(inputs, units) for inputs, units in zip(sizes, sizes[1:])]

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

        self.trace(layers, lambda: epoch(pixels, labels, tf.constant(1)))
        final_loss = recipe.FinalLoss()

        def run() -> dict:
            losses = epoch(pixels, labels, tf.constant(steps))
            return {"final_loss": final_loss.add([float(loss) for loss in losses])}

        self.task = run
        return {}

    def trace(self, layers: list[Layer], epoch) -> None:
        """Runs `epoch` and undoes what it did to the layers."""
        variables = [variable for layer in layers for variable in layer.state()]
        before = [variable.numpy() for variable in variables]
        epoch()
        for variable, value in zip(variables, before):
            variable.assign(value)


if __name__ == "__main__":
    serve(TensorFlow)
