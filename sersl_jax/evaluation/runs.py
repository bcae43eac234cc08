"""Finished runs as `compare` and `report` read them."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from sersl_jax import checksums, files
from sersl_jax.evaluation import attributes, metrics, paper, results, votes

FOREIGN = ("split", "clip", "label", "prediction")  # what other software's predictions.csv needs


@dataclass(frozen=True)
class Run:
    """One row of a comparison; `results` is empty for other software's predictions.

    There are no classes where attributes alone were learnt.
    """

    path: Path
    name: str
    predictions: pd.DataFrame
    results: dict[str, Any]
    classes: list[str]
    namesakes: bool = False  # another run beside it has the same name
    left_out: int = 0  # splits that a run beside it lacks

    @property
    def title(self) -> str:
        """The row's name as the paper writes it, and where it lies if that alone is ambiguous."""
        title = paper.TITLES.get(self.name, self.name)
        return f"{title} ({self.path})" if self.namesakes else title

    @property
    def splits(self) -> list[str]:
        """Names of the splits, in a fixed order."""
        return sorted(set(self.predictions["split"]), key=lambda name: (len(name), name))

    @property
    def answers(self) -> list[str]:
        """Columns of the confusions: the classes; with `evaluate`, what else the model says."""
        return self.results.get("evaluated", {}).get("answers", self.classes)

    def confusions(
        self, speakers: Sequence[str]
    ) -> Int[np.ndarray, "splits people classes answers"]:
        """A table for each split and speaker."""
        shape = (len(self.splits), len(speakers), len(self.classes), len(self.answers))
        tables = np.zeros(shape, np.int64)
        rows = self.predictions
        where = (
            pd.Categorical(rows["split"], self.splits).codes,
            pd.Categorical(rows["speaker_id"], list(speakers)).codes,
            results.as_index(rows["label"], self.classes),
            results.as_index(rows["prediction"], self.answers),
        )
        np.add.at(tables, where, 1)
        return tables

    @property
    def attributes(self) -> list[str]:
        """The attributes that were predicted (arousal ...)."""
        return attributes.names(self.predictions)

    def sums(self, speakers: Sequence[str], attribute: str) -> Float[np.ndarray, "splits people 7"]:
        """What `attributes.scores` takes, for each split and speaker."""
        return attributes.of_splits(self.predictions, attribute, self.splits, speakers)

    @cached_property
    def scores(self) -> dict[str, Float[np.ndarray, "splits"]]:
        """Every metric on every split, from the predictions; `ccc_arousal` ... of attributes."""
        found = {}
        if self.classes:
            found |= metrics.scores(self.confusions(self.speakers).sum(axis=1))
        rule = self.results.get("label_rule", {})
        shares = votes.metrics_of(self.predictions, rule, self.classes, self.splits)
        numbers = attributes.metrics_of(self.predictions, self.splits)
        rows = [one | other for one, other in zip(shares, numbers, strict=True)]
        return found | {name: np.array([row[name] for row in rows]) for name in rows[0]}

    @property
    def speakers(self) -> list[str]:
        """All test speakers."""
        return sorted(set(self.predictions["speaker_id"]))


def read(path: str | Path) -> Run:
    """A run directory, or a `predictions.csv` of any software with the columns of `FOREIGN`."""
    path = Path(path)
    file = path / "predictions.csv" if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(
            f"{file} does not exist: name a finished run's directory or a predictions.csv"
        )
    saved = _read_results(path) if path.is_dir() else {}
    stored = saved.get(results.PREDICTIONS_HASH)
    if stored and stored != checksums.digest(file):
        raise ValueError(
            f"{file} is not as it was when {path}/results.json was written: delete results.json "
            "and give the run's command again, or name the CSV alone"
        )
    names = {*results.COLUMNS, *FOREIGN}  # text, even where they look like numbers
    predictions = files.read_table(
        file, keep_default_na=False, na_values=[""], converters=_as(names)
    )
    predictions = predictions.fillna({name: "" for name in names if name in predictions})
    _check_columns(predictions, file)
    name = str(saved.get("config", {}).get("name", path.stem if path.is_file() else path.name))
    classes = results.class_names(predictions, saved.get("classes"))
    run = Run(path, name, predictions, saved, classes)
    try:
        results.as_index(predictions["label"] if classes else (), classes)
        results.as_index(predictions["prediction"] if classes else (), run.answers)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return run


def _as(names: Iterable[str]) -> dict[Hashable, Callable[[str], str]]:
    return dict.fromkeys(names, str)


def _read_results(path: Path) -> dict[str, Any]:
    file = path / "results.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist: the run in {path} is not finished")
    found = files.read_json(file)
    if not isinstance(found, dict):
        raise ValueError(f"{file} is no results.json of a run")
    return found


def _check_columns(predictions: pd.DataFrame, file: Path) -> None:
    missing = [column for column in FOREIGN if column not in predictions]
    needed = [*FOREIGN]
    if attributes.names(predictions) and {*missing} == {"label", "prediction"}:
        missing, needed = [], [name for name in FOREIGN if name not in missing]
    missing += [name for name in attributes.names(predictions) if name not in predictions]
    if missing:
        raise ValueError(
            f"{file} has no column {', '.join(missing)}; needed: {', '.join(FOREIGN)} "
            "(of attributes: the label, as arousal beside predicted_arousal; speaker_id and "
            "p_<class> if known)"
        )
    if predictions.empty:
        raise ValueError(f"{file} holds no rows")
    if (predictions[needed] == "").to_numpy().any():
        raise ValueError(f"{file} has empty cells in {', '.join(needed)}")
    twice = predictions[predictions.duplicated(["split", "clip"])]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(f"{file}: clip {row['clip']} stands twice in split {row['split']}")
