"""Scores to binary labels at the corpus mean (Sec. 3.1 and 3.2)."""

import math

import numpy as np
from jaxtyping import Float, Int

CLASSES = ("low", "high")


def corpus_mean(scores: Float[np.ndarray, " n"]) -> float:
    """Mean of the known (not NaN) scores, NaN where none is known.

    The sum is exact: the order of the scores does not matter (workers finish in any order), and
    equal scores are never above their mean.
    """
    known = scores[~np.isnan(scores)].astype(np.float64)
    return math.fsum(known) / known.size if known.size else float("nan")


def binarise(scores: Float[np.ndarray, " n"], threshold: float) -> Int[np.ndarray, " n"]:
    """1 where a score is strictly above `threshold`, else 0; -1 where it is unknown (NaN)."""
    return np.where(np.isnan(scores), -1, scores > threshold).astype(np.int64)
