"""A trained run tested on a corpus that it was not trained on; the files are those of a run."""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from sersl_jax import corpora, datasets
from sersl_jax.config import Config, LabelConfig
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.evaluation import baselines, matching, results
from sersl_jax.evaluation.matching import Matched
from sersl_jax.evaluation.splits import Split
from sersl_jax.inference import learnt, members
from sersl_jax.inference.ensemble import Ensemble
from sersl_jax.inference.load import load
from sersl_jax.reports import run as report
from sersl_jax.training import testing
from sersl_jax.training.inputs import open_dataset
from sersl_jax.training.normaliser import scope_notes
from sersl_jax.training.targets import apply_label_rule

DEFAULT = "default"  # names the model in the package
PROTOCOL = "cross-corpus"


@dataclass(frozen=True)
class Target:
    """A corpus to test on.

    Attributes:
      dataset: such as `speech/emodb`.
      source: the raw corpus, which is prepared first; None: it is prepared already.
      data_dir: where prepared datasets are; None: the default folder.
      trained_data_dir: where the run's training data are; None: there, or where the run had them.
      renamed: {class there: class of the run} where names differ.
      only_shared: leave out classes that only one side knows; else they count as errors.
    """

    dataset: str
    source: str | None = None
    data_dir: str | None = None
    trained_data_dir: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    only_shared: bool = False

    def check(self) -> None:
        """Raises ValueError or FileNotFoundError for a dataset that cannot be tested on."""
        kind, corpus = datasets.parse_name(self.dataset)
        if kind != "speech":
            raise ValueError(f"dataset {self.dataset} has no emotions: name one of speech/")
        corpora.get(corpus)
        if not self.source and corpus != "synthetic":
            datasets.folder(self.dataset, self.data_dir)


@dataclass(frozen=True)
class Model:
    """A trained run and its directory, which is None for the model in the package."""

    ensemble: Ensemble
    directory: Path | None

    @property
    def origin(self) -> str:
        """For messages."""
        return str(self.directory or "the model in the package")

    @cached_property
    def own_results(self) -> dict[str, Any]:
        """`results.json` of its training; empty where there is none."""
        path = self.directory and self.directory / "results.json"
        return json.loads(path.read_text()) if path and path.is_file() else {}

    @property
    def name(self) -> str:
        """Its method."""
        return str(self.own_results.get("config", {}).get("name") or self.ensemble.config.name)

    @property
    def trained_on(self) -> str:
        """The dataset's name."""
        return self.ensemble.info["dataset"]["name"]


def read_model(checkpoint: str | None) -> Model:
    """The run in this directory; None or "default": the model in the package."""
    directory = Path(checkpoint) if checkpoint and checkpoint != DEFAULT else None
    return Model(load(directory).ensemble, directory)


def evaluate(model: Model, target: Target, out: Path) -> dict[str, Any]:
    """Tests every member on every clip of `target`, writes the files to `out`, returns the results.

    Raises:
        LeakError: the run has learnt the emotions of these speakers, or from these clips.
        ValueError: classes that are unknown or not shared, or features unlike the run's.
        FileNotFoundError: the dataset is not prepared.
    """
    start_time = time.time()
    if (out / "config.json").exists():
        raise ValueError(f"{out} holds a run, whose files would be replaced: take another --out")
    known = learnt.of(model.ensemble.info, model.origin)
    known.check_name(target.dataset)
    target.check()
    dataset, clips, rule = _open(model.ensemble, target)
    trained = _find_trained(model, target)
    known.check(dataset, clips, trained)
    clips, matched = _match(model.ensemble, dataset, clips, target)
    predictions = _predict(model.ensemble, dataset, clips, matched)
    lines = {"majority": baselines.majority(predictions, {})}
    if trained is not None and dataset.input_name == "llds":
        lines |= members.svm_lines(model.ensemble, trained, dataset, clips, matched)
    notes = matched.describe(dataset.name) + _left_out(model, known, trained, target)
    written = results.write(
        out,
        predictions,
        [_split(name, clips) for name in model.ensemble.names],
        {**asdict(model.ensemble.config), "name": model.name},
        PROTOCOL,
        rule,
        testing.environment() | {"seconds": round(time.time() - start_time)},
        corpus=clips,
        classes=matched.classes,
        warnings=scope_notes(model.ensemble.scope),
        base_config=asdict(Config()),
        baselines=lines,
        evaluated={
            "checkpoint": model.origin,
            "trained_on": model.trained_on,
            "dataset": dataset.name,
            **matched.stamp(),
            "notes": notes,
        },
    )
    report.write(out)
    return written


