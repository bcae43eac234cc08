"""What both stages share: datasets to inputs, and what a checkpoint tells of them."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from sersl_jax import sharding
from sersl_jax.datasets import preparation
from sersl_jax.datasets.dataset import Dataset, read_dataset
from sersl_jax.reports import label_card
from sersl_jax.tasks import Task
from sersl_jax.training.input_pipeline import Resident, Storage, create_resident, create_storage
from sersl_jax.training.normaliser import Normaliser, SpeakerStatistics


def open_dataset(config: ConfigDict, stage: ConfigDict) -> Dataset:
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
            features=("llds", "waveform"),
        )
        label_card.write(builder.data_path)
    sharding.wait_for_all()
    corpus = read_dataset(stage.dataset, data_dir, config.model.embed)
    measured = corpus.metadata["options"]["pitch_window"]
    if corpus.input_name == "llds" and measured != config.data.pitch_window:
        raise ValueError(
            f"dataset {stage.dataset} has pitch_window={measured}, not config.data.pitch_window="
            f"{config.data.pitch_window}: prepare it so in another --config.data.data_dir"
        )
    return corpus


def create_inputs(
    config: ConfigDict, corpus: Dataset, statistics: SpeakerStatistics
) -> tuple[Dataset, Storage, Resident | None]:
    """The corpus, and its inputs in memory where they fit (`config.data.residency`)."""
    storage = create_storage(corpus, statistics, config.data.dtype)
    residency = config.data.residency
    if residency not in ("auto", "device", "stream"):
        raise ValueError(f"config.data.residency={residency!r} is none of auto, device, stream")
    total = int(corpus.lengths.sum(dtype=np.int64))
    countable = total < 2**31  # positions on the device are int32
    if residency == "device" and not countable:
        raise ValueError(
            f"config.data.residency=device: dataset {corpus.name} is longer than 2^31 samples; "
            "take auto"
        )
    fits = countable and 2 * total * storage.base.mean.size * 4 < sharding.free_memory()
    fits = residency == "device" or (residency == "auto" and fits)
    return corpus, storage, create_resident(corpus, storage) if fits else None


def stack(normalisers: Sequence[Normaliser]) -> Normaliser:
    """The members' normalisers as one, with a leading axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *normalisers)


def describe(
    config: ConfigDict,
    corpus: Dataset,
    tasks: Sequence[Task],
    speakers: Sequence[Mapping[str, Sequence[str]]],
) -> dict[str, Any]:
    """What a user of the checkpoint needs beside parameters and normaliser.

    `speakers` are each member's, by side.
    """
    return {
        "config": config.to_dict(),
        "tasks": {task.name: list(task.classes) for task in tasks},
        "dataset": {"name": corpus.name, **corpus.metadata},
        "speakers": list(speakers),
    }
