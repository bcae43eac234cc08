"""Emotion recognition: the protocol's splits trained in groups, tested and scored (Sec. 4.3, 5)."""

import dataclasses
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from jaxtyping import Int

from sersl_jax import datasets, files, sharding
from sersl_jax.config import Config
from sersl_jax.config.target import EMOTION
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.evaluation import baselines, protocol, results
from sersl_jax.evaluation.splits import Split
from sersl_jax.models.build import create_network
from sersl_jax.reports import run as report
from sersl_jax.reports import text
from sersl_jax.tasks import AnyTask
from sersl_jax.training import testing
from sersl_jax.training.class_weights import class_weights
from sersl_jax.training.init_from import Start, read_start
from sersl_jax.training.input_pipeline import Resident, Storage
from sersl_jax.training.inputs import create_inputs, describe, open_dataset
from sersl_jax.training.loop import fit, memory_advice
from sersl_jax.training.normaliser import (
    SpeakerStatistics,
    scope_notes,
    speaker_statistics,
    stack,
)
from sersl_jax.training.objectives import Multitask
from sersl_jax.training.program import Program
from sersl_jax.training.targets import create_targets, describe_reported
from sersl_jax.training.testing import Group
from sersl_jax.training.trainer import Training, fresh_params


def finetune(
    config: Config, workdir: Path, directory: Path, method: str, start_time: float
) -> None:
    """Trains, tests and scores every split; results go to `directory`.

    Results are written after each group of splits. A group that is done is not done again, however
    many splits are asked for.
    """
    if results.are_complete(directory, config.finetune.num_splits):
        if _has_other_data(config, directory):
            open_recognition(config, directory)  # refuses another corpus
        if jax.process_index() == 0:
            report.refresh(directory)
        print(text.table(files.read_json(directory / "results.json")))
        return
    recognition = open_recognition(config, directory)
    start = read_start(config, workdir, method)
    warnings = recognition.check(start)
    if recognition.dataset.input_name == "llds":
        warnings += scope_notes(config.data.normalise)
    program = None
    for number, group in enumerate(recognition.groups, start=1):
        if not group.done:
            program = recognition.train(group, start, program)
        recognition.add_lines(group)
        if jax.process_index() == 0 and (not group.done or number == len(recognition.groups)):
            recognition.write(number, method, warnings, start_time)
    sharding.wait_for_all()  # the first one scores, maybe for longer than JAX waits at the end


def _has_other_data(config: Config, directory: Path) -> bool:
    """Whether there is a dataset elsewhere than where the results in `directory` have theirs."""
    saved = files.read_json(directory / "results.json")["config"]
    source, data_dir = config.finetune.source, config.data.data_dir
    if (source, data_dir) == (saved["finetune"].get("source", ""), saved["data"]["data_dir"]):
        return False
    return bool(source or datasets.find(config.finetune.dataset, data_dir or None))


