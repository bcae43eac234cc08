"""One training in several ways on this process's devices: python -m tests.training.determinism OUT.

Writes OUT.npz: way/what -> [members, ...], of each method, alone, again, streamed and in a group.
"""

import sys
import tempfile
from pathlib import Path

import jax
import numpy as np
from scipy.special import softmax

from sersl_jax.config import create
from sersl_jax.training import loop
from tests import made_up

METHODS = ("supervised", "best")  # attention; convolutions with batch normalisation
GROUP = (0, 1, 2, 3)
WAYS = {  # way -> members, residency
    "alone": ((0,), "device"),
    "again": ((0,), "device"),
    "streamed": ((0,), "stream"),
    "group": (GROUP, "device"),
    "group_streamed": (GROUP, "stream"),
}


def main(out: Path) -> None:
    found = {}
    for method in METHODS:
        programs = {}
        for way, (members, residency) in WAYS.items():
            trainer, best = _fit(method, members, residency, programs.get(members))
            programs[members] = trainer.program
            for what, values in _results(trainer, best).items():
                found[f"{method}/{way}/{what}"] = values
    np.savez(out, **found)


def _fit(method: str, members: tuple[int, ...], residency: str, program):
    config = made_up.config(method)
    config.finetune.epochs = 2
    training = made_up.training(members, residency, method=method)
    with tempfile.TemporaryDirectory() as folder:
        return loop.fit(training, create(config), Path(folder, "m"), Path(folder), program)


def _results(trainer, best) -> dict[str, np.ndarray]:
    """Of each member: parameters in a row, and the probabilities of all clips."""
    every = [np.arange(len(trainer.training.dataset.lengths))] * len(trainer.training.names)
    leaves = jax.tree.leaves(jax.device_get(best.params))
    return {
        "parameters": np.concatenate([leaf.reshape(len(every), -1) for leaf in leaves], axis=1),
        "probabilities": softmax(trainer.logits(best.params, every, "emotion"), axis=-1),
        "losses": np.asarray(jax.device_get(best.value)),
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
