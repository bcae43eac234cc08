"""What a config's stages do: pre-training here, fine-tuning with its evaluation in `finetune`."""

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Int
from ml_collections import ConfigDict

from sersl_jax import files
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.evaluation import protocol
from sersl_jax.models.build import create_network
from sersl_jax.tasks import TASKS, Task
from sersl_jax.training.finetune import finetune
from sersl_jax.training.inputs import create_inputs, describe, open_dataset, stack
from sersl_jax.training.loop import fit
from sersl_jax.training.normaliser import speaker_statistics
from sersl_jax.training.objectives import Multitask, Objective
from sersl_jax.training.objectives_wav2vec2 import create_wav2vec2
from sersl_jax.training.trainer import Training


def run(config: ConfigDict, workdir: Path, base: ConfigDict | None = None) -> None:
    """Runs the stages that are not done yet, in order; the same call again goes on.

    The report tells where `config` differs from `base`.
    """
    began = time.time()
    _claim(workdir, config)
    if "pretrain" in config.stages:
        pretrain(config, workdir)
    if "finetune" not in config.stages:
        return
    rows = list(config.pretrain.members) if config.finetune.init_from == "pretrain" else []
    for row in rows or [config.name]:
        # One row is the run itself; several are runs of their own below it (Table 3).
        place = workdir if len(rows) < 2 else workdir / row
        finetune(config, workdir, place, row, base or config, began)


def pretrain(config: ConfigDict, workdir: Path) -> None:
    """Trains every row's member on its pretext tasks, all in one program (Sec. 4.3)."""
    stage = config.pretrain
    corpus = open_dataset(config, stage)
    speakers = list(corpus.speaker_ids)
    train, validation = protocol.held_out(speakers, stage.validation_fraction, config.seed)
    rows = {name: dict(weights) for name, weights in stage.members.items()}
    if not rows:
        raise ValueError("config.pretrain.members names no row: take one of configs/ssl1.py ...")
    losses = list(dict.fromkeys(task for weights in rows.values() for task in weights))
    objective, tasks = _pretext_objective(config, corpus, losses)
    statistics = speaker_statistics(corpus)
    normaliser = statistics.normaliser(train)
    training = Training(
        "pretrain",
        list(rows),
        objective,
        *create_inputs(config, corpus, statistics),
        [_of(corpus, train)] * len(rows),
        [_of(corpus, validation)] * len(rows),
        stack([normaliser] * len(rows)),
        {n: np.array([row.get(n, 0.0) for row in rows.values()], np.float32) for n in losses},
        seeds=[0] * len(rows),  # rows differ in weights alone
        info=describe(
            config, corpus, tasks, [{"train": train, "validation": validation}] * len(rows)
        ),
    )
    fit(training, config, workdir / "pretrain", workdir)


def _pretext_objective(
    config: ConfigDict, corpus: Dataset, names: list[str]
) -> tuple[Objective, tuple[Task, ...]]:
    """The pre-training objective, and its tasks if it has any."""
    kind = config.pretrain.objective
    if kind == "wav2vec2":
        return create_wav2vec2(config.model, config.dtype), ()
    if kind != "multitask":
        raise ValueError(f"config.pretrain.objective={kind!r} is neither multitask nor wav2vec2")
    tasks = _pretext_tasks(corpus, names)
    return Multitask(create_network(config.model, tasks, config.dtype), tasks), tasks


def _pretext_tasks(corpus: Dataset, names: Iterable[str]) -> tuple[Task, ...]:
    """Tasks by name, their classes checked against the dataset's."""
    for name in names:
        if name not in TASKS or name not in corpus.labels:
            known = sorted(set(TASKS) & set(corpus.labels))
            raise ValueError(f"{corpus.name} has no task {name!r}: take {', '.join(known)}")
        if corpus.label_names[name] != TASKS[name].classes:
            raise ValueError(
                f"{corpus.name} numbers {name}'s classes {corpus.label_names[name]}, not "
                f"{TASKS[name].classes}: prepare it again with --relabel"
            )
    return tuple(TASKS[name] for name in names)


def _of(corpus: Dataset, speakers: Iterable[str]) -> Int[np.ndarray, " examples"]:
    return np.flatnonzero(np.isin(corpus.speaker_ids, list(speakers)))


def _claim(workdir: Path, config: ConfigDict) -> None:
    """Writes config.json; raises ValueError, naming the fields, where another config's run is."""
    path = workdir / "config.json"
    text = config.to_json_best_effort(indent=1)
    if path.exists():
        there, here = _flat(json.loads(path.read_text())), _flat(json.loads(text))
        differing = sorted(k for k in there.keys() | here.keys() if there.get(k) != here.get(k))
        differing = [
            name for name in differing if name not in ("stages", "checkpoint_seconds", "profile")
        ]
        if differing:
            raise ValueError(
                f"{workdir} holds a run with other {', '.join(differing)}: take another --workdir"
            )
    workdir.mkdir(parents=True, exist_ok=True)
    if jax.process_index() == 0:
        files.write_text(path, text)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for name, value in tree.items():
        inner = _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) and value else None
        flat.update(inner if inner is not None else {f"{prefix}{name}": value})
    return flat
