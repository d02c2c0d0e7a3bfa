"""DigitClassifier in scikit-learn's own checks and tools."""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import digitlab as dl
from digitlab.errors import ConfigError, NetworkError

pytestmark = pytest.mark.interop
pytest.importorskip("sklearn")

#: What scikit-learn's checks are not asked, and why. Of the 55 checks the others pass.
SKIPPED = {
    "check_array_api_input": "scikit-learn asks it only where SCIPY_ARRAY_API is set",
    "check_classifier_data_not_an_array": "scikit-learn asks it only where pandas is installed",
}


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    split = dl.MnistData.load().training
    return split.images[:1200], split.labels[:1200]


def quick(**settings: Any) -> dl.DigitClassifier:
    return dl.DigitClassifier(**({"epochs": 3, "random_state": 0, "learning_rate": 0.005} | settings))


def test_scikit_learns_checks_pass() -> None:
    # The checks have tables of numbers of 1 to 20 columns: what a network without convolutions takes.
    from sklearn.utils.estimator_checks import check_estimator

    classifier = quick(network="dense_baseline", epochs=60, batch_size=16, learning_rate=0.01)
    results = check_estimator(classifier, on_skip=None, on_fail=None)
    assert {result["check_name"]: result["exception"] for result in results if result["status"] == "failed"} == {}
    assert {result["check_name"] for result in results if result["status"] == "skipped"} <= set(SKIPPED)
    assert len(results) > 50


def test_images_may_be_flattened_or_not_bytes_or_not(digits: Any) -> None:
    images, labels = digits
    expected = quick().fit(images, labels).predict_proba(images[:50])
    assert expected.dtype == np.float32
    for shaped in (
        images.reshape(-1, 784),
        images[..., None],
        images.reshape(-1, 784).astype(np.int64),
        images.reshape(-1, 784).astype(np.float64),
        images.astype(np.float32) / np.float32(255),
    ):
        classifier = quick().fit(shaped, labels)
        np.testing.assert_allclose(classifier.predict_proba(shaped[:50]), expected, atol=1e-4)
        assert classifier.n_features_in_ == 784


def test_labels_may_be_anything(digits: Any) -> None:
    images, labels = digits
    words = np.array(dl.Evaluation.__name__ and ["even", "odd"])[labels % 2]
    classifier = quick().fit(images, words)
    assert list(classifier.classes_) == ["even", "odd"]
    assert set(classifier.predict(images[:20])) <= {"even", "odd"}
    assert classifier.score(images, words) > 0.8


def test_it_is_cross_validated_and_searched(digits: Any) -> None:
    from sklearn.model_selection import GridSearchCV, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    images, labels = digits
    assert cross_val_score(quick(), images.reshape(-1, 784), labels, cv=3).mean() > 0.7
    pipeline = make_pipeline(FunctionTransformer(lambda x: 255 - x), quick(epochs=1))
    search = GridSearchCV(pipeline, {"digitclassifier__learning_rate": [1e-5, 0.005]}, cv=2).fit(images, labels)
    assert search.best_params_ == {"digitclassifier__learning_rate": 0.005}


def test_the_same_random_state_gives_the_same_weights(digits: Any) -> None:
    images, labels = digits
    first, second, other = (quick(epochs=1, random_state=seed).fit(images, labels) for seed in (1, 1, 2))
    assert all(
        np.array_equal(a, b) for a, b in zip(first.model_.get_weights(), second.model_.get_weights(), strict=True)
    )
    assert not np.array_equal(first.model_.get_weights()[0], other.model_.get_weights()[0])


def test_a_copy_for_another_process_answers_the_same(digits: Any) -> None:
    images, labels = digits
    classifier = quick(epochs=1).fit(images, labels)
    copy = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(copy.predict_proba(images[:50]), classifier.predict_proba(images[:50]))


def test_networks_of_ones_own_are_taken(digits: Any) -> None:
    images, labels = digits
    own = dl.Architecture([dl.MaxPooling2D(4), dl.Flatten(), dl.Dense(99, activation="softmax")])
    assert quick(network=own).fit(images, labels).model_.architecture.n_classes == 10
    apart = dl.Architecture([dl.Flatten(), dl.LeakyReLU(), dl.Dense(99), dl.Activation("softmax")], (5, 5, 1))
    fitted = quick(network=apart).fit(images, labels).model_.architecture
    assert (fitted.n_classes, fitted.input_shape) == (10, (images[0].size,))
    pooled = [dl.Conv2D(99, 5), dl.GlobalMaxPooling2D(), dl.Activation("softmax")]
    with pytest.raises(NetworkError, match="answers 99 classes and y has 10; only a network whose last layer with"):
        quick(network=dl.Architecture(pooled)).fit(images, labels)


def test_what_does_not_fit_is_a_sentence(digits: Any) -> None:
    images, labels = digits
    with pytest.raises(NetworkError, match="dense_baseline"):
        quick().fit(images[:, :8, :8].reshape(-1, 64), labels)
    with pytest.raises(NetworkError, match="no network 'resnet'"):
        quick(network="resnet").fit(images, labels)
    with pytest.raises(ValueError, match="learning_rate"):
        quick(learning_rate=-1.0).fit(images, labels)


def test_without_scikit_learn_the_way_to_get_it_is_told() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "from digitlab import *\n"
        "import digitlab\n"
        "try: DigitClassifier()\n"
        "except digitlab.DigitlabError as error: print(error)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install scikit-learn" in child.stdout


@pytest.mark.parametrize(("largest", "kind"), [(1, float), (16, float), (16, np.uint8), (255, np.uint8), (65535, int)])
def test_any_usual_scale_gives_the_same_network(digits: Any, largest: int, kind: type) -> None:
    images, labels = digits[0][:200], digits[1][:200]
    shares = (images > 127).reshape(200, -1)
    given = (shares * largest).astype(kind)
    classifier = quick(epochs=1).fit(given, labels)
    assert classifier.largest_value_ == largest
    expected = quick(epochs=1).fit(shares.astype(np.float32), labels)
    assert np.array_equal(classifier.predict_proba(given), expected.predict_proba(shares.astype(np.float32)))


def test_a_scaler_that_leaves_a_few_pixels_as_they_are_is_no_other_scale(digits: Any) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler

    images, labels = digits[0].reshape(-1, 784).copy(), digits[1]
    images[:200, 300] = 0  # a pixel that is inked only in what is asked later
    pipeline = make_pipeline(MinMaxScaler(), quick(epochs=1)).fit(images[:200], labels[:200])
    assert pipeline[0].transform(images[200:400]).max() > 100
    pipeline.predict(images[200:400])


@pytest.mark.parametrize(("learned", "asked", "advice"), [(255, 1, "X * 255"), (16, 1, "X * 16"), (1, 255, "X / 255")])
def test_images_in_another_scale_than_was_learned_are_answered_in_theirs_and_warned_of(
    digits: Any, learned: int, asked: int, advice: str
) -> None:
    shares = (digits[0][:100] > 127).reshape(100, -1).astype(np.float32)
    classifier = quick(epochs=1).fit(shares * learned, digits[1][:100])
    classifier.predict(shares * learned)
    classifier.predict(shares[:1] * 0)
    with pytest.warns(UserWarning, match=re.escape(advice)):
        found = classifier.predict_proba(shares * asked)
    assert np.array_equal(found, classifier.predict_proba(shares * learned))


def test_a_batch_size_that_is_none_is_told(digits: Any) -> None:
    with pytest.raises(ConfigError, match="batch_size must be a whole number of at least 1; got None"):
        quick(batch_size=None).fit(digits[0][:20], digits[1][:20])
