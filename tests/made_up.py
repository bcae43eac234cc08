"""A small training on made-up examples, also as a program for tests that kill it or spread it.

python -m tests.made_up --directory=DIR [--members=3] [--residency=stream]
"""

import importlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from absl import app, flags, logging
from ml_collections import ConfigDict

from sersl_jax.config import create
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.models.build import create_network
from sersl_jax.tasks import Task
from sersl_jax.training import loop
from sersl_jax.training.input_pipeline import create_resident, create_storage
from sersl_jax.training.normaliser import speaker_statistics, stack
from sersl_jax.training.objectives import Multitask
from sersl_jax.training.trainer import Training

CLASSES = ("anger", "joy", "calm")
TASK = Task("emotion", CLASSES)

_DIRECTORY = flags.DEFINE_string("directory", None, "Where the training goes.")
_MEMBERS = flags.DEFINE_integer("members", 1, "Independent trainings.")
_RESIDENCY = flags.DEFINE_enum("residency", "device", ["device", "stream"], "Where inputs are.")
_METHOD = flags.DEFINE_string("method", "supervised", "A file of configs/.")
_EPOCHS = flags.DEFINE_integer("epochs", 3, "Epochs.")
_SAVE = flags.DEFINE_bool("save", False, "Save after every dispatch: a kill can come anywhere.")


def config(method: str = "supervised") -> ConfigDict:
    """A tiny network of `configs/supervised.py` or `configs/best.py`, that one with mixup."""
    config = importlib.import_module(f"configs.{method}").get_config()
    config.name = "made_up"
    config.stages = ("finetune",)
    config.model.update({"dim": 20, "num_heads": 2, "ffn_dim": 40, "num_layers": 1})
    config.data.bucket = {"llds": 64, "waveform": 16_000}  # one length: one program
    config.finetune.update({"batch_size": 8, "epochs": 3})
    config.finetune.augment.mixup = 0.4 if method == "best" else 0.0
    return config


def corpus(number: int = 60, speakers: int = 6, shift: float = 1.0) -> Dataset:
    """Clips of 20 to 60 frames; a class shifts some features: there is something to learn."""
    random = np.random.default_rng(7)
    lengths = random.integers(20, 60, number).astype(np.int32)
    labels = random.integers(0, len(CLASSES), number).astype(np.int32)
    inputs = [
        (5 + random.normal(size=(n, 130)) + shift * (np.arange(130) % 3 == label)).astype(
            np.float32
        )
        for n, label in zip(lengths, labels, strict=True)
    ]
    table = {
        "clip": [f"clip{i}" for i in range(number)],
        "speaker_id": [f"speaker{i % speakers}" for i in range(number)],
    }
    return Dataset(
        "speech/made_up", "llds", pd.DataFrame(table), {"emotion": labels}, {"emotion": CLASSES},
        lengths, None, {}, [{"llds": x} for x in inputs],
    )  # fmt: skip


def inputs(dataset: Dataset):
    """All inputs in memory, as a training takes them."""
    storage = create_storage(dataset, speaker_statistics(dataset), "float32")
    return storage, create_resident(storage)


def training(
    members=(0,),
    residency: str = "device",
    dtype: str = "float32",
    scope: str = "train",
    shift: float = 1.0,
    method: str = "supervised",
) -> Training:
    """Each member trains on other speakers; `members` are their numbers."""
    clips = corpus(shift=shift)
    statistics = speaker_statistics(clips)
    storage = create_storage(clips, statistics, dtype, scope)
    train_speakers = [[f"speaker{(m + k) % 6}" for k in range(3 + m % 2)] for m in members]
    normalisers = [statistics.member(scope, names) for names in train_speakers]
    validation = [[f"speaker{(m + 5) % 6}"] for m in members]

    def of(names):
        return np.flatnonzero(np.isin(clips.speaker_ids, names))

    return Training(
        "finetune",
        [str(m) for m in members],
        Multitask(
            create_network(create(config(method)).model, (TASK,), "float32"),
            (TASK,),
            config(method).finetune.label_smoothing,
        ),
        clips,
        (storage, create_resident(storage) if residency == "device" else None),
        [of(names) for names in train_speakers],
        [of(names) for names in validation],
        stack(normalisers),
        {"emotion": np.ones(len(members), np.float32)},
        seeds=[100 + m for m in members],
    )


def main(_) -> None:
    logging.set_verbosity(logging.WARNING)
    chosen = config(_METHOD.value)
    chosen.finetune.epochs = _EPOCHS.value
    if _SAVE.value:
        chosen.checkpoint_seconds = 0.0
    made = training(tuple(range(_MEMBERS.value)), _RESIDENCY.value, method=_METHOD.value)
    directory = Path(_DIRECTORY.value)
    directory.mkdir(parents=True, exist_ok=True)
    made = replace(made, info={"of": os.getpid()})
    loop.fit(made, create(chosen), directory / "members", directory)
    print(json.dumps("finished"))


def run() -> None:
    app.run(main)


if __name__ == "__main__":
    run()
