"""Second pass: stored scores of a whole corpus to thresholds and labels (Sec. 3.1 to 3.3)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from sersl_jax.datasets.options import PretextOptions
from sersl_jax.pretext.registry import PretextTask

Labels = Mapping[str, Int[np.ndarray, " windows"]]


def create(
    tasks: Sequence[PretextTask],
    scores: Mapping[str, Shaped[np.ndarray, "windows ..."]],
    options: PretextOptions,
) -> tuple[dict[str, Int[np.ndarray, " windows"]], dict[str, Any]]:
    """Labels per task (-1: unknown), and what a dataset's metadata says of them.

    A threshold of no known score is None.
    """
    labels = {task.name: task.labels(scores[task.name], options) for task in tasks}
    thresholds = {task.name: task.threshold(scores[task.name]) for task in tasks}
    return labels, {
        "tasks": {task.name: task.version for task in tasks},
        "label_names": {task.name: list(task.classes) for task in tasks},
        "thresholds": {
            name: None if np.isnan(value) else value
            for name, value in thresholds.items()
            if value is not None
        },
        "class_balance": {task.name: balance(labels[task.name], task.classes) for task in tasks},
    }


def balance(
    labels: Int[np.ndarray, " examples"], names: tuple[str, ...] | list[str]
) -> dict[str, int]:
    """Number of examples per class name, and `unknown`."""
    counts = np.bincount(labels + 1, minlength=len(names) + 1)
    return {**dict(zip(names, counts[1:].tolist(), strict=True)), "unknown": int(counts[0])}
