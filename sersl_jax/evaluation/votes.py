"""Raters' votes in `predictions.csv`, and how near predicted probabilities are to their shares."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from sersl_jax.evaluation import label_rule

COLUMNS = tuple(f"votes_{kind}" for kind in label_rule.VOTES)
METRICS = ("cross_entropy", "jensen_shannon")
TITLES = {"cross_entropy": "cross-entropy, nats", "jensen_shannon": "Jensen-Shannon, bits"}
_LEAST = 1e-12  # what a smaller probability counts as, so that cross-entropy is finite


def columns(
    votes: Float[np.ndarray, "clips 3 classes"], classes: Sequence[str]
) -> dict[str, list[str]]:
    """Votes as extra columns of `predictions.csv`: "anger:1;disgust:1", empty where none."""
    return {
        column: [write(clip[row], classes) for clip in votes]
        for row, column in enumerate(COLUMNS)
        if votes[:, row].any()
    }


def write(votes: Float[np.ndarray, "classes"], classes: Sequence[str]) -> str:
    """One clip's votes as text, most chosen first."""
    order = np.argsort(-votes, kind="stable")
    return ";".join(f"{classes[i]}:{votes[i]:g}" for i in order if votes[i] > 0)


def read(text: str, classes: Sequence[str]) -> Float[np.ndarray, "classes"]:
    """The inverse of `write`."""
    votes = np.zeros(len(classes))
    for entry in filter(None, text.split(";")):
        name, number = entry.rsplit(":", 1)
        votes[list(classes).index(name)] = float(number)
    return votes


def cross_entropy(
    shares: Float[np.ndarray, "clips classes"], p: Float[np.ndarray, "clips classes"]
) -> Float[np.ndarray, "clips"]:
    """-sum(share ln p) of each clip, in nats; a probability below 1e-12 counts as that."""
    return -(shares * np.log(np.maximum(p, _LEAST))).sum(axis=1)


def jensen_shannon(
    shares: Float[np.ndarray, "clips classes"], p: Float[np.ndarray, "clips classes"]
) -> Float[np.ndarray, "clips"]:
    """The divergence (Lin, 1991) of each clip in bits: 0 where equal, 1 where nothing is shared."""
    from scipy.special import rel_entr

    middle = (shares + p) / 2
    nats = (rel_entr(shares, middle) + rel_entr(p, middle)).sum(axis=1) / 2
    return np.clip(nats / np.log(2), 0.0, 1.0)


def metrics_of(
    predictions: pd.DataFrame,
    rule: Mapping[str, Any],
    classes: Sequence[str],
    splits: Sequence[str],
) -> list[dict[str, float]]:
    """Both means over each split's clips that have votes.

    Empty where the label is not made of votes, where a class has no probability (other software, or
    a corpus's class that the model does not know), and where a split has no clip with votes.
    """
    nothing: list[dict[str, float]] = [{} for _ in splits]
    column = f"votes_{rule.get('source')}"
    names = [c.removeprefix("p_") for c in map(str, predictions.columns) if c.startswith("p_")]
    if rule.get("source") not in label_rule.VOTES or column not in predictions:
        return nothing
    rated = predictions[predictions[column].fillna("") != ""]
    found = np.asarray(rated["split"].astype(str))
    if not classes or {*classes} - {*names} or {*splits} - {*found}:
        return nothing
    counts = np.stack([read(text, names) for text in rated[column]])
    shares = counts / counts.sum(axis=1, keepdims=True)
    p = np.asarray(rated[[f"p_{name}" for name in names]], np.float64)
    values = {
        "cross_entropy": cross_entropy(shares, p),
        "jensen_shannon": jensen_shannon(shares, p),
    }
    return [
        {name: float(value[found == split].mean()) for name, value in values.items()}
        for split in splits
    ]


def line(results: Mapping[str, Any]) -> str:
    """What a run's table says of both; empty where there is neither."""
    if METRICS[0] not in results["mean"]:
        return ""
    said = []
    for name in METRICS:
        spread = results["sd"][name]
        deviation = "" if spread is None else f" ± {spread:.3f}"
        said.append(f"{TITLES[name]} {results['mean'][name]:.3f}{deviation}")
    source = results["label_rule"]["source"]
    return f"against the shares of the {source} votes: {'; '.join(said)}"
