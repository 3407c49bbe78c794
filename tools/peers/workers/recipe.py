"""The numbers of the training recipe that the Keras example uses, for the workers that train it.

Layer: x^ = x / (||x|| + NORM_OFFSET), h = max(x^ W + b, 0), goodness g = mean over units of h^2. Loss: mean over
positive and negative rows of softplus(THRESHOLD - g) and softplus(g - THRESHOLD). Each layer has its own Adam, in the
arrangement of Keras, with Glorot-uniform weights and zero biases to begin with. Positive rows carry the true label in
their first CLASSES inputs, negative ones that of a permutation drawn anew each outer epoch.
"""

UNITS = (500, 500)
CLASSES = 10
THRESHOLD = 1.5
NORM_OFFSET = 1e-4
LEARNING_RATE = 0.03
BETA1, BETA2 = 0.9, 0.999
ADAM_EPSILON = 1e-7


class FinalLoss:
    """The mean of all layers' losses over all outer epochs so far."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def add(self, layer_losses: list[float]) -> float:
        self.losses += layer_losses
        return sum(self.losses) / len(self.losses)
