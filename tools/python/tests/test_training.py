"""What the estimator learns: the program's weights from bytes, the reference backend's from floats; and what it does
when it is interrupted."""

import io
import json
import multiprocessing
import os
import signal
import subprocess
import threading
import time
import warnings

import numpy as np
import pytest

from ffwd import ForwardForwardClassifier
from ffwd._bench import program


def run(*arguments):
    """What the installed program prints."""
    return subprocess.run([program(), *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True).stdout


@pytest.mark.parametrize("preset, options", [("quick", {}), ("best", {"epochs": 2}), ("keras", {"epochs": 2})])
def test_bytes_give_the_programs_weights_bit_for_bit(digits, preset, options):
    X, y = digits[:2]
    fields = {"layers": [60, 50], **options}
    flags = [f"--{name}={','.join(map(str, value)) if name == 'layers' else value}" for name, value in fields.items()]
    common = ["--data", "digits", "--train-limit", len(X), "--test-limit", 500, "--preset", preset, "--seed", 7]
    summary = json.loads(run(*common, "--precision", "f32", "--out", "none", "--json", *flags))
    epochs = len(summary["epochs"])
    model = ForwardForwardClassifier(preset, layers=(60, 50), epochs=epochs, precision="f32", random_state=7).fit(X, y)
    assert model._engine.weights_sha256() == summary["weights_sha256"]
    assert np.allclose(model.history_[-1]["final_loss"], summary["final_loss"], rtol=1e-12)
    assert (model.predict(digits[2]) != digits[3]).sum() == summary["test_errors"]


@pytest.mark.parametrize("preset, options", [("quick", {}), ("keras", {}), ("backprop", {"input_dropout": 0.0})])
def test_floats_learn_the_same_on_the_reference_backend(preset, options):
    random = np.random.RandomState(1)
    X = np.where(random.rand(257, 19) < 0.4, 0, random.normal(size=(257, 19)) * 1e3)
    y = (X[:, :5].sum(axis=1) > 0).astype(int) + (X[:, 5] > 300)
    fused, reference = (
        ForwardForwardClassifier(
            preset, layers=(33, 21), epochs=2, precision="f32", random_state=2, options={"backend": backend, **options}
        ).fit(X, y)
        for backend in ("fused", "reference")
    )
    for a, b in zip(fused.coefs_, reference.coefs_):
        assert np.abs(a - b).max() < 2e-3 * np.abs(b).max()
    if preset != "backprop":
        assert np.allclose(fused.goodness(X), reference.goodness(X), rtol=2e-3, atol=2e-3)
    assert (fused.predict(X) == reference.predict(X)).mean() > 0.99


def test_goodness_of_floats_is_what_numpy_computes():
    random = np.random.RandomState(1)
    X = random.normal(size=(50, 6)) * 40
    model = ForwardForwardClassifier("keras", layers=(9, 7), epochs=1, precision="f32", random_state=0)
    model.fit(X, np.arange(50) % 3)
    unit = np.float32(np.sqrt(np.square(X.astype(np.float32), dtype=float).mean()))
    goodness = np.zeros((50, 3))
    for label in range(3):
        # Keras's example writes the largest value of a sample as its label.
        rows = np.concatenate([np.zeros((50, 3)), X / unit], axis=1)
        rows[:, label] = np.abs(X / unit).max(axis=1)
        for kernel, bias in list(zip(model.coefs_, model.intercepts_))[:2]:
            rows = rows / (np.linalg.norm(rows, axis=1, keepdims=True) + 1e-4)
            rows = np.maximum(rows @ kernel + bias, 0)
            goodness[:, label] += (rows**2).mean(axis=1)
    assert np.allclose(model.goodness(X), goodness, rtol=1e-4, atol=1e-5)
    assert np.allclose(model.decision_function(X), goodness, rtol=1e-4, atol=1e-5)
    assert not hasattr(model, "predict_proba")


@pytest.mark.parametrize("factor", [1e-30, 1.0, 2.0**100])
def test_the_scale_of_floats_does_not_matter(blobs, factor):
    X, y = blobs
    parameters = {"layers": (30, 30), "epochs": 5, "precision": "f32", "random_state": 0}
    plain, scaled = (
        ForwardForwardClassifier(**parameters).fit(X.astype(np.float32) * by, y) for by in (1.0, np.float32(factor))
    )
    scaled_X = X.astype(np.float32) * np.float32(factor)
    assert np.allclose(plain.predict_proba(X), scaled.predict_proba(scaled_X), atol=1e-4)


def test_float_images_are_learnt_as_well_as_bytes(digits):
    X, y, test, labels = digits
    parameters = {"layers": (200, 200), "epochs": 15, "random_state": 1}
    of_bytes = ForwardForwardClassifier(**parameters).fit(X, y).score(test, labels)
    of_floats = ForwardForwardClassifier(**parameters).fit(X / 255, y).score(test / 255, labels)
    assert of_bytes > 0.85 and of_floats > 0.85 and abs(of_bytes - of_floats) < 0.05


def test_an_array_is_read_in_place_and_others_give_the_same(digits):
    X, y = digits[0], digits[1]
    forms = [X, np.asfortranarray(X), np.repeat(X, 2, axis=0)[::2], X.tolist()]
    forms[3] = np.array(forms[3], dtype=np.uint8)
    sums = {
        ForwardForwardClassifier(layers=(20,), epochs=1, random_state=1).fit(form, y)._engine.weights_sha256()
        for form in forms
    }
    assert len(sums) == 1


def test_classes_may_be_anything(digits, model):
    names = np.array([f"number {label}" for label in digits[1]], dtype=object)
    named = ForwardForwardClassifier(layers=(60, 60), epochs=8, random_state=3).fit(digits[0], names)
    assert [f"number {label}" for label in model.predict(digits[2])] == named.predict(digits[2]).tolist()
    assert model.predict_proba(digits[2]).shape == (500, 10)


def test_a_callback_sees_every_epoch_and_ends_training(digits):
    seen = []

    def callback(epoch):
        seen.append((epoch["epoch"], model.score(digits[2][:100], digits[3][:100])))
        if len(seen) == 3:
            raise StopIteration

    model = ForwardForwardClassifier(layers=(30, 30), epochs=9, callback=callback)
    model.fit(*digits[:2])
    assert [epoch for epoch, _ in seen] == [1, 2, 3] and len(model.loss_curve_) == model.n_iter_ == 3
    with pytest.raises(ZeroDivisionError):
        ForwardForwardClassifier(layers=(30,), callback=lambda _: 1 / 0).fit(*digits[:2])


def test_progress_bars_follow(digits):
    tqdm = pytest.importorskip("tqdm")
    with tqdm.tqdm(total=4, file=io.StringIO()) as bar:
        model = ForwardForwardClassifier(layers=(30,), epochs=4, callback=lambda _: bar.update()).fit(*digits[:2])
    assert model.n_iter_ == bar.n == 4


@pytest.fixture
def interruptible():
    """SIGINT raises KeyboardInterrupt, also where the shell has started Python in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_an_interrupt_keeps_the_last_whole_epoch(digits, interruptible):
    X, y, test, labels = digits
    model = ForwardForwardClassifier(layers=(300, 300), epochs=2_000, random_state=1)
    interrupt = threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT))
    model.callback = lambda epoch: interrupt.start() if epoch["epoch"] == 3 else None
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y)
    epochs = model.n_iter_
    assert 3 <= epochs < 2_000 and len(model.history_) == epochs
    assert model._engine.epoch() == epochs
    sum_before, score = model._engine.weights_sha256(), model.score(test, labels)
    assert score > 0.5
    assert model.partial_fit(X, y).n_iter_ == epochs + 1
    assert model._engine.weights_sha256() != sum_before


def test_other_threads_run_meanwhile(digits):
    ticks = []
    stop = threading.Event()

    def tick():
        while not stop.wait(0.001):
            ticks.append(time.monotonic())

    ends = []
    thread = threading.Thread(target=tick)
    thread.start()
    model = ForwardForwardClassifier(layers=(1000, 1000), epochs=10)
    model.callback = lambda epoch: ends.append(time.monotonic())
    model.fit(*digits[:2])
    stop.set()
    thread.join()
    assert max(sum(begin < now < end for now in ticks) for begin, end in zip(ends, ends[1:])) > 2


def test_partial_fit_learns_from_pieces(digits):
    X, y, test, labels = digits
    model = ForwardForwardClassifier(layers=(100, 100), random_state=1)
    with pytest.raises(ValueError, match="classes: found None"):
        model.partial_fit(X, y)
    for _ in range(10):
        for first in range(0, 2000, 500):
            model.partial_fit(X[first : first + 500], y[first : first + 500], classes=range(10))
    assert model.n_iter_ == 40 and model.score(test, labels) > 0.85
    with pytest.raises(ValueError, match="expected one of the classes"):
        model.partial_fit(X, y + 5)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"preset": "slow"}, "preset: found \"slow\", expected one of quick"),
        ({"layers": (0,)}, "layers: found 0, expected 1 to 65536"),
        ({"layers": ()}, "layers: found an empty list"),
        ({"epochs": 0}, "epochs: found 0, expected 1 to"),
        ({"lr": -1.0}, "lr: found -1.0, expected a positive number"),
        ({"precision": "f64"}, "precision"),
        ({"options": {"temperatur": 1}}, "temperatur"),
        ({"options": {"classes": 3}}, "options: found 'classes'"),
        ({"options": {"lr": 0.1}}, "options: found 'lr'"),
        ({"options": {"temperature": np.nan}}, "temperature: found nan, expected a finite number"),
        ({"options": {"dropout": object()}}, "dropout: found object"),
        ({"options": 3}, "options: found int"),
        ({"layers": 500}, "layers: found invalid type: integer `500`, expected a sequence"),
        ({"lr": float("inf")}, "lr: found inf"),
        ({"n_jobs": 100_000}, "n_jobs: found 100000, expected at most 4096"),
        ({"image_shape": (5, 5)}, "image_shape: found .5, 5., expected rows and columns of 784"),
        ({"image_shape": 28}, "image_shape: found 28"),
        ({"image_shape": (-28, -28)}, "image_shape"),
        ({"image_shape": (28.0, 28)}, "image_shape"),
        ({"options": {"shift": 28}}, "shift: found 28"),
    ],
)
def test_what_a_parameter_cannot_be_is_said(digits, parameters, message):
    with pytest.raises(ValueError, match=message):
        ForwardForwardClassifier(**parameters).fit(*digits[:2])


def test_samples_that_do_not_fit_are_refused(digits, model, blobs):
    with pytest.raises(ValueError, match="expected images of whole numbers"):
        model.predict(digits[2] / 3)
    assert (model.predict(digits[2].astype(float)) == model.predict(digits[2])).all()
    with pytest.raises(ValueError, match="783 features"):
        model.predict(digits[2][:, 1:])
    with pytest.raises(ValueError, match="expected uint8 images, because the recipe"):
        ForwardForwardClassifier("best").fit(*blobs)
    with pytest.raises(ValueError, match="found 1 classes, expected 2 to 256"):
        ForwardForwardClassifier().fit(np.zeros((20, 2)), np.zeros(20))
    fitted = ForwardForwardClassifier(layers=(20,), epochs=1).fit(*blobs)
    with pytest.raises(ValueError, match="expected numbers of the size of those of fit"):
        fitted.predict(blobs[0] * 1e30)
    with pytest.raises(ValueError, match="257 classes"):
        ForwardForwardClassifier().fit(np.zeros((257, 2)), np.arange(257))
    with pytest.raises(ValueError, match="a pixel for each of 10 classes"):
        ForwardForwardClassifier().fit(np.zeros((20, 3), np.uint8), np.arange(20) % 10)


@pytest.mark.parametrize("preset", ["keras", "quick", "backprop"])
def test_what_leaves_the_numbers_ends_training(digits, preset):
    model = ForwardForwardClassifier(preset, layers=(30, 30), epochs=20, lr=1e30)
    with pytest.raises(FloatingPointError, match="smaller (readout_)?lr"):
        model.fit(*digits[:2])
    assert model.n_iter_ == len(model.history_) == len(model.loss_curve_) == model._engine.epoch()
    assert all(np.isfinite(weights).all() for weights in model.coefs_)


@pytest.mark.parametrize("preset", ["quick", "paper", "best", "backprop", "keras"])
def test_every_preset_trains_with_its_own_fields(digits, preset):
    model = ForwardForwardClassifier(preset, layers=(30, 30), epochs=1, random_state=0)
    model.fit(digits[0][:300], digits[1][:300])
    assert model.predict(digits[2]).shape == (500,)


def test_a_refused_fit_leaves_what_was_fitted(digits, blobs):
    model = ForwardForwardClassifier(layers=(20,), epochs=1, random_state=0).fit(*blobs)
    before = model.predict(blobs[0])
    model.set_params(epochs=0)
    with pytest.raises(ValueError, match="epochs"):
        model.fit(*digits[:2])
    assert model.classes_.tolist() == ["blue", "green", "red"]
    model.set_params(epochs=1).fit(*blobs)
    assert (model.predict(blobs[0]) == before).all()
    other = ForwardForwardClassifier(layers=(20,))
    with pytest.raises(ValueError, match="expected one of the classes"):
        other.partial_fit(*blobs, classes=["blue", "green"])
    assert not hasattr(other, "classes_")
    other.partial_fit(*blobs, classes=["blue", "green", "red"])


def test_frames_are_fitted_in_parts_without_a_warning(blobs):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(blobs[0], columns=["height", "width"])
    model = ForwardForwardClassifier(layers=(20,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            model.partial_fit(frame, blobs[1], classes=["blue", "green", "red"])
        model.predict(frame)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_predicts(model, digits):
    expected = model.predict(digits[2])
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert (pool.apply_async(model.predict, (digits[2],)).get(600) == expected).all()
