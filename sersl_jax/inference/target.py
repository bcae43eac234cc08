"""What a trained run is tested on: another corpus, opened, guarded and matched with its classes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from sersl_jax import corpora, datasets, files
from sersl_jax.config.target import EMOTION, LabelConfig
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.evaluation import label_rule, matching, votes
from sersl_jax.evaluation.matching import Matched
from sersl_jax.evaluation.results import OWN_LABEL
from sersl_jax.inference import learnt
from sersl_jax.inference.ensemble import Ensemble
from sersl_jax.inference.load import load
from sersl_jax.tasks import AnyTask, Attribute
from sersl_jax.training import testing
from sersl_jax.training.inputs import open_dataset
from sersl_jax.training.targets import Targets, create_targets, known_tasks

DEFAULT = "default"  # names the model in the package


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
      one_of_many: `renamed` is for several corpora or runs: what this pair lacks is passed over.
    """

    dataset: str
    source: str | None = None
    data_dir: str | None = None
    trained_data_dir: str | None = None
    renamed: Mapping[str, str] = field(default_factory=dict)
    only_shared: bool = False
    one_of_many: bool = False

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
        return files.read_json(path) if path and path.is_file() else {}

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


@dataclass(frozen=True)
class Test:
    """What is tested: the target's dataset and those of its clips that count, with their labels.

    Attributes:
      tasks: with the classes and scales of the target.
      matched: without classes where attributes alone are tested.
      trained: the run's training data, where they are found.
      notes: what was left out.
    """

    model: Model
    dataset: Dataset
    clips: pd.DataFrame
    tasks: tuple[AnyTask, ...]
    label_rule: dict[str, Any]
    matched: Matched
    trained: Dataset | None
    notes: list[str]

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes that are tested."""
        return tuple(task for task in self.tasks if isinstance(task, Attribute))


def open_test(model: Model, target: Target) -> Test:
    """Opens the target and refuses what must not, or cannot, be tested.

    Raises LeakError, ValueError or FileNotFoundError, see `cross_corpus.evaluate`.
    """
    known = learnt.of(model.ensemble.info, model.origin)
    known.check_name(target.dataset)
    target.check()
    targets = _read(model, target)
    dataset = targets.dataset
    clips = testing.clip_table(dataset, targets.truth, targets.labelled)
    trained = _find_trained(model, target)
    known.check(dataset, clips, trained)
    matched = matching.NOTHING
    if EMOTION in dataset.labels:
        clips, matched = _match(model.ensemble, dataset, clips, target)
    elif target.renamed and not target.one_of_many:
        raise ValueError(f"--map names classes: {model.origin} is tested on attributes alone")
    notes = matched.describe(dataset.name) + _scales(model.ensemble, targets)
    notes += _left_out(model, known, trained, target)
    return Test(model, dataset, clips, targets.tasks, targets.rule, matched, trained, notes)


def _read(model: Model, target: Target) -> Targets:
    """What the run has learnt and the target's dataset knows, with the dataset's labels.

    The label rule is the run's where there are such votes, else the corpus's own label.
    """
    ensemble = model.ensemble
    config = ensemble.config
    config = replace(config, data=replace(config.data, data_dir=target.data_dir or ""))
    stage = replace(config.finetune, dataset=target.dataset, source=target.source or "")
    dataset = open_dataset(config, stage)
    _check_features(dataset, ensemble)
    source = stage.label.source
    fits = source == "intended" or label_rule.has(dataset.votes, source)
    known = known_tasks(dataset)
    tasks = {name: weight for name, weight in stage.tasks.items() if name in known}
    if not tasks:
        raise ValueError(
            f"{model.origin} has learnt {', '.join(stage.tasks)}: {dataset.name} knows "
            f"{', '.join(known) or 'nothing of a clip'}"
        )
    label = stage.label if fits else LabelConfig()
    stage = replace(
        stage, tasks=tasks, helpers={}, label=label, select="loss", class_weights="none"
    )
    targets = create_targets(dataset, stage)
    if not targets.labelled.any():
        raise ValueError(f"dataset {dataset.name} has no clip with a label of {', '.join(tasks)}")
    return targets


def _scales(ensemble: Ensemble, targets: Targets) -> list[str]:
    """A sentence for each attribute that has another scale, or is not there."""
    said, dataset = [], targets.dataset.name
    form = "{}: {:g} to {:g} are mapped linearly onto {:g} to {:g}, the scale of {}"
    for task in targets.tasks:
        if isinstance(task, Attribute) and ensemble.attributes[task.name] != (task.low, task.high):
            ends = *ensemble.attributes[task.name], task.low, task.high
            said.append(form.format(task.name, *ends, dataset))
    tested = {task.name for task in targets.tasks}
    absent = [name for name in ensemble.config.finetune.tasks if name not in tested]
    return said + [f"left out: {', '.join(absent)}, which {dataset} does not have"] * bool(absent)


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
    theirs, ours = dataset.label_names[EMOTION], ensemble.labels
    renamed = target.renamed
    if target.one_of_many:
        renamed = {one: other for one, other in renamed.items() if one in theirs and other in ours}
    matched = matching.match(theirs, ours, renamed, target.only_shared, {*clips["label"]})
    labels = [matched.names.get(label) for label in clips["label"]]
    kept = clips.assign(**{"label": labels, OWN_LABEL: clips["label"]}).dropna(subset=["label"])
    kept = kept.reset_index(drop=True)
    if matched.classes != theirs:  # votes are for classes by their names there
        kept = kept.drop(columns=[c for c in votes.COLUMNS if c in kept])
    if not matched.stamp()["map"]:
        kept = kept.drop(columns=OWN_LABEL)
    return kept, matched


def _left_out(
    model: Model, known: learnt.Learnt, trained: Dataset | None, target: Target
) -> list[str]:
    """What could not be done, a sentence each."""
    notes = [
        f"{model.origin} was fine-tuned from {gone}, which is not there: nobody can tell whether "
        "that has learnt from these speakers"
        for gone in known.lineage.gone
    ]
    if trained is None:
        where = target.trained_data_dir or target.data_dir or datasets.default_data_dir()
        notes.append(
            "left out: the reference lines, and the search for byte-identical clips: "
            f"{model.trained_on} as this run learnt it is not in {where} (--trained_data_dir=DIR "
            "says where it is)"
        )
    elif trained.input_name != "llds":
        notes.append("left out: the reference lines, as this run takes waveforms")
    return notes
