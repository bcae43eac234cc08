"""`predictions.csv` and `results.json`: what a run writes after each group of splits."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sersl_jax import checksums, files
from sersl_jax.evaluation import attributes as attribute_scores
from sersl_jax.evaluation import metrics, votes
from sersl_jax.evaluation.splits import SIDES, Split

COLUMNS = ("split", "clip", "speaker_id", "label", "prediction")
OWN_LABEL = "own_label"  # with `evaluate`: a label's name in the corpus, where it had another one
PREDICTIONS_HASH = "predictions_sha256"
LINES = {  # the SVMs on functionals of the same features: see baselines.SVMS
    "svm": "SVM, balanced",
    "svm_unweighted": "SVM, unweighted",
    "crowd": "Crowd that only heard it",
    "majority": "Majority class",
}


def write(
    workdir: str | Path,
    predictions: pd.DataFrame,
    splits: Sequence[Split],
    config: Mapping[str, Any],
    protocol: str,
    label_rule: Mapping[str, Any],
    environment: Mapping[str, Any],
    *,
    corpus: pd.DataFrame | None = None,
    classes: Sequence[str] | None = None,
    warnings: Sequence[str] = (),
    baselines: Mapping[str, pd.DataFrame] | None = None,
    base_config: Mapping[str, Any] | None = None,
    num_splits: int | None = None,
    evaluated: Mapping[str, Any] | None = None,
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Scores every split and writes both files to `workdir`, `results.json` last, each in one step.

    Args:
        predictions: one row per split and test clip: `COLUMNS` (the last two where there are
            classes), `p_<class>` in class order, `predicted_<attribute>`, then any others.
        splits: what was trained; a row's `split` is its split's seed.
        config, protocol, label_rule: what the run was told; `LabelRule.stamp()`.
        environment: versions, device, seconds since the last start (a resumed run had others).
        corpus: `clip`, `speaker_id`, `label` of all labelled clips, to count and check them.
        classes: class names, where there are no `p_<class>` columns; empty: attributes alone.
        warnings: stamped on every output of the run (speaker overlap).
        baselines: predictions of reference lines on the same splits (`svm`).
        base_config: what the report compares the config with.
        num_splits: how many are planned, where `splits` are those of a run in progress.
        evaluated, attributes: stamps of a test on another corpus, and of the attributes learnt.

    Returns what `results.json` holds.
    """
    results = {
        "config": dict(config),
        "config_diff": {} if base_config is None else difference(base_config, config),
        "protocol": protocol,
        "num_splits": num_splits or len(splits),
        "label_rule": dict(label_rule),
        **_scores(
            predictions, splits, classes, corpus, baselines or {}, label_rule, evaluated, attributes
        ),
        "environment": dict(environment),
        "warnings": list(warnings),
    }
    return _write_files(Path(workdir), predictions, results)


