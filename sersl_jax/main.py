"""Runs a config's stages: python -m sersl_jax.main --config=configs/ssl1.py."""

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import ConfigDict, config_flags

from sersl_jax import cli

_CONFIG = config_flags.DEFINE_config_file("config", None, "A file of configs/, such as ssl1.py.")
_PROFILE = flags.DEFINE_bool("profile", False, "Trace a dispatch of each training.")
_WORKDIR = flags.DEFINE_string("workdir", None, "The run's directory (default: runs/NAME).")


def main(argv: Sequence[str]) -> None:
    """Starts."""
    if _CONFIG.value is None:
        raise ValueError("--config is missing: python -m sersl_jax.main --config=configs/ssl1.py")
    import jax  # after the flags, so that a wrong one is told at once

    from sersl_jax import sharding
    from sersl_jax.training import experiment

    config = _CONFIG.value
    if not _join_processes():
        sharding.use_cores(config.pretrain.batch_size, config.finetune.batch_size)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    jax.config.update("jax_compilation_cache_dir", str(Path(cache, "sersl_jax", "xla")))
    config.profile = config.profile or _PROFILE.value
    experiment.run(config, Path(_WORKDIR.value or Path("runs", config.name)), _base(config))


def _base(config: ConfigDict) -> ConfigDict | None:
    """configs/base.py's fields, which the report sets the config against; None where absent."""
    try:
        return importlib.import_module("configs.base").get_config(config.setting)
    except ModuleNotFoundError:
        return None


def _join_processes() -> bool:
    """Whether there are several processes (launch/README.md): by address, or as SLURM tells."""
    import jax

    if "SERSL_COORDINATOR" in os.environ:
        numbers = (int(os.environ[f"SERSL_{name}"]) for name in ("PROCESSES", "PROCESS"))
        jax.distributed.initialize(os.environ["SERSL_COORDINATOR"], *numbers)
    elif os.environ.get("SERSL_DISTRIBUTED"):
        jax.distributed.initialize()
    else:
        return False
    return True


if __name__ == "__main__":
    # The config files import each other as `configs`, from wherever they are named.
    for argument in sys.argv:
        if argument.startswith("--config=") and ".py" in argument:
            path = argument.removeprefix("--config=").split(".py")[0]
            sys.path.insert(0, str(Path(path).absolute().parents[1]))
    cli.run(main)
