"""Data that several tests train on."""

import numpy as np
import pytest

import ffwd


@pytest.fixture(scope="session")
def digits():
    """2,000 training images of 28 x 28 pixels and 500 test images, with their labels."""
    images, labels, test_images, test_labels = ffwd.load_data("digits")
    return images[:2000], labels[:2000], test_images[:500], test_labels[:500]


@pytest.fixture(scope="session")
def model(digits):
    """A small network that has learnt the digits as bytes."""
    return ffwd.ForwardForwardClassifier(layers=(60, 60), epochs=8, random_state=3).fit(*digits[:2])


@pytest.fixture()
def blobs():
    """300 samples of three classes, that floats of two features tell apart."""
    random = np.random.RandomState(0)
    labels = np.arange(300) % 3
    centres = np.array([[-4.0, 0.0], [4.0, 1.0], [0.0, 7.0]])
    return centres[labels] + random.normal(size=(300, 2)), np.array(["red", "green", "blue"])[labels]
