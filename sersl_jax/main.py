"""Runs a config's stages: python -m sersl_jax.main --config=configs/ssl1.py [--workdir=runs/ssl1]."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from sersl_jax import cli

_CONFIG = config_flags.DEFINE_config_file("config", None, "A file of configs/, such as ssl1.py.")
_WORKDIR = flags.DEFINE_string("workdir", None, "The run's directory (default: runs/NAME).")


def main(argv: Sequence[str]) -> None:
    """Starts."""
    if _CONFIG.value is None:
        raise ValueError("--config is missing: python -m sersl_jax.main --config=configs/ssl1.py")
    import jax  # after the flags, so that a wrong one is told at once

    from sersl_jax import stages

    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    jax.config.update("jax_compilation_cache_dir", str(Path(cache, "sersl_jax", "xla")))
    config = _CONFIG.value
    stages.run(config, Path(_WORKDIR.value or Path("runs", config.name)))


if __name__ == "__main__":
    # The config files import each other as `configs`, from wherever they are named.
    for argument in sys.argv:
        if argument.startswith("--config=") and ".py" in argument:
            path = argument.removeprefix("--config=").split(".py")[0]
            sys.path.insert(0, str(Path(path).absolute().parents[1]))
    cli.run(main)
