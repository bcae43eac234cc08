"""Runs a config's stages in one directory; what is done there is not done again."""

import contextlib
import dataclasses
import json
import time
from pathlib import Path

import jax

from sersl_jax import config as configuration
from sersl_jax import files
from sersl_jax.config import Config
from sersl_jax.evaluation import results
from sersl_jax.training.checkpoint import is_finished, remove_older
from sersl_jax.training.checks import check_finetune, check_pretrain
from sersl_jax.training.finetune import finetune
from sersl_jax.training.pretrain import pretrain


def run(config: Config, workdir: Path) -> None:
    """Runs the stages that are not done yet, in order; the same call again continues.

    Raises ValueError or FileNotFoundError for a config that cannot be run, before anything is
    prepared.
    """
    start_time = time.time()
    if "pretrain" in config.stages:
        check_pretrain(config)
    if "finetune" in config.stages and not _is_scored(config, workdir):
        check_finetune(config, workdir)
    with _alone(workdir):
        claim(workdir, config)
        if "pretrain" in config.stages:
            remove_older(workdir / "pretrain")
            if not is_finished(workdir / "pretrain"):
                pretrain(config, workdir)
        if "finetune" in config.stages:
            for method, directory in directories(config, workdir).items():
                finetune(config, workdir, directory, method, start_time)


def _alone(workdir: Path) -> contextlib.AbstractContextManager[None]:
    """A lock on the run's directory, held by the first process of a run."""
    if jax.process_index():
        return contextlib.nullcontext()
    return files.locked(workdir, f"{workdir}: another process is at this run: wait for it")


def directories(config: Config, workdir: Path) -> dict[str, Path]:
    """Where each method's results go: one method is the run itself, several lie below it."""
    methods = list(config.pretrain.members) if config.finetune.init_from == "pretrain" else []
    if len(methods) < 2:
        return {(methods or [config.name])[0]: workdir}
    return {method: workdir / method for method in methods}


def _is_scored(config: Config, workdir: Path) -> bool:
    """Whether all results are there, which the same command then only prints."""
    number = config.finetune.num_splits
    return all(results.are_complete(d, number) for d in directories(config, workdir).values())


def claim(workdir: Path, config: Config) -> None:
    """Writes config.json; raises ValueError where a run with other results-changing fields is.

    A field that the older run did not know counts as its default there.
    """
    path = workdir / "config.json"
    if path.exists():
        _check_same(workdir, files.read_json(path), config)
    workdir.mkdir(parents=True, exist_ok=True)
    if jax.process_index() == 0:
        files.write_text(path, json.dumps(dataclasses.asdict(config), indent=1))


def _check_same(workdir: Path, stored: dict, config: Config) -> None:
    try:
        there = configuration.locked(configuration.create(stored))
    except ValueError as error:
        raise ValueError(
            f"{workdir}/config.json was written by another version of sersl_jax: {error}; take "
            "another --workdir"
        ) from None
    here = configuration.locked(config)
    differing = [f"{name} ({there[name]})" for name in here if there[name] != here[name]]
    if differing:
        raise ValueError(
            f"{workdir} holds a run with other {', '.join(differing)}: take another --workdir"
        )
