"""Scores of attributes (arousal ...) from sums alone, so that any set of clips can be added up.

In `predictions.csv` the column `arousal` is the label, empty where unknown, and
`predicted_arousal` the prediction, both in the corpus's scale.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

PREFIX = "predicted_"
METRICS = ("ccc", "pearson", "mae")
# Sums over clips: 1, y, x, y^2, x^2, xy, |x - y|; y is the label, x the prediction.
NUM_SUMS = 7
LINES = {"ridge": "Ridge regression"}
Scores = dict[str, int | float]


def names(predictions: pd.DataFrame) -> list[str]:
    """The attributes that were predicted."""
    columns = map(str, predictions.columns)
    return [column.removeprefix(PREFIX) for column in columns if column.startswith(PREFIX)]


def labels(predictions: pd.DataFrame, name: str) -> Float[np.ndarray, "rows"]:
    """Labels of an attribute; nan where unknown."""
    return np.array(
        [float("nan" if value == "" else value) for value in predictions[name]], np.float64
    )


def sums(
    labels: Float[np.ndarray, "rows"], predictions: Float[np.ndarray, "rows"], centre: float = 0.0
) -> Float[np.ndarray, "rows 7"]:
    """Each row's share of the sums, 0 where its label is unknown.

    `centre` is subtracted from both, which changes no score but keeps digits.
    """
    known = ~np.isnan(labels)
    y, x = np.where(known, labels - centre, 0.0), np.where(known, predictions - centre, 0.0)
    return np.stack([known.astype(np.float64), y, x, y * y, x * x, x * y, np.abs(x - y)], axis=1)


def scores(
    sums: Float[np.ndarray, "*batch 7"],
) -> dict[str, Float[np.ndarray, "*batch"]]:
    """CCC (Lin, 1989) and Pearson's r with moments over n, and the mean absolute error.

    The first two are 0 where they have no value (one clip, constant labels); all are without clips.
    """
    count = sums[..., 0]
    y, x, yy, xx, xy, error = np.moveaxis(sums[..., 1:] / np.maximum(count, 1)[..., None], -1, 0)
    y_variance, x_variance = _variance(yy, y), _variance(xx, x)
    covariance = xy - x * y
    return {
        "ccc": _ratio(2 * covariance, y_variance + x_variance + (x - y) ** 2),
        "pearson": _ratio(covariance, np.sqrt(y_variance * x_variance)),
        "mae": error,
    }


def of_splits(
    predictions: pd.DataFrame, name: str, splits: Sequence[str], speakers: Sequence[str]
) -> Float[np.ndarray, "splits speakers 7"]:
    """Sums of an attribute over each split's test clips of each speaker."""
    truth = labels(predictions, name)
    found = predictions[PREFIX + name].to_numpy(np.float64)
    rows = sums(truth, found, float(np.nanmean(truth)) if (~np.isnan(truth)).any() else 0.0)
    total = np.zeros((len(splits), len(speakers), NUM_SUMS))
    where = (
        pd.Categorical(predictions["split"].astype(str), list(splits)).codes,
        pd.Categorical(predictions["speaker_id"].astype(str), list(speakers)).codes,
    )
    np.add.at(total, where, rows)
    return total


def metrics_of(predictions: pd.DataFrame, splits: Sequence[str]) -> list[dict[str, float]]:
    """`ccc_arousal`, `pearson_arousal`, `mae_arousal`, ... of each split."""
    found: list[dict[str, float]] = [{} for _ in splits]
    speakers = sorted(set(predictions["speaker_id"].astype(str)))
    for name in names(predictions):
        values = scores(of_splits(predictions, name, splits, speakers).sum(axis=1))
        for number, row in enumerate(found):
            row |= {f"{metric}_{name}": float(values[metric][number]) for metric in METRICS}
    return found


def add(entries: Sequence[dict[str, Any]], predictions: pd.DataFrame) -> None:
    """Adds to `results.json`'s splits their metrics of attributes, and those of each speaker."""
    splits = [str(entry["seed"]) for entry in entries]
    for entry, split, found in zip(entries, splits, metrics_of(predictions, splits), strict=True):
        entry["metrics"] |= found
        entry["by_speaker"] = by_speaker(predictions, split)


def entries(predictions: pd.DataFrame) -> list[dict[str, Any]]:
    """`{"metrics": ...}` of each split of a reference line."""
    splits = list(dict.fromkeys(predictions["split"].astype(str)))
    return [{"metrics": found} for found in metrics_of(predictions, splits)]


def by_speaker(predictions: pd.DataFrame, split: str) -> dict[str, dict[str, Scores]]:
    """`{speaker: {attribute: {clips, ccc, pearson, mae}}}` of one split's test speakers."""
    rows = predictions.loc[predictions["split"].astype(str) == split]
    speakers = sorted(set(rows["speaker_id"].astype(str)))
    found: dict[str, dict[str, Scores]] = {speaker: {} for speaker in speakers}
    for name in names(rows):
        (total,) = of_splits(rows, name, [split], speakers)
        values = scores(total)
        for number, speaker in enumerate(speakers):
            own = {metric: float(values[metric][number]) for metric in METRICS}
            found[speaker][name] = {"clips": int(total[number, 0]), **own}
    return found


def title(metric: str) -> str:
    """ "ccc_arousal" -> "CCC arousal"."""
    kind, name = metric.split("_", 1)
    return f"{ {'ccc': 'CCC', 'pearson': 'Pearson', 'mae': 'MAE'}[kind] } {name}"


def is_one(metric: str, attributes: Sequence[str]) -> bool:
    """Whether a metric is of one of these attributes."""
    return any(metric == f"{kind}_{name}" for kind in METRICS for name in attributes)


def lines(results: Mapping[str, Any], width: int) -> list[str]:
    """The attributes' part of the text that `main` prints; nothing where there are none."""
    heads = "".join(f"{name:>16}" for name in ("CCC", "Pearson", "MAE"))
    rows = []
    for name, about in results.get("attributes", {}).items():
        title = "{} {:g}-{:g}".format(name, *about["scale"])
        found = {title: results} | {
            f" {LINES[line]}": results["baselines"][line] for line in lines_of(results, name)
        }
        for said, scored in found.items():
            cells = (f"{number(scored, f'{metric}_{name}'):>16}" for metric in METRICS)
            rows.append(said.ljust(width) + "".join(cells))
    return [" " * width + heads, *rows] if rows else []


def lines_of(results: Mapping[str, Any], name: str) -> list[str]:
    """The reference lines of an attribute."""
    found = results.get("baselines", {})
    return [line for line in LINES if f"ccc_{name}" in found.get(line, {}).get("mean", {})]


def number(results: Mapping[str, Any], metric: str) -> str:
    """The mean over splits of `ccc_arousal` ..., with its deviation where there are several."""
    spread = results["sd"].get(metric)
    return f"{results['mean'][metric]:.3f}" + ("" if spread is None else f" ± {spread:.3f}")


def _variance(square: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Not below 0, and 0 where it is nothing but rounding."""
    variance = square - mean * mean
    return np.where(variance > 1e-12 * (1 + square), variance, 0.0)


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Division in which 0 / 0 is 0."""
    zero = denominator <= 0
    return np.where(zero, 0.0, numerator / np.where(zero, 1.0, denominator))
