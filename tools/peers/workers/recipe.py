"""The numbers of the training recipe that the Keras example uses, for the workers that train it.

Layer: x^ = x / (||x|| + NORM_OFFSET), h = max(x^ W + b, 0), goodness g = mean over units of h^2. Loss: mean over
positive and negative rows of softplus(THRESHOLD - g) and softplus(g - THRESHOLD). Each layer has its own Adam, in the
arrangement of Keras. Positive rows carry the true label in their first CLASSES inputs, negative ones that of a
permutation drawn anew each time an epoch is trained.
"""

CLASSES = 10
THRESHOLD = 1.5
NORM_OFFSET = 1e-4
LEARNING_RATE = 0.03
BETA1, BETA2 = 0.9, 0.999
ADAM_EPSILON = 1e-7
