import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from sersl_jax.evaluation import metrics


@st.composite
def answers(draw):
    """Labels and predictions of 1-6 classes, absent classes and single ones included."""
    num_classes = draw(st.integers(1, 6))
    classes = st.integers(0, num_classes - 1)
    pairs = draw(st.lists(st.tuples(classes, classes), min_size=1, max_size=40))
    labels, predictions = np.array(pairs, np.int64).T
    return labels, predictions, num_classes


@pytest.mark.filterwarnings("ignore:A single label was found")
@given(answers())
def test_scores_equal_scikit_learn(answer):
    labels, predictions, num_classes = answer
    confusion = metrics.confusion_matrix(labels, predictions, num_classes)
    classes = list(range(num_classes))
    np.testing.assert_array_equal(
        confusion, sklearn_metrics.confusion_matrix(labels, predictions, labels=classes)
    )
    scores = metrics.scores(confusion)
    for average in ("macro", "micro"):
        reference = sklearn_metrics.precision_recall_fscore_support(
            labels, predictions, labels=classes, average=average, zero_division=0
        )
        ours = [scores[f"{average}_{name}"] for name in ("precision", "recall", "f1")]
        np.testing.assert_allclose(ours, reference[:3], atol=1e-12)
    assert scores["uar"] == scores["macro_recall"]
    assert metrics.accuracy(confusion) == pytest.approx(
        sklearn_metrics.accuracy_score(labels, predictions)
    )


@given(answers())
def test_per_class_equals_scikit_learn(answer):
    labels, predictions, num_classes = answer
    ours = metrics.per_class(metrics.confusion_matrix(labels, predictions, num_classes))
    reference = sklearn_metrics.precision_recall_fscore_support(
        labels, predictions, labels=list(range(num_classes)), zero_division=0
    )
    for mine, theirs in zip(ours, reference, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-12)


@given(answers(), st.integers(0, 2), st.integers(0, 2**32 - 1))
def test_answers_beyond_the_classes_are_errors_as_in_scikit_learn(answer, more, seed):
    labels, predictions, num_classes = answer
    predictions = np.random.default_rng(seed).integers(0, num_classes + more, len(labels))
    confusion = metrics.confusion_matrix(labels, predictions, num_classes, num_classes + more)
    assert confusion.shape == (num_classes, num_classes + more)
    reference = sklearn_metrics.precision_recall_fscore_support(
        labels, predictions, labels=list(range(num_classes)), average="macro", zero_division=0
    )
    scores = metrics.scores(confusion)
    ours = [scores[f"macro_{name}"] for name in ("precision", "recall", "f1")]
    np.testing.assert_allclose(ours, reference[:3], atol=1e-12)
    assert scores["micro_f1"] == pytest.approx(np.mean(labels == predictions))


def test_many_confusions_at_once_equal_one_at_a_time():
    confusions = np.random.default_rng(0).integers(0, 9, (4, 3, 3))
    together = metrics.scores(confusions)
    for k, confusion in enumerate(confusions):
        for name, value in metrics.scores(confusion).items():
            assert together[name][k] == pytest.approx(float(value))


def test_no_clips_is_zero_not_nan():
    scores = metrics.scores(np.zeros((3, 3), np.int64))
    assert {float(value) for value in scores.values()} == {0.0}


def test_a_class_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"0 \.\. 2, got 0 \.\. 3"):
        metrics.confusion_matrix(np.array([0, 3]), np.array([0, 1]), 3)


def test_calibration_of_a_perfectly_calibrated_and_of_a_boasting_model():
    labels = np.array([0, 0, 0, 1])
    honest = np.tile([0.75, 0.25], (4, 1))
    assert metrics.calibration(honest, labels).error == pytest.approx(0)
    boasting = np.tile([1.0, 0.0], (4, 1))
    curve = metrics.calibration(boasting, labels)
    assert curve.error == pytest.approx(0.25)
    assert curve.count[-1] == 4
    assert curve.accuracy[-1] == pytest.approx(0.75)


@given(st.integers(1, 200), st.integers(0, 2**32 - 1))
def test_calibration_error_follows_its_definition(number, seed):
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(4), number)
    labels = rng.integers(0, 4, number)
    top, right = probabilities.max(1), probabilities.argmax(1) == labels
    expected = 0.0
    for low in np.arange(10) / 10:
        inside = (np.minimum((top * 10).astype(int), 9) / 10) == low
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - top[inside].mean())
    assert metrics.calibration(probabilities, labels).error == pytest.approx(expected)
