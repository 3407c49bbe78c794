"""The Keras example "Using the Forward-Forward Algorithm for Image Classification", in Python and through ffwd.

    python examples/keras_example.py                     on MNIST: 250 epochs, minutes
    python examples/keras_example.py digits 3 5000       on 5,000 of the built-in digits for 3 epochs

Writes `keras_example.png`: four training images, the loss of each epoch, the confusion of test images, and what some
units of the first layer look for. Needs `pip install "./tools/python[examples]"`, and MNIST: `fast-train data fetch
mnist`.
"""

import sys

import matplotlib.pyplot as plt
from sklearn.metrics import ConfusionMatrixDisplay, accuracy_score

from ffwd import ForwardForwardClassifier, load_data

name, epochs, samples = (sys.argv[1:] + ["mnist", "250", "60000"][len(sys.argv) - 1 :])[:3]
X, y, X_test, y_test = load_data(name)
X, y = X[: int(samples)], y[: int(samples)]

# The example's network of two layers of 500 units, each of which takes 50 steps of Adam on all images in each epoch.
model = ForwardForwardClassifier("keras", epochs=int(epochs), random_state=1, verbose=1).fit(X, y)
predicted = model.predict(X_test)
print(f"Test accuracy {accuracy_score(y_test, predicted):.2%}, final loss {model.history_[-1]['final_loss']:.4f}")

figure, axes = plt.subplots(2, 4, figsize=(14, 7), layout="constrained")
for panel, image, label in zip(axes[0, :2], X, y):
    panel.imshow(image.reshape(28, 28), cmap="gray")
    panel.set_title(f"a training image of {label}")
axes[0, 2].plot(range(1, model.n_iter_ + 1), model.loss_curve_)
axes[0, 2].set(title="loss", xlabel="epoch")
ConfusionMatrixDisplay.from_predictions(y_test, predicted, ax=axes[0, 3], colorbar=False)
for unit, panel in enumerate(axes[1]):
    panel.imshow(model.coefs_[0][:, unit].reshape(28, 28), cmap="RdBu_r")
    panel.set_title(f"weights of unit {unit}")
figure.savefig("keras_example.png")
