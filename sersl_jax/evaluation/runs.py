"""Finished runs as `compare` and `report` read them, and what makes two of them comparable."""

import json
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from sersl_jax.evaluation import metrics, paper, results

FOREIGN = ("split", "clip", "label", "prediction")  # what other software's predictions.csv needs


@dataclass(frozen=True)
class Run:
    """One row of a comparison; `results` is empty for other software's predictions."""

    path: Path
    name: str
    predictions: pd.DataFrame
    results: dict[str, Any]
    classes: list[str]
    namesakes: bool = False  # another run beside it has the same name

    @property
    def title(self) -> str:
        """The row's name as the paper writes it, and where it lies if that alone is ambiguous."""
        title = paper.TITLES.get(self.name, self.name)
        return f"{title} ({self.path})" if self.namesakes else title

    @property
    def splits(self) -> list[str]:
        """Names of the splits, in a fixed order."""
        return sorted(set(self.predictions["split"]), key=lambda name: (len(name), name))

    def confusions(
        self, speakers: Sequence[str]
    ) -> Int[np.ndarray, "splits people classes classes"]:
        """A table for each split and speaker."""
        shape = (len(self.splits), len(speakers), len(self.classes), len(self.classes))
        tables = np.zeros(shape, np.int64)
        rows = self.predictions
        where = (
            pd.Categorical(rows["split"], self.splits).codes,
            pd.Categorical(rows["speaker_id"], list(speakers)).codes,
            results.as_index(rows["label"], self.classes),
            results.as_index(rows["prediction"], self.classes),
        )
        np.add.at(tables, where, 1)
        return tables

    @cached_property
    def scores(self) -> dict[str, Float[np.ndarray, "splits"]]:
        """Every metric on every split, from the predictions."""
        return metrics.scores(self.confusions(self.speakers).sum(axis=1))

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
    names = {*results.COLUMNS, *FOREIGN}  # text, even where they look like numbers
    predictions = pd.read_csv(file, keep_default_na=False, na_values=[""], converters=_as(names))
    _check_columns(predictions, file)
    name = str(saved.get("config", {}).get("name", path.stem if path.is_file() else path.name))
    classes = results.class_names(predictions, saved.get("classes"))
    return Run(path, name, predictions, saved, classes)


def read_all(paths: Iterable[str | Path]) -> list[Run]:
    """Runs that are comparable; raises ValueError that names the first difference."""
    runs = [read(path) for path in paths]
    known = {
        clip: speaker
        for run in runs
        if "speaker_id" in run.predictions
        for clip, speaker in zip(
            run.predictions["clip"], run.predictions["speaker_id"], strict=True
        )
    }
    names = Counter(run.name for run in runs)
    runs = [replace(run, namesakes=names[run.name] > 1) for run in runs]
    runs = [_same_classes(_with_speakers(run, known), runs) for run in runs]
    for other in runs[1:]:
        check_comparable(runs[0], other)
    return runs


def check_comparable(one: Run, other: Run) -> None:
    """Refuses two runs whose splits or labels differ, naming the difference."""
    difference = (
        _stamps_differ(one, other) or _splits_differ(one, other) or _rows_differ(one, other)
    )
    if difference:
        raise ValueError(
            f"{one.path} and {other.path} can't be compared: {difference}. Run both on the same "
            "splits and labels"
        )


def _stamps_differ(one: Run, other: Run) -> str | None:
    if not (one.results and other.results):
        return None
    if one.results["protocol"] != other.results["protocol"]:
        return f"protocol {one.results['protocol']} against {other.results['protocol']}"
    rules = one.results["label_rule"], other.results["label_rule"]
    for key in {**rules[0], **rules[1]}:
        if rules[0].get(key) != rules[1].get(key):
            return f"label rule {key}={rules[0].get(key)} against {key}={rules[1].get(key)}"
    return None


def _splits_differ(one: Run, other: Run) -> str | None:
    for have, lack in ((one, other), (other, one)):
        missing = [name for name in have.splits if name not in set(lack.splits)]
        if missing:
            return f"{lack.path} has no split {', '.join(missing)}"
    entries = [{str(e["seed"]): e for e in run.results.get("splits", ())} for run in (one, other)]
    for name in entries[0].keys() & entries[1].keys():
        ours, theirs = entries[0][name], entries[1][name]
        if ours["hash"] != theirs["hash"]:
            return f"split {name}: {_speaker_difference(ours['speakers'], theirs['speakers'])}"
    return None


def _speaker_difference(ours: dict[str, list[str]], theirs: dict[str, list[str]]) -> str:
    sides = (
        f"{side} speaker{'s' * (len(apart) > 1)} {', '.join(sorted(apart)[:6])} in one only"
        for side in ours
        if (apart := set(ours[side]) ^ set(theirs[side]))
    )
    return "; ".join(sides)


def _rows_differ(one: Run, other: Run) -> str | None:
    columns = ["split", "clip", "speaker_id", "label"]
    tables = [run.predictions[columns] for run in (one, other)]
    both = tables[0].merge(tables[1], how="outer", on=["split", "clip"], indicator=True)
    apart = both.query('_merge != "both"').to_dict("records")
    if apart:
        split, clip = apart[0]["split"], apart[0]["clip"]
        return f"split {split}: clip {clip} is tested in one only ({len(apart)} clips in all)"
    for column, noun, said in (
        ("speaker_id", "speaker", "is spoken by"),
        ("label", "label", "is labelled"),
    ):
        wrong = both.query(f"{column}_x != {column}_y").to_dict("records")
        if wrong:
            first = wrong[0]
            return (
                f"split {first['split']}: clip {first['clip']} {said} {first[f'{column}_x']} "
                f"against {first[f'{column}_y']} ({len(wrong)} {noun}s differ)"
            )
    return None


def _as(names: Iterable[str]) -> dict[Hashable, Callable[[str], str]]:
    return dict.fromkeys(names, str)


def _read_results(path: Path) -> dict[str, Any]:
    file = path / "results.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file} does not exist: the run in {path} is not finished")
    return json.loads(file.read_text())


def _check_columns(predictions: pd.DataFrame, file: Path) -> None:
    missing = [column for column in FOREIGN if column not in predictions]
    if missing:
        raise ValueError(
            f"{file} has no column {', '.join(missing)}; needed: {', '.join(FOREIGN)} "
            "(speaker_id and p_<class> if known)"
        )
    if (predictions[list(FOREIGN)] == "").to_numpy().any():
        raise ValueError(f"{file} has empty cells in {', '.join(FOREIGN)}")
    twice = predictions[predictions.duplicated(["split", "clip"])]
    if len(twice):
        row = twice.iloc[0]
        raise ValueError(f"{file}: clip {row['clip']} stands twice in split {row['split']}")


def _with_speakers(run: Run, known: dict[str, str]) -> Run:
    """Speakers of a foreign file, taken from the runs beside it; else each clip is its own."""
    if "speaker_id" in run.predictions:
        return run
    speakers = [known.get(clip, clip) for clip in run.predictions["clip"]]
    table = run.predictions.assign(speaker_id=speakers)
    return replace(run, predictions=table)


def _same_classes(run: Run, runs: Sequence[Run]) -> Run:
    """All runs count the same classes in the same order: the first run's that knows them."""
    classes = next((other.classes for other in runs if other.results), runs[0].classes)
    said = {*run.predictions["label"], *run.predictions["prediction"]}
    strange = sorted(said - set(classes))
    if strange:
        raise ValueError(
            f"{run.path} has the class {', '.join(strange)}, which is none of {', '.join(classes)}"
        )
    return replace(run, classes=classes)
