"""Models, data sets and products: what the package shares with the program and with NumPy."""

import gzip
import json
import pickle
import struct
import subprocess

import numpy as np
import pytest
from sklearn.base import clone

import ffwd
from ffwd._bench import program


def test_a_model_comes_back(model, digits, tmp_path):
    path = tmp_path / "model.safetensors"
    ffwd.save_model(model, path)
    again = ffwd.load_model(path)
    assert np.allclose(again.predict_proba(digits[2]), model.predict_proba(digits[2]), atol=0.05)
    if json.loads(model._engine.options())["precision"] != "bf16":
        assert (again.predict(digits[2]) == model.predict(digits[2])).all()
    assert again.get_params()["layers"] == (60, 60) and again.classes_.tolist() == list(range(10))
    assert again.n_features_in_ == 784
    again.partial_fit(*digits[:2])


@pytest.mark.parametrize("names", [["no", "yes"], [False, True], [-1, 7], [1.0, 2.0]])
def test_names_of_classes_are_kept(blobs, tmp_path, names):
    X, y = blobs[0], np.array(names)[(blobs[1] == "red").astype(int)]
    options = {"temperature": 4.0}
    model = ffwd.ForwardForwardClassifier(layers=(20,), epochs=20, random_state=0, options=options).fit(X, y)
    ffwd.save_model(model, tmp_path / "model")
    again = ffwd.load_model(tmp_path / "model")
    assert again.classes_.dtype == model.classes_.dtype and (again.predict(X) == model.predict(X)).all()
    assert again.options == {"temperature": 4.0}


def test_the_program_and_the_package_read_each_others_models(model, digits, tmp_path):
    ffwd.save_model(model, tmp_path / "model.safetensors")
    images = tmp_path / "images-idx3-ubyte"
    images.write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, 500, 28, 28) + digits[2].tobytes())
    # As the program predicts with a stored model: in float32.
    expected = ffwd.load_model(tmp_path / "model.safetensors").predict(digits[2])
    predict = [program(), "predict", "--model", str(tmp_path / "model.safetensors"), str(images)]
    lines = subprocess.run(predict, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    assert list(map(int, lines)) == expected.tolist()

    train = [program(), "--data", "digits", "--train-limit", "1000", "--epochs", "1", "--test-limit", "500", "--quiet"]
    subprocess.run([*train, "--out", str(tmp_path / "run"), "--layers", "50,50"], check=True)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    loaded = ffwd.load_model(tmp_path / "run" / "model.safetensors")
    if summary["precision"] == "f32":
        assert (loaded.predict(digits[2]) != digits[3]).sum() == summary["test_errors"]
    clone(loaded).fit(*digits[:2])
    pickle.loads(pickle.dumps(loaded)).partial_fit(*digits[:2])


def test_the_program_says_that_it_reads_no_floats(blobs, digits, tmp_path):
    path = tmp_path / "floats.safetensors"
    ffwd.save_model(ffwd.ForwardForwardClassifier(layers=(20,), epochs=1).fit(*blobs), path)
    done = subprocess.run([program(), "eval", "--model", path, "--data", "digits"], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2 and "a network of floats" in done.stderr and str(path) in done.stderr


def test_files_that_are_no_models_are_refused(tmp_path):
    with pytest.raises(OSError, match="nothing"):
        ffwd.load_model(tmp_path / "nothing")
    (tmp_path / "text").write_text("weights")
    with pytest.raises(ValueError, match="text: found"):
        ffwd.load_model(tmp_path / "text")
    with pytest.raises(Exception, match="not fitted"):
        ffwd.save_model(ffwd.ForwardForwardClassifier(), tmp_path / "model")


@pytest.mark.parametrize("shape", [(5,), (4, 3, 2)])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_idx_files_are_arrays(tmp_path, monkeypatch, shape, pack):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    array = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)
    path = tmp_path / ("file-ubyte.gz" if pack is gzip.compress else "file-ubyte")
    path.write_bytes(pack(struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape) + array.tobytes()))
    loaded = ffwd.load_idx(path)
    assert loaded.dtype == np.uint8 and np.array_equal(loaded, array)


def test_idx_files_that_are_none_are_refused(tmp_path):
    with pytest.raises(OSError):
        ffwd.load_idx(tmp_path / "nothing")
    (tmp_path / "short").write_bytes(b"\0\0\x08\x03\0\0\0\x05")
    with pytest.raises(ValueError, match="short"):
        ffwd.load_idx(tmp_path / "short")
    (tmp_path / "labels").write_bytes(b"\0\0\x08\x01\0\0\0\x05ab")
    with pytest.raises(ValueError, match="labels: .*found 10 bytes, expected 13"):
        ffwd.load_idx(tmp_path / "labels")
    with pytest.raises(ValueError, match="no-such-set"):
        ffwd.load_data("no-such-set")


@pytest.mark.parametrize("m, k, n", [(1, 1, 1), (3, 5, 2), (64, 100, 33), (257, 130, 300), (0, 3, 2), (3, 0, 2)])
def test_gemm_is_numpys_product(m, k, n):
    random = np.random.RandomState(0)
    a, b = (random.normal(size=shape).astype(np.float32) for shape in ((m, k), (k, n)))
    expected = a.astype(float) @ b.astype(float)
    with_gaps = np.repeat(a, 2, axis=1)[:, ::2]
    for of_a, of_b in [(a, b), (np.asfortranarray(a), b), (a, np.asfortranarray(b)), (with_gaps, b)]:
        assert np.allclose(ffwd.gemm(of_a, of_b), expected, atol=1e-4)
    out = random.normal(size=(m, n)).astype(np.float32)
    before = out.copy()
    assert ffwd.gemm(a, b, out, alpha=2.0, beta=-1.0, n_jobs=1) is out
    assert np.allclose(out, 2 * expected - before, atol=1e-3)


def test_gemm_says_what_does_not_fit():
    a = np.ones((4, 4), np.float32)
    with pytest.raises(TypeError, match="a: found 2-D array of float64"):
        ffwd.gemm(a.astype(float), a)
    with pytest.raises(TypeError, match="b: found list"):
        ffwd.gemm(a, [[1.0]])
    with pytest.raises(ValueError, match="4 x 4 times 3 x 4"):
        ffwd.gemm(a, a[:3])
    with pytest.raises(ValueError, match="out"):
        ffwd.gemm(a, a, np.ones((4, 8), np.float32)[:, ::2])
    with pytest.raises(ValueError, match="beta"):
        ffwd.gemm(a, a, beta=1.0)
    with pytest.raises(TypeError):
        ffwd.gemm(a, a, a)


def test_bench_is_the_programs(monkeypatch, tmp_path):
    script = tmp_path / "program"
    script.write_text("#!/bin/sh\necho \"{\\\"arguments\\\": \\\"$*\\\"}\"\n")
    script.chmod(0o755)
    monkeypatch.setattr("ffwd._bench.program", lambda: str(script))
    assert ffwd.bench(quick=True, n_jobs=2) == {"arguments": "bench --output json --quick --threads 2"}
    script.write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(RuntimeError, match="exit code 3"):
        ffwd.bench()


def test_the_program_is_the_packages():
    version = subprocess.run([program(), "--version"], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert ffwd.__version__ in version
