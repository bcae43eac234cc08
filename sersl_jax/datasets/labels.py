"""Second pass: stored scores of a whole corpus to thresholds and labels (Sec. 3.1 to 3.3)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from sersl_jax.datasets.options import PretextOptions
from sersl_jax.pretext import action_units, threshold

BINARY_TASKS = ("energy", "upper_face", "lower_face", "whole_face")
LABEL_NAMES = {
    **dict.fromkeys(BINARY_TASKS, ("low", "high")),
    "action_units": action_units.EMOTIONS,
}


def create(
    scores: Mapping[str, Shaped[np.ndarray, "windows ..."]], options: PretextOptions
) -> tuple[dict[str, Int[np.ndarray, " windows"]], dict[str, float]]:
    """Labels per task (-1: unknown) and the threshold of each binary task, its mean score."""
    thresholds = {task: threshold.corpus_mean(scores[task]) for task in BINARY_TASKS}
    labels = {task: threshold.binarise(scores[task], thresholds[task]) for task in BINARY_TASKS}
    labels["action_units"] = np.array(
        [
            action_units.label(row, options.match, options.min_proportion)
            for row in scores["action_units"]
        ],
        np.int64,
    )
    return labels, thresholds


def balance(
    labels: Int[np.ndarray, " examples"], names: tuple[str, ...] | list[str]
) -> dict[str, int]:
    """Number of examples per class name, and `unknown`."""
    counts = np.bincount(labels + 1, minlength=len(names) + 1)
    return {**dict(zip(names, counts[1:].tolist(), strict=True)), "unknown": int(counts[0])}


def metadata(
    labels: Mapping[str, Int[np.ndarray, " windows"]], thresholds: Mapping[str, float]
) -> dict[str, Any]:
    """What a pretext dataset's metadata says of its labels; a threshold of no score is None."""
    return {
        "label_names": {task: list(names) for task, names in LABEL_NAMES.items()},
        "thresholds": {t: None if np.isnan(v) else v for t, v in thresholds.items()},
        "class_balance": {t: balance(labels[t], names) for t, names in LABEL_NAMES.items()},
    }