def _open(ensemble: Ensemble, target: Target) -> tuple[Dataset, pd.DataFrame, dict[str, Any]]:
    """The target's dataset, its clips with a label, and the label rule.

    The rule is the run's where there are votes, else the corpus's own label.
    """
    config = ensemble.config
    config = replace(config, data=replace(config.data, data_dir=target.data_dir or ""))
    stage = replace(config.finetune, dataset=target.dataset, source=target.source or "")
    dataset = open_dataset(config, stage)
    _check_features(dataset, ensemble)
    has_votes = dataset.votes is not None and dataset.votes.any()
    dataset, truth, rule = apply_label_rule(dataset, stage.label if has_votes else LabelConfig())
    if not (truth >= 0).any():
        raise ValueError(f"dataset {dataset.name} has no clip with an emotion")
    return dataset, testing.clip_table(dataset, truth), rule


def _check_features(dataset: Dataset, ensemble: Ensemble) -> None:
    """Refuses features that were measured otherwise than those of the run's training data."""
    there = dataset.metadata.get("measure_version")
    here = ensemble.info["dataset"].get("measure_version", there)
    if there != here:
        raise ValueError(
            f"dataset {dataset.name} was measured by version {there} of the features, the run's "
            f"training data by version {here}: prepare it again, or train again"
        )


def _find_trained(model: Model, target: Target) -> Dataset | None:
    """The run's training data, to look for twins and to train the SVM; None: not found."""
    folders = [target.trained_data_dir]
    if target.trained_data_dir is None:
        folders = [target.data_dir, model.ensemble.config.data.data_dir or None]
    return learnt.find_trained(model.ensemble.info, model.ensemble.input_name, folders)


def _match(
    ensemble: Ensemble, dataset: Dataset, clips: pd.DataFrame, target: Target
) -> tuple[pd.DataFrame, Matched]:
    """The clips that are tested, labelled with the run's names, and how classes were matched.

    A label that had another name there is kept as `own_label`.
    """
    theirs = dataset.label_names["emotion"]
    matched = matching.match(
        theirs, ensemble.labels, target.renamed, target.only_shared, {*clips["label"]}
    )
    labels = [matched.names.get(label) for label in clips["label"]]
    kept = clips.assign(label=labels, own_label=clips["label"]).dropna(subset=["label"])
    kept = kept.reset_index(drop=True)
    if matched.classes != theirs:  # votes are for classes by their names there
        kept = kept.drop(columns=[c for c in baselines.VOTE_COLUMNS if c in kept])
    if not matched.stamp()["map"]:
        kept = kept.drop(columns="own_label")
    return kept, matched


def _split(name: str, clips: pd.DataFrame) -> Split:
    """A member tests all speakers; whom it was trained on is another corpus's affair."""
    return Split(name, (), (), tuple(sorted({*clips["speaker_id"]})))


def _predict(
    ensemble: Ensemble, dataset: Dataset, clips: pd.DataFrame, matched: Matched
) -> pd.DataFrame:
    """Rows of `predictions.csv`: every member on every clip."""
    examples = clips["example"].to_numpy()
    every: Float[np.ndarray, "members clips classes"]
    every = members.probabilities(ensemble, dataset, examples)
    p, names = matched.restrict(every, ensemble.labels)
    rows = [
        testing.prediction_rows(_split(member, clips), clips, examples, of_member, names)
        for member, of_member in zip(ensemble.names, p, strict=True)
    ]
    return pd.concat(rows, ignore_index=True)


def _left_out(
    model: Model, known: learnt.Learnt, trained: Dataset | None, target: Target
) -> list[str]:
    """What could not be done, a sentence each."""
    notes = [
        f"{model.origin} was fine-tuned from {gone}, which is not there: nobody can tell whether "
        "that has learnt from these speakers"
        for gone in known.unknown
    ]
    if trained is None:
        where = target.trained_data_dir or target.data_dir or datasets.default_data_dir()
        notes.append(
            f"left out: the SVM, and the search for byte-identical clips: {model.trained_on} as "
            f"this run learnt it is not in {where} (--trained_data_dir=DIR says where it is)"
        )
    elif trained.input_name != "llds":
        notes.append("left out: the SVM, as this run takes waveforms")
    return notes
