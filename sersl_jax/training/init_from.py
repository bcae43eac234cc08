"""The model that fine-tuning starts from (`config.finetune.init_from`)."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from sersl_jax.config import Config
from sersl_jax.datasets.dataset import Dataset
from sersl_jax.evaluation.protocol import LeakError
from sersl_jax.models.wav2vec2_import import import_huggingface
from sersl_jax.target_config import EMOTION
from sersl_jax.training import checkpoint


@dataclass(frozen=True)
class Start:
    """Parameters, where they are from, and on which speakers of which dataset emotions were learnt.

    The last two are empty for a model that has seen no emotion labels.
    """

    params: Any
    origin: str
    dataset: str = ""
    speakers: frozenset[str] = frozenset()

    def check(
        self, dataset: Dataset, tested: Int[np.ndarray, " examples"], allowed: bool
    ) -> list[str]:
        """Refuses to test on speakers whose emotions the model has learnt; says so if `allowed`."""
        known = sorted({*dataset.speaker_ids[tested]} & self.speakers)
        if self.dataset != dataset.name or not known:
            return []
        said = f"{self.origin} has learnt the emotions of test speakers: {', '.join(known[:6])}"
        if not allowed:
            raise LeakError(f"{said}. Start from a model that was trained on others")
        return [said]

    def with_fresh_heads(self, fresh: Any) -> Any:
        """`fresh` parameters [members ...] with all but the heads from here; says what was loaded.

        Raises ValueError where they don't fit.
        """
        members = [
            checkpoint.transfer(
                jax.tree.map(lambda leaf, m=m: leaf[m], fresh), self.params, self.origin
            )
            for m in range(len(jax.tree.leaves(fresh)[0]))
        ]
        print(f"initialised from {self.origin}", *members[0][1], sep="\n  ", file=sys.stderr)
        return jax.tree.map(lambda *leaves: np.stack(leaves), *(params for params, _ in members))


def read_start(config: Config, workdir: Path, method: str) -> Start | None:
    """The model that `config.finetune.init_from` names; None where it is empty.

    Raises ValueError where it is not trained to its end yet, or holds several methods but not
    `method`.
    """
    origin = config.finetune.init_from
    if not origin:
        return None
    if origin.endswith(".safetensors"):
        context = "base" if config.model.context == "base" else "paper"
        return Start(import_huggingface(origin, context), origin)
    directory = workdir if origin == "pretrain" else Path(origin)
    if (directory / "pretrain").is_dir():
        directory = directory / "pretrain"
    found = checkpoint.read_model(directory)
    if not found.info["finished"]:
        raise ValueError(f"{directory} is not trained to its end yet: run its command again first")
    _check_scope(directory, found.info["config"], config)
    names = found.info["names"]
    if len(names) > 1 and method not in names:
        raise ValueError(
            f"{directory} holds {', '.join(names)}: name the method with --config.name"
        )
    member = names.index(method) if method in names else 0
    params = jax.tree.map(lambda leaf: leaf[member], found.params)
    origin = f"{directory} ({names[member]})"
    reported = found.info["config"].get("finetune", {}).get("tasks") or [EMOTION]
    if not {*reported} & {*found.info["tasks"]}:
        return Start(params, origin)
    sides = found.info["speakers"][member]
    speakers = frozenset(name for side in sides.values() for name in side)
    return Start(params, origin, found.info["dataset"]["name"], speakers)


def _check_scope(directory: Path, stored: Mapping[str, Any], config: Config) -> None:
    """Refuses a model whose inputs were normalised otherwise."""
    there = stored["data"].get("normalise", "train")
    if config.model.embed == "llds" and there != config.data.normalise:
        raise ValueError(
            f"{directory} was trained with config.data.normalise={there}, not "
            f"{config.data.normalise}: take the same"
        )
