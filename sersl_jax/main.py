"""Runs a config's stages: python -m sersl_jax.main --config=configs/ssl1.py."""

import os
import signal
from collections.abc import Sequence
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from sersl_jax import cli, config


def define_flags() -> None:
    """The flags of the command."""
    config_flags.DEFINE_config_file("config", None, "A file of configs/, such as ssl1.py.")
    flags.DEFINE_bool("profile", False, "Trace a dispatch of each training.")
    flags.DEFINE_string("workdir", None, "The run's directory (default: runs/NAME).")


def main(argv: Sequence[str]) -> None:
    """Checks the config, then runs its stages on all devices."""
    if argv[1:]:
        raise ValueError(f"unknown argument {argv[1]!r}: fields look like --config.seed=1")
    given = flags.FLAGS.config
    if given is None:
        raise ValueError("--config is missing: python -m sersl_jax.main --config=configs/ssl1.py")
    given.profile = given.profile or flags.FLAGS.profile
    chosen = config.create(given)
    from sersl_jax import sharding  # after the flags, so that a wrong one is told at once
    from sersl_jax.training import experiment

    if not _join_processes():
        sharding.use_cores(chosen.pretrain.batch_size, chosen.finetune.batch_size)
    sharding.keep_programs()
    experiment.run(chosen, Path(flags.FLAGS.workdir or Path("runs", chosen.name)))


def _join_processes() -> bool:
    """Whether there are several processes (docs/running.md): by address, or as SLURM tells."""
    import jax

    if "SERSL_COORDINATOR" in os.environ:
        processes, process = (int(os.environ[f"SERSL_{name}"]) for name in ("PROCESSES", "PROCESS"))
        jax.distributed.initialize(os.environ["SERSL_COORDINATOR"], processes, process)
    elif os.environ.get("SERSL_DISTRIBUTED"):
        jax.distributed.initialize()
    else:
        return False
    # JAX's coordination notes SIGTERM and goes on; until the training loop looks, it is to end us.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    return True


if __name__ == "__main__":
    cli.run(main, define_flags)
