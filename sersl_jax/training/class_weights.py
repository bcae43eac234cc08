"""Weights of the classes in the training loss (`config.finetune.class_weights`)."""

from typing import Literal

import numpy as np
from jaxtyping import Float, Num


def class_weights(
    labels: Num[np.ndarray, "examples *classes"],
    number: int,
    kind: Literal["balanced", "sqrt"],
) -> Float[np.ndarray, " classes"]:
    """A weight for each of `number` classes; their mean over the examples is 1.

    Args:
      labels: of the training examples: class numbers (-1: unknown), or shares of the classes.
      number: of classes; one without examples gets 0.
      kind: `balanced` is inversely proportional to the class's number of examples, `sqrt` to its
        square root.
    """
    if labels.ndim == 1:
        counts = np.bincount(labels[labels >= 0], minlength=number).astype(np.float64)
    else:
        counts = labels.sum(axis=0, dtype=np.float64)
    power = 1.0 if kind == "balanced" else 0.5
    weights = np.where(counts > 0, np.maximum(counts, 1e-9) ** -power, 0.0)
    return (weights * counts.sum() / max(weights @ counts, 1e-9)).astype(np.float32)
