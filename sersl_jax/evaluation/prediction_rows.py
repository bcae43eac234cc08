"""The rows of `predictions.csv`."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from sersl_jax.evaluation import attributes, results
from sersl_jax.evaluation.splits import Split


def classified(
    split: Split,
    clips: pd.DataFrame,
    examples: Int[np.ndarray, " clips"],
    p: Float[np.ndarray, "clips classes"],
    classes: Sequence[str],
) -> pd.DataFrame:
    """Rows of `predictions.csv`: its columns, probabilities, then what else is known."""
    frame = clips.set_index("example").loc[examples].reset_index(drop=True)
    frame.insert(0, "split", split.seed)
    frame.insert(4, "prediction", np.array(classes)[p.argmax(axis=1)])
    columns = pd.DataFrame(p, columns=[f"p_{name}" for name in classes])
    extra = frame.drop(columns=[*results.COLUMNS, "sha256"])
    return pd.concat([frame[list(results.COLUMNS)], columns, extra], axis=1)


def add_attribute(frame: pd.DataFrame, name: str, values: Float[np.ndarray, " clips"]) -> None:
    """Inserts predictions of an attribute behind the probabilities and other attributes."""
    before = ("p_", attributes.PREFIX)
    place = sum(c in results.COLUMNS or str(c).startswith(before) for c in frame)
    frame.insert(place, attributes.PREFIX + name, values)


def bare(split: Split, clips: pd.DataFrame, examples: Int[np.ndarray, " clips"]) -> pd.DataFrame:
    """Rows without label and prediction."""
    frame = clips.set_index("example").loc[examples].reset_index(drop=True)
    frame.insert(0, "split", split.seed)
    return frame.drop(columns=["label", "sha256"])
