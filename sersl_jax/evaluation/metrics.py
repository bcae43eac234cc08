"""Scores of a classifier from its confusion matrix alone.

Zero division: a class that is never predicted has precision 0, a class that never occurs has
recall 0, and all classes weigh the same in a macro mean. That is scikit-learn with
`labels=range(num_classes), zero_division=0`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Real

METRICS = (
    "macro_precision",
    "macro_recall",
    "macro_f1",
    "micro_precision",
    "micro_recall",
    "micro_f1",
    "uar",
)


def confusion_matrix(
    labels: Int[np.ndarray, "clips"],
    predictions: Int[np.ndarray, "clips"],
    num_classes: int,
    num_answers: int | None = None,
) -> Int[np.ndarray, "classes answers"]:
    """Counts, row = label, column = prediction.

    There may be more answers than classes: what is predicted there is always wrong. Raises
    ValueError for a label outside 0 .. num_classes - 1, or a prediction outside its range.
    """
    width = num_answers or num_classes
    for numbers, limit in ((labels, num_classes), (predictions, width)):
        if numbers.size and not (numbers.min() >= 0 and numbers.max() < limit):
            raise ValueError(
                f"classes must be 0 .. {limit - 1}, got {numbers.min()} .. {numbers.max()}"
            )
    cells = np.bincount(labels * width + predictions, minlength=num_classes * width)
    return cells.reshape(num_classes, width)


class PerClass(NamedTuple):
    """Each class against the rest."""

    precision: Float[np.ndarray, "*batch classes"]
    recall: Float[np.ndarray, "*batch classes"]
    f1: Float[np.ndarray, "*batch classes"]
    support: Real[np.ndarray, "*batch classes"]


def per_class(confusion: Real[np.ndarray, "*batch classes answers"]) -> PerClass:
    """Precision, recall, F1 and number of clips of every class."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    support, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)[..., : hits.shape[-1]]
    return PerClass(
        precision=_ratio(hits, predicted),
        recall=_ratio(hits, support),
        f1=_ratio(2 * hits, support + predicted),
        support=support,
    )


def accuracy(
    confusion: Real[np.ndarray, "*batch classes answers"],
) -> Float[np.ndarray, "*batch"]:
    """The share of clips on the diagonal; 0 without clips."""
    hits = np.trace(confusion, axis1=-2, axis2=-1)
    return _ratio(np.asarray(hits), np.asarray(confusion.sum(axis=(-2, -1))))


def scores(
    confusion: Real[np.ndarray, "*batch classes answers"],
) -> dict[str, Float[np.ndarray, "*batch"]]:
    """The paper's six columns and UAR (= macro recall), as fractions of 1.

    With one label a clip, micro precision, recall and F1 all equal accuracy.
    """
    classes, micro = per_class(confusion), accuracy(confusion)
    recall = classes.recall.mean(axis=-1)
    means = (classes.precision.mean(axis=-1), recall, classes.f1.mean(axis=-1))
    values = (*means, micro, micro, micro, recall)
    return {name: np.asarray(value) for name, value in zip(METRICS, values, strict=True)}


class Calibration(NamedTuple):
    """Confidence against accuracy in equal bins of the predicted class's probability."""

    error: float
    confidence: Float[np.ndarray, "bins"]
    accuracy: Float[np.ndarray, "bins"]
    count: Int[np.ndarray, "bins"]


def calibration(
    probabilities: Float[np.ndarray, "clips classes"],
    labels: Int[np.ndarray, "clips"],
    bins: int = 10,
) -> Calibration:
    """Expected calibration error (Guo et al. 2017): the mean gap, weighted by clips.

    Empty bins are 0 in both curves and weigh nothing.
    """
    top = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    index = np.minimum((top * bins).astype(int), bins - 1)
    count = np.bincount(index, minlength=bins)
    confidence = _ratio(np.bincount(index, top, bins), count)
    hits = _ratio(np.bincount(index, right, bins), count)
    error = float(np.sum(count * np.abs(hits - confidence)) / max(len(labels), 1))
    return Calibration(error, confidence, hits, count)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Division in which 0 / 0 is 0."""
    whole = np.where(denominator == 0, 1, denominator)
    return np.where(denominator == 0, 0.0, numerator / whole)
