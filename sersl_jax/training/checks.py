"""Checks, before anything is prepared, that what a config names exists on this machine."""

from pathlib import Path

import jax
import jax.numpy as jnp

from sersl_jax import corpora, datasets
from sersl_jax.config import Config
from sersl_jax.config.target import EMOTION
from sersl_jax.datasets.dataset import read_dataset
from sersl_jax.evaluation import protocol
from sersl_jax.models.build import create_network
from sersl_jax.tasks import Task
from sersl_jax.training import optimizer
from sersl_jax.training.pretrain import check_members
from sersl_jax.training.targets import create_targets


def check_pretrain(config: Config) -> None:
    """Raises ValueError or FileNotFoundError that names the field of `config.pretrain`."""
    check_members(config.pretrain)
    _check_dataset(config, "pretrain")


def check_finetune(config: Config, workdir: Path) -> None:
    """Raises ValueError or FileNotFoundError that names the field of `config.finetune`."""
    stage = config.finetune
    _check_dataset(config, "finetune")
    if stage.protocol.endswith(".json"):
        _check_exists("finetune.protocol", Path(stage.protocol))
        protocol.read_splits(stage.protocol)
    if stage.init_from == "pretrain":
        if "pretrain" not in config.stages and not (workdir / "pretrain").is_dir():
            raise ValueError(
                f"config.finetune.init_from=pretrain: {workdir} has no pre-training; add pretrain "
                "to config.stages, or name another run"
            )
    elif stage.init_from not in ("", "default"):
        _check_exists("finetune.init_from", Path(stage.init_from))
        if stage.init_from.endswith(".safetensors") and config.model.context != "base":
            raise ValueError(
                f"config.finetune.init_from={stage.init_from}: published wav2vec 2.0 weights need "
                "config.model.context=base (configs/wav2vec2_base.py)"
            )
    if stage.helpers or [*stage.tasks] != [EMOTION]:
        _check_tasks(config)
    if stage.freeze:
        optimizer.check_frozen(_parameter_shapes(config), stage.freeze)


def _check_dataset(config: Config, name: str) -> None:
    """Its corpus is known, and its source or the prepared dataset is there."""
    stage = config.pretrain if name == "pretrain" else config.finetune
    if stage.source:
        _check_exists(f"{name}.source", Path(stage.source).expanduser())
    for dataset in map(str.strip, stage.dataset.split(",")):
        try:
            _, corpus = datasets.parse_name(dataset)
            if stage.source:
                corpora.get(corpus)
            elif corpus != "synthetic":
                datasets.folder(dataset, config.data.data_dir or None)
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"config.{name}.dataset: {error}") from None


def _check_tasks(config: Config) -> None:
    """The datasets that are prepared already know what tasks and helpers name.

    One that this command prepares itself may be there in an older version, and is checked later.
    """
    stage, data_dir = config.finetune, config.data.data_dir or None
    if stage.source:
        return
    for name in map(str.strip, stage.dataset.split(",")):
        own = datasets.parse_name(name)[1] == "synthetic"
        if not own and datasets.find(name, data_dir) is not None:
            dataset = read_dataset(name, data_dir, config.model.input_name)
            create_targets(dataset, stage)


def _check_exists(field: str, path: Path) -> None:
    if not path.exists():
        raise FileNotFoundError(f"config.{field}={path} does not exist")


def _parameter_shapes(config: Config) -> dict:
    """The network's parameters, as shapes alone."""
    network = create_network(config.model, (Task(EMOTION, ("low", "high")),), config.dtype)
    shape = (1, 64, 130) if config.model.input_name == "llds" else (1, 16_000)
    inputs = jnp.zeros(shape), jnp.full(1, shape[1]), None
    return jax.eval_shape(lambda: network.init(jax.random.key(0), *inputs))["params"]