@dataclass(frozen=True)
class Recognition:
    """Emotion recognition on one dataset.

    Attributes:
      dataset: with the targets of the label rule.
      clips: a row for every clip with a label, see `testing.clip_table`.
      tasks: what is learnt, the reported one first.
      label_rule: as results are stamped with it.
      groups: the splits that are trained together, and where.
    """

    config: Config
    directory: Path
    dataset: Dataset
    clips: pd.DataFrame
    tasks: tuple[AnyTask, ...]
    label_rule: dict[str, Any]
    groups: Sequence[Group]

    @property
    def splits(self) -> list[Split]:
        """All groups' splits, in order."""
        return [split for group in self.groups for split in group.splits]

    @cached_property
    def statistics(self) -> SpeakerStatistics:
        """For the normalisers."""
        return speaker_statistics(self.dataset)

    @cached_property
    def inputs(self) -> tuple[Storage, Resident | None]:
        """How inputs are kept."""
        return create_inputs(self.config, self.dataset, self.statistics)

    @cached_property
    def functionals(self) -> np.ndarray | None:
        """The reference lines' features of all clips, in the run's scope; None without LLDs."""
        if self.dataset.input_name != "llds":
            return None
        storage, _ = self.inputs
        clips = ((i, self.dataset.read(i)) for i in self.clips["example"])
        return np.stack([baselines.functionals(storage.whiten(i, x)) for i, x in clips])

    def check(self, start: Start | None) -> list[str]:
        """The leaks that the user allowed; raises `protocol.LeakError` for those he did not."""
        allowed = self.config.finetune.allow_speaker_overlap
        speakers, clips = list(self.clips["speaker_id"]), list(self.clips["clip"])
        hashes = list(self.clips["sha256"])
        leaks = [protocol.check(s, speakers, hashes, clips, allowed) for s in self.splits]
        found = [leak for of_split in leaks for leak in of_split]
        if start is not None:
            tested = [testing.examples_of(self.clips, s, "test") for s in self.splits]
            found += start.check(self.dataset, np.concatenate(tested), allowed)
        return found

    def train(self, group: Group, start: Start | None, program: Program | None) -> Program:
        """Trains and tests a group; `program` is that of the group before."""
        training = self._training(group.splits)
        if start is not None:
            fresh = fresh_params(training, self.config)
            numbers = [
                self.splits.index(split)
                for split in group.splits
                for _ in range(self.config.finetune.seeds)
            ]
            training = replace(training, initial=start.with_fresh_heads(fresh, numbers))
        trainer, best = fit(training, self.config, group.directory, self.directory, program)
        with memory_advice(training, self.config, group.directory):
            predictions, temperatures = testing.test(trainer, best.params, self.clips, group.splits)
        if jax.process_index() == 0:
            group.write(predictions, temperatures)
        return trainer.program

    def add_lines(self, group: Group) -> None:
        """Adds the reference lines and checksums that a group, maybe of an older run, lacks."""
        if jax.process_index():
            return
        tasks = self.config.finetune.tasks
        wanted = EMOTION in tasks, [name for name in tasks if name != EMOTION]
        there = group.has_lines(baselines.line_names(*wanted))
        if not there and self.functionals is not None:
            columns = self.clips.drop(columns=["example", "sha256"])
            group.write_lines(baselines.lines(self.functionals, columns, group.splits, *wanted))
        group.add_checksums()

    def write(self, number: int, method: str, warnings: Sequence[str], start_time: float) -> None:
        """Writes and prints the results of the first `number` groups."""
        groups, reported = self.groups[:number], self.config.finetune.tasks
        classes, attributes = describe_reported(t for t in self.tasks if t.name in reported)
        written = results.write(
            self.directory,
            pd.concat([group.read() for group in groups], ignore_index=True),
            [split for group in groups for split in group.splits],
            {**dataclasses.asdict(self.config), "name": method},
            self.config.finetune.protocol,
            self.label_rule,
            {**testing.environment(), "seconds_since_last_start": round(time.time() - start_time)},
            corpus=self.clips,
            classes=classes,
            attributes=attributes,
            warnings=warnings,
            base_config=dataclasses.asdict(Config()),
            baselines=testing.read_baselines(groups),
            num_splits=len(self.splits),
        )
        report.write(self.directory)
        print(text.table(written))

    def _training(self, splits: Sequence[Split]) -> Training:
        """A member a split and seed, with its own training speakers, normaliser and randomness."""
        config, stage = self.config, self.config.finetune
        members = [split for split in splits for _ in range(stage.seeds)]
        train = [testing.examples_of(self.clips, split, "train") for split in members]
        validation = [testing.examples_of(self.clips, split, "validation") for split in members]
        people = [
            {"train": self._speakers(t), "validation": self._speakers(v)}
            for t, v in zip(train, validation, strict=True)
        ]
        normalisers = [self.statistics.member(config.data.normalise, p["train"]) for p in people]
        network = create_network(config.model, self.tasks, config.dtype, stage.freeze)
        names, weights = testing.member_names(splits, stage.seeds), stage.tasks | stage.helpers
        return Training(
            stage="finetune",
            names=names,
            objective=Multitask(
                network, self.tasks, stage.label_smoothing, frozenset(stage.helpers)
            ),
            dataset=self.dataset,
            inputs=self.inputs,
            train=train,
            validation=validation,
            normalisers=stack(normalisers),
            weights={
                **{t.name: np.full(len(names), weights[t.name], np.float32) for t in self.tasks},
                **self._class_weights(train),
            },
            seeds=[zlib.crc32(name.encode()) for name in names],
            select=stage.select,
            frozen=stage.freeze,
            info={
                **describe(config, self.dataset, self.tasks, people),
                "clips": self._clip_ids(np.concatenate([*train, *validation])),
            },
        )

    def _class_weights(self, train: Sequence[Int[np.ndarray, " _"]]) -> dict[str, np.ndarray]:
        """Each member's, from its training clips; none where classes weigh the same."""
        kind, number = self.config.finetune.class_weights, len(self.dataset.label_names[EMOTION])
        if kind == "none":
            return {}
        labels = self.dataset.labels[EMOTION]
        weights = [class_weights(labels[examples], number, kind) for examples in train]
        return {f"classes_{EMOTION}": np.stack(weights)}

    def _clip_ids(self, examples: Int[np.ndarray, " _"]) -> list[str]:
        return sorted(set(self.dataset.examples["clip"].iloc[examples]))

    def _speakers(self, examples: Int[np.ndarray, " _"]) -> list[str]:
        return sorted(set(self.dataset.speaker_ids[examples]))


def open_recognition(config: Config, directory: Path) -> Recognition:
    """Opens the dataset and plans which splits are trained together.

    Groups that were begun, maybe on another machine, stay as they are. Raises ValueError where
    results are there of other speakers or clips, and where there is nothing to tell apart.
    """
    stage = config.finetune
    targets = create_targets(open_dataset(config, stage), stage)
    dataset = targets.dataset
    classes = dataset.label_names.get(EMOTION, ())
    if EMOTION in stage.tasks and len(classes) < 2:
        raise ValueError(
            f"dataset {dataset.name} has only the class {', '.join(classes) or 'none'}"
        )
    clips = testing.clip_table(dataset, targets.truth, targets.labelled)
    begun = testing.begun_groups(directory / "finetune", stage.num_splits)
    number = max([stage.num_splits, *(last + 1 for _, last in begun)])
    speakers = list(clips["speaker_id"])
    splits = protocol.create_splits(stage.protocol, speakers, number, config.seed, clips=clips)
    size = testing.splits_at_once(config, dataset)
    groups = testing.plan_groups(splits, begun, size, directory / "finetune")
    results.check_same_corpus(directory, [s for g in groups for s in g.splits], clips)
    sharding.wait_for_all()  # all processes have seen the same groups done
    return Recognition(config, directory, dataset, clips, targets.tasks, targets.rule, groups)
