"""What both stages share: opening a dataset, its inputs, and what a checkpoint says of them."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from sersl_jax import datasets, sharding
from sersl_jax.config import Config, StageConfig
from sersl_jax.datasets import identity, preparation
from sersl_jax.datasets.dataset import Dataset, join, read_dataset
from sersl_jax.reports import label_card
from sersl_jax.tasks import AnyTask
from sersl_jax.training.input_pipeline import Resident, Storage, create_resident, create_storage
from sersl_jax.training.normaliser import SpeakerStatistics


def open_dataset(config: Config, stage: StageConfig) -> Dataset:
    """The stage's dataset, prepared first where a source is given (or the corpus is embedded).

    Raises ValueError where it was prepared with another pitch window than the config's.
    """
    data_dir = config.data.data_dir or None
    wanted = stage.source or stage.dataset.endswith("/synthetic")
    if wanted and jax.process_index() == 0:
        builder = preparation.prepare(
            stage.dataset,
            stage.source or None,
            data_dir,
            pitch_window=config.data.pitch_window,
            features=_features(stage.dataset, data_dir, config.model.input_name),
        )
        label_card.write(Path(builder.data_path))
    sharding.wait_for_all()
    names = stage.dataset.split(",")
    found = [read_dataset(name.strip(), data_dir, config.model.input_name) for name in names]
    for dataset in found:
        _check_pitch_window(dataset, config.data.pitch_window)
    return join(found)


def _features(name: str, data_dir: str | None, needed: str) -> tuple[str, ...]:
    """Those of the dataset that is there already, where they are enough; else both."""
    existing = datasets.find(name, data_dir)
    there = tuple(identity.read_metadata(existing)["features"]) if existing else ()
    return there if needed in there else ("llds", "waveform")


def _check_pitch_window(dataset: Dataset, wanted: float) -> None:
    measured = dataset.metadata["options"]["pitch_window"]
    if dataset.input_name == "llds" and measured != wanted:
        raise ValueError(
            f"dataset {dataset.name} has pitch_window={measured}, not config.data.pitch_window="
            f"{wanted}: prepare it so in another data_dir"
        )


def create_inputs(
    config: Config, dataset: Dataset, statistics: SpeakerStatistics
) -> tuple[Storage, Resident | None]:
    """How inputs are kept; and all of them, to put on the device, or None to stream from disk."""
    data = config.data
    storage = create_storage(dataset, statistics, data.dtype, data.normalise)
    total = int(dataset.lengths.sum(dtype=np.int64))
    countable = total < 2**31  # positions on the device are int32
    if data.residency == "device" and not countable:
        raise ValueError(
            f"config.data.residency=device: dataset {dataset.name} is longer than 2^31 samples; "
            "take auto"
        )
    fits = countable and 2 * total * storage.base.mean.size * 4 < sharding.free_memory()
    resident = data.residency == "device" or (data.residency == "auto" and fits)
    return storage, create_resident(storage) if resident else None


def describe(
    config: Config,
    dataset: Dataset,
    tasks: Sequence[AnyTask],
    speakers: Sequence[Mapping[str, Sequence[str]]],
) -> dict[str, Any]:
    """What a user of the checkpoint needs beside parameters and normaliser.

    `speakers` are each member's, by side.
    """
    return {
        "config": dataclasses.asdict(config),
        "tasks": {task.name: task.stamp() for task in tasks},
        "dataset": {"name": dataset.name, **dataset.metadata},
        "speakers": list(speakers),
    }
