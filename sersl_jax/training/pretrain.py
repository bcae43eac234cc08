"""Pre-training on pretext tasks, or on wav2vec 2.0's contrastive one (Sec. 4.3)."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int

from sersl_jax.config import Config, PretrainConfig
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.evaluation import protocol
from sersl_jax.models.build import create_network
from sersl_jax.pretext import registry
from sersl_jax.tasks import Task
from sersl_jax.training.inputs import create_inputs, describe, open_dataset
from sersl_jax.training.loop import fit
from sersl_jax.training.normaliser import speaker_statistics, stack
from sersl_jax.training.objectives import Multitask, Objective
from sersl_jax.training.objectives_wav2vec2 import WEIGHTS, create_wav2vec2
from sersl_jax.training.trainer import Training


def check_members(config: PretrainConfig) -> None:
    """Raises ValueError for a method that weighs a loss that does not exist."""
    known = list(WEIGHTS if config.objective == "wav2vec2" else registry.TASKS)
    for method, weights in config.members.items():
        unknown = [name for name in weights if name not in known]
        if unknown or not weights:
            raise ValueError(
                f"config.pretrain.members.{method} names {', '.join(unknown) or 'no task'}: "
                f"take some of {', '.join(known)}"
            )


def pretrain(config: Config, workdir: Path) -> None:
    """Trains every method's member on its pretext tasks, all in one program."""
    stage = config.pretrain
    dataset = open_dataset(config, stage)
    speakers = list(dataset.speaker_ids)
    train, validation = protocol.held_out(speakers, stage.validation_fraction, config.seed)
    methods = stage.members
    losses = list(dict.fromkeys(task for weights in methods.values() for task in weights))
    objective = create_objective(config, dataset, losses)
    statistics = speaker_statistics(dataset)
    normaliser = statistics.member(config.data.normalise, train)
    sides = {"train": train, "validation": validation}
    training = Training(
        stage="pretrain",
        names=list(methods),
        objective=objective,
        dataset=dataset,
        inputs=create_inputs(config, dataset, statistics),
        train=[_of(dataset, train)] * len(methods),
        validation=[_of(dataset, validation)] * len(methods),
        normalisers=stack([normaliser] * len(methods)),
        weights={
            name: np.array([weights.get(name, 0.0) for weights in methods.values()], np.float32)
            for name in losses
        },
        seeds=[0] * len(methods),  # methods differ in weights alone
        info=describe(config, dataset, objective.tasks, [sides] * len(methods)),
    )
    fit(training, config, workdir / "pretrain", workdir)


def create_objective(config: Config, dataset: Dataset, names: Iterable[str]) -> Objective:
    """The pre-training objective; `names` are the losses that some method weighs."""
    if config.pretrain.objective == "wav2vec2":
        return create_wav2vec2(config.model, config.dtype)
    tasks = _pretext_tasks(dataset, names)
    network = create_network(config.model, tasks, config.dtype)
    return Multitask(network, tasks, config.pretrain.label_smoothing)


def _pretext_tasks(dataset: Dataset, names: Iterable[str]) -> tuple[Task, ...]:
    """Tasks by name, their classes checked against the dataset's."""
    tasks = tuple(Task(name, registry.TASKS[name].classes) for name in names)
    for task in tasks:
        name = task.name
        if name not in dataset.labels:
            raise ValueError(
                f"{dataset.name} was prepared before task {name!r} existed and has only "
                f"{', '.join(dataset.labels)}: prepare it again with --overwrite"
            )
        if dataset.label_names[name] != task.classes:
            raise ValueError(
                f"{dataset.name} numbers {name}'s classes {dataset.label_names[name]}, not "
                f"{task.classes}: prepare it again with --relabel"
            )
    return tasks


def _of(dataset: Dataset, speakers: Iterable[str]) -> Int[np.ndarray, " examples"]:
    return np.flatnonzero(np.isin(dataset.speaker_ids, list(speakers)))
