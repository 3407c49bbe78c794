"""scikit-learn's own checks of estimators, and what people do with them."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from ffwd import ForwardForwardClassifier

# Small networks, because the checks train some hundred of them. The first predicts by a read-out and the second by
# goodness.
SMALL = [
    ForwardForwardClassifier(layers=(40, 40), options={"temperature": 8.0}),
    ForwardForwardClassifier("keras", layers=(40, 40), epochs=10),
]


@parametrize_with_checks(SMALL)
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def test_the_default_passes_the_check_of_what_it_learns():
    from sklearn.utils.estimator_checks import check_classifiers_train

    check_classifiers_train("ForwardForwardClassifier", ForwardForwardClassifier(random_state=0))


def test_pipelines_and_searches(blobs):
    pipeline = make_pipeline(StandardScaler(), ForwardForwardClassifier(layers=(30, 30), epochs=100, random_state=0))
    assert cross_val_score(pipeline, *blobs, cv=3).mean() > 0.9
    search = GridSearchCV(pipeline, {"forwardforwardclassifier__lr": [0.02, 0.08]}, cv=2, n_jobs=2).fit(*blobs)
    assert search.best_score_ > 0.9


def test_a_copy_goes_on_bit_for_bit(blobs):
    X, y = blobs
    model = ForwardForwardClassifier(layers=(30, 30), epochs=5, random_state=0).fit(X, y)
    copies = [pickle.loads(pickle.dumps(model)), copy.deepcopy(model)]
    model.partial_fit(X, y)
    for other in copies:
        assert other.n_iter_ == 5
        other.partial_fit(X, y)
        assert other.n_iter_ == 6
        assert other._engine.weights_sha256() == model._engine.weights_sha256()


def test_a_clone_is_not_fitted(model):
    assert clone(model).get_params()["layers"] == (60, 60)
    with pytest.raises(AttributeError, match="expected a call of fit"):
        clone(model).coefs_


def test_names_of_columns_are_kept(blobs):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(blobs[0], columns=["height", "width"])
    model = ForwardForwardClassifier(layers=(30,), epochs=3).fit(frame, blobs[1])
    assert list(model.feature_names_in_) == ["height", "width"]
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["width", "height"]])


def test_the_seed_decides_and_threads_do_not(digits):
    X, y = digits[:2]
    sums = {
        (seed, jobs): ForwardForwardClassifier(layers=(40, 40), epochs=1, random_state=seed, n_jobs=jobs)
        .fit(X, y)
        ._engine.weights_sha256()
        for seed, jobs in [(1, 1), (1, 2), (1, 5), (2, 2)]
    }
    assert len(set(sums.values())) == 2
    assert sums[1, 1] == sums[1, 2] == sums[1, 5]


def test_two_estimators_without_a_seed_differ(blobs):
    one, other = (ForwardForwardClassifier(layers=(10,), epochs=1).fit(*blobs) for _ in range(2))
    assert not np.array_equal(one.coefs_[0], other.coefs_[0])
