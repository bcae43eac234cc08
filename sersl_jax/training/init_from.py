"""The model that fine-tuning starts from (`config.finetune.init_from`)."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from sersl_jax.config import Config, ModelConfig
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.evaluation.protocol import LeakError
from sersl_jax.models.wav2vec2_import import import_huggingface
from sersl_jax.training import checkpoint, export_folder, lineage
from sersl_jax.training.lineage import Lineage

# Fields of a network that may differ from the one that it starts from.
_FREE = ("alpha_init", "dropout", "pooling", "wav2vec2")


@dataclass(frozen=True)
class Start:
    """Parameters, where they are from, and on whose emotions they were learnt.

    Attributes:
      params: of one model or several, with a leading axis of members.
      origin: where they are from, for messages.
      lineage: on what emotions were learnt; empty where none were.
    """

    params: Any
    origin: str
    lineage: Lineage = field(default_factory=Lineage)

    def check(
        self, dataset: Dataset, tested: Int[np.ndarray, " examples"], allowed: bool
    ) -> list[str]:
        """Refuses to test on speakers whose emotions the model has learnt; says so if `allowed`.

        Also says where nobody can tell.
        """
        learnt = self.lineage
        examples = dataset.examples.iloc[tested]
        here = lineage.full_ids(dataset.name, examples["speaker_id"])
        pairs = zip(here, examples["speaker_id"], examples["clip"], strict=True)
        known = {
            name for full, name, clip in pairs if full in learnt.speakers or clip in learnt.clips
        }
        notes = [
            f"{self.origin} was fine-tuned from {gone}, which is not there: nobody can tell "
            "whether that has learnt the emotions of test speakers"
            for gone in learnt.gone
        ]
        if not known:
            return notes
        some = ", ".join(sorted(known)[:6])
        said = f"{self.origin} has learnt the emotions of test speakers: {some}"
        if not allowed:
            raise LeakError(f"{said}. Start from a model that was trained on others")
        return [said, *notes]

    def with_fresh_heads(self, fresh: Any, numbers: Sequence[int]) -> Any:
        """`fresh` parameters [members ...] with all but the heads from here; says what was loaded.

        `numbers` are the members' splits: split k starts from member k modulo how many there are
        here. Raises ValueError where they don't fit.
        """
        count = len(jax.tree.leaves(self.params)[0])
        members = [
            checkpoint.transfer(
                jax.tree.map(lambda leaf, place=place: leaf[place], fresh),
                jax.tree.map(lambda leaf, m=number % count: leaf[m], self.params),
                self.origin,
            )
            for place, number in enumerate(numbers)
        ]
        print(f"initialised from {self.origin}", *members[0][1], sep="\n  ", file=sys.stderr)
        return jax.tree.map(lambda *leaves: np.stack(leaves), *(params for params, _ in members))


def read_start(config: Config, workdir: Path, method: str) -> Start | None:
    """The model that `config.finetune.init_from` names; None where it is empty.

    Raises ValueError where it is not trained to its end yet, does not fit the config, or holds
    several methods but not `method`.
    """
    origin = config.finetune.init_from
    if not origin:
        return None
    if origin.endswith(".safetensors"):
        params = import_huggingface(origin)
        return Start(jax.tree.map(lambda leaf: leaf[None], params), origin)
    if origin == "default":
        return _read_export(export_folder.DEFAULT, "the model in the package", config)
    directory = workdir if origin == "pretrain" else Path(origin)
    if export_folder.is_export(directory):
        return _read_export(directory, origin, config)
    return _read_run(directory, config, method)


def _read_export(folder: Path, origin: str, config: Config) -> Start:
    """All members of an export in safetensors."""
    weights, stored = export_folder.read(folder)
    info = stored["training"]
    _check_scope(origin, info["config"], config)
    _check_network(origin, info["config"]["model"], config)
    return Start(weights["params"], origin, lineage.trace(info))


def _read_run(directory: Path, config: Config, method: str) -> Start:
    """A run's pre-trained model of one method, or all members of a group of splits."""
    if (directory / "pretrain").is_dir():
        directory = directory / "pretrain"
    elif groups := sorted(directory.glob("finetune/*-*")):
        raise ValueError(f"{directory} has no pre-training: name a group of splits, as {groups[0]}")
    found = checkpoint.read_model(directory)
    if not found.info["finished"]:
        raise ValueError(f"{directory} is not trained to its end yet: run its command again first")
    _check_scope(str(directory), found.info["config"], config)
    names = found.info["names"]
    if lineage.has_learnt(found.info):
        origin = f"{directory} ({', '.join(names)})"
        return Start(found.params, origin, lineage.trace(found.info))
    if len(names) > 1 and method not in names:
        raise ValueError(
            f"{directory} holds {', '.join(names)}: name the method with --config.name"
        )
    member = names.index(method) if method in names else 0
    params = jax.tree.map(lambda leaf: leaf[member : member + 1], found.params)
    return Start(params, f"{directory} ({names[member]})")


def _check_scope(origin: str, stored: Mapping[str, Any], config: Config) -> None:
    """Refuses a model whose inputs were normalised otherwise."""
    there = stored["data"].get("normalise", "train")
    if config.model.input_name == "llds" and there != config.data.normalise:
        raise ValueError(
            f"{origin} was trained with config.data.normalise={there}, not "
            f"{config.data.normalise}: take the same"
        )


def _check_network(origin: str, stored: Mapping[str, Any], config: Config) -> None:
    """Refuses another network, also one whose parameters have the same shapes."""
    here, default = asdict(config.model), asdict(ModelConfig())
    known = {  # with the fields that there were not when it was trained
        name: {**default[name], **there} if isinstance(there, Mapping) else there
        for name, there in stored.items()
    }
    differing = [
        f"config.model.{name}={there}, not {here[name]}"
        for name, there in known.items()
        if name not in _FREE and _plain(there) != _plain(here[name])
    ]
    if differing:
        raise ValueError(
            f"{origin} is another network ({'; '.join(differing)}): give the config that it was "
            "trained with, which for the model in the package is configs/best.py"
        )


def _plain(value: Any) -> Any:
    """As JSON has it: lists, no tuples."""
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    return list(value) if isinstance(value, tuple) else value