def _scores(
    predictions: pd.DataFrame,
    splits: Sequence[Split],
    classes: Sequence[str] | None,
    corpus: pd.DataFrame | None,
    baselines: Mapping[str, pd.DataFrame],
    label_rule: Mapping[str, Any],
    evaluated: Mapping[str, Any] | None,
    attributes: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The part of `results.json` that predictions give, stamped with what was predicted."""
    names = class_names(predictions, classes)
    _check_rows(predictions, splits, names, corpus)
    answers = list(evaluated["answers"]) if evaluated else names
    tables = confusions(predictions, names, answers) if names else {}
    entries = [_split_entry(s, tables.get(str(s.seed)), names, corpus) for s in splits]
    shares = votes.metrics_of(predictions, label_rule, names, [*tables])
    for entry, found in zip(entries, shares, strict=False):  # none without classes
        entry["metrics"] |= found
    if attributes:
        attribute_scores.add(entries, predictions)
    stamps = {"attributes": attributes, "evaluated": evaluated}
    return {
        "classes": names,
        "splits": entries,
        **summary([entry["metrics"] for entry in entries]),
        "baselines": {name: score(rows, names, answers) for name, rows in baselines.items()},
        **{name: dict(stamp) for name, stamp in stamps.items() if stamp},
    }


def _write_files(
    workdir: Path, predictions: pd.DataFrame, results: dict[str, Any]
) -> dict[str, Any]:
    """Returns what was written, with the checksum of predictions.csv."""
    workdir.mkdir(parents=True, exist_ok=True)
    files.write_atomically(
        workdir / "predictions.csv",
        lambda path: predictions.to_csv(path, index=False, float_format="%.7g"),
    )
    results = {**results, PREDICTIONS_HASH: checksums.digest(workdir / "predictions.csv")}
    text = json.dumps(results, indent=1, default=str, allow_nan=False) + "\n"
    files.write_text(workdir / "results.json", text)
    return results


def are_complete(workdir: str | Path, num_splits: int) -> bool:
    """Whether `workdir` holds results of as many splits as asked for, or as the protocol has."""
    path = Path(workdir, "results.json")
    if not path.exists():
        return False
    saved = files.read_json(path)
    found, asked = len(saved["splits"]), saved["config"]["finetune"]["num_splits"]
    return found >= num_splits or (found == saved["num_splits"] and asked >= num_splits)


def check_same_corpus(workdir: Path, splits: Sequence[Split], corpus: pd.DataFrame) -> None:
    """Raises ValueError where results in `workdir` are of other speakers, clips or classes.

    Splits are matched by their seeds; `corpus` is as in `write`.
    """
    path = workdir / "results.json"
    saved = files.read_json(path) if path.exists() else {"splits": ()}
    here = {str(split.seed): split for split in splits}
    for entry in saved["splits"]:
        split = here.get(str(entry["seed"]))
        if split is None:
            continue
        counts = _count(split, saved["classes"], corpus)
        if entry["hash"] != split.hash or entry.get("num_clips", counts) != counts:
            raise ValueError(
                f"{workdir} holds results of another corpus (split {split.seed} has other speakers "
                "or numbers of clips there): take another --workdir"
            )


def class_names(predictions: pd.DataFrame, classes: Sequence[str] | None = None) -> list[str]:
    """Class names in order: as given, else the `p_<class>` columns, else those that occur."""
    if classes is not None:
        return list(classes)
    if "label" not in predictions:
        return []
    columns = [c.removeprefix("p_") for c in predictions.columns if c.startswith("p_")]
    return columns or sorted({*predictions["label"], *predictions["prediction"]})


def confusions(
    predictions: pd.DataFrame, classes: Sequence[str], answers: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Confusion matrix of every split, by the split's name; `answers` are the columns."""
    columns = answers or classes
    return {
        str(split): metrics.confusion_matrix(
            as_index(rows["label"], classes),
            as_index(rows["prediction"], columns),
            len(classes),
            len(columns),
        )
        for split, rows in predictions.groupby("split", sort=False)
    }


def as_index(names: Iterable[str], classes: Sequence[str]) -> np.ndarray:
    """Class names to class numbers. Raises ValueError for a name that is no class."""
    names = list(names)
    strange = sorted(set(map(str, names)) - set(classes))
    if strange:
        raise ValueError(f"{', '.join(strange)}: none of the classes {', '.join(classes)}")
    return np.asarray(pd.Categorical(names, categories=list(classes)).codes, np.int64)


def score(
    predictions: pd.DataFrame, classes: Sequence[str], answers: Sequence[str] | None = None
) -> dict[str, Any]:
    """Mean and sd over the splits, and the splits' own metrics; of classes the confusions too."""
    if "prediction" in predictions:
        tables = confusions(predictions, classes, answers)
        entries = [_scored(table) for table in tables.values()]
    else:
        entries = attribute_scores.entries(predictions)
    return {"splits": entries, **summary([entry["metrics"] for entry in entries])}


def summary(rows: Sequence[Mapping[str, float]]) -> dict[str, dict[str, float | None]]:
    """Mean and sample standard deviation over splits; the sd of one split is null."""
    values = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {
        "mean": {name: float(value.mean()) for name, value in values.items()},
        "sd": {
            name: float(value.std(ddof=1)) if len(rows) > 1 else None
            for name, value in values.items()
        },
    }


def difference(base: Mapping[str, Any], config: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Fields that are not the base's: {"finetune.epochs": [5, 20]}; null where one has none."""
    changed = {}
    for key in [*base, *(key for key in config if key not in base)]:
        old, new = base.get(key), config.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            changed |= difference(old, new, f"{at}{key}.")
        elif old != new:
            changed[f"{at}{key}"] = [old, new]
    return changed


def _scored(confusion: np.ndarray) -> dict[str, Any]:
    values = {key: float(value) for key, value in metrics.scores(confusion).items()}
    return {"metrics": values, "confusion": confusion.tolist()}


def _split_entry(split: Split, confusion, classes, corpus: pd.DataFrame | None) -> dict[str, Any]:
    counts = {}
    if corpus is not None and split.train:  # a test on another corpus has no training side
        counts = {"num_clips": _count(split, classes, corpus)}
    speakers = {"seed": split.seed, "speakers": split.speakers, "hash": split.hash}
    return {**speakers, **counts, **({"metrics": {}} if confusion is None else _scored(confusion))}


def _count(split: Split, classes: Sequence[str], corpus: pd.DataFrame) -> dict[str, dict]:
    """Number of clips of each class on each side; without classes, of all."""
    counts = {}
    for side in SIDES:
        chosen = split.indices(side, list(corpus["speaker_id"]), list(corpus["clip"]))
        found = corpus["label"].iloc[chosen].value_counts()
        counts[side] = {name: int(found.get(name, 0)) for name in classes or [""]}
    return counts


def _check_rows(
    predictions: pd.DataFrame, splits: Sequence[Split], classes, corpus: pd.DataFrame | None
) -> None:
    """Each test clip of each split once, and nothing else."""
    needed = COLUMNS if classes else COLUMNS[:3]
    missing = [column for column in needed if column not in predictions.columns]
    if missing:
        raise ValueError(f"predictions lack the column(s) {', '.join(missing)}")
    if predictions.duplicated(["split", "clip"]).any():
        twice = predictions[predictions.duplicated(["split", "clip"])].iloc[0]
        raise ValueError(f"split {twice['split']}: clip {twice['clip']} was scored twice")
    by_split = {str(name): rows for name, rows in predictions.groupby("split")}
    if set(by_split) != {str(split.seed) for split in splits}:
        raise ValueError(
            f"predictions are of splits {sorted(by_split)}, not {[s.seed for s in splits]}"
        )
    if corpus is None:
        return
    for split in splits:
        tested = split.indices("test", list(corpus["speaker_id"]), list(corpus["clip"]))
        wrong = set(corpus["clip"].iloc[tested]) ^ set(by_split[str(split.seed)]["clip"])
        if wrong:
            raise ValueError(
                f"split {split.seed}: {len(wrong)} clips, {min(wrong)} among them, are on the test "
                "side but not scored, or scored but not on the test side"
            )
