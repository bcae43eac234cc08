"""One training in several ways on this process's devices:

python -m tests.training.determinism OUT.npz supervised/alone best/streamed ...

As one of several processes where COORDINATOR, PROCESSES and PROCESS are set.
"""

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from scipy.special import softmax

from sersl_jax import sharding
from sersl_jax.config import create
from sersl_jax.training import loop
from sersl_jax.training.checkpoint import Checkpoints
from tests import made_up

GROUP = (0, 1, 2, 3)
WAYS = {  # members, residency
    "alone": ((0,), "device"),
    "again": ((0,), "device"),
    "streamed": ((0,), "stream"),
    "group": (GROUP, "device"),
    "resumed": ((0,), "device"),
}


def main(out: Path, chosen: Sequence[str]) -> None:
    """Writes parameters, losses and probabilities of all clips, [members, ...] each, and the names
    of what was compiled."""
    if "COORDINATOR" in os.environ:
        number, every = int(os.environ["PROCESS"]), int(os.environ["PROCESSES"])
        jax.distributed.initialize(os.environ["COORDINATOR"], every, number)
    found, programs = {}, {}
    compiled: list[str] = []

    def listen(event, _, fun_name="", **__):
        if event.endswith("backend_compile_duration"):
            compiled.append(fun_name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    for name in chosen:
        compiled.clear()
        method, way = name.split("/")
        members, residency = WAYS[way]
        program = programs.get((method, members))
        folder = out.with_suffix("") / name
        folder.mkdir(parents=True, exist_ok=True)
        if way == "resumed":
            _cut_off(method, members, residency, program, folder)
        trainer, best = _fit(method, members, residency, program, folder)
        programs[method, members] = trainer.program
        found |= {f"{name}/{what}": values for what, values in _results(trainer, best).items()}
        found[f"{name}/compiled"] = np.array(compiled)
    if jax.process_index() == 0:
        np.savez(out, **found)


def _fit(method: str, members: tuple[int, ...], residency: str, program, folder: Path):
    config = made_up.config(method)
    config.finetune.epochs = 2
    config.checkpoint_seconds = 0 if folder.name == "resumed" else 600
    training = made_up.training(members, residency, method=method)
    return loop.fit(training, create(config), folder / "members", folder, program)


def _cut_off(*arguments) -> None:
    """The same training until it has saved once, in the middle of its first epoch."""
    save = Checkpoints.save

    def save_and_stop(self, number, *rest):
        save(self, number, *rest)
        raise InterruptedError

    Checkpoints.save = save_and_stop
    with contextlib.suppress(InterruptedError):
        _fit(*arguments)
    Checkpoints.save = save


def _results(trainer, best) -> dict[str, np.ndarray]:
    every = [np.arange(len(trainer.training.dataset.lengths))] * len(trainer.training.names)
    leaves = jax.tree.leaves(sharding.fetch(best.params))
    return {
        "parameters": np.concatenate([leaf.reshape(len(every), -1) for leaf in leaves], axis=1),
        "losses": sharding.fetch(best.value),
        "probabilities": softmax(trainer.logits(best.params, every, "emotion"), axis=-1),
    }


def run() -> None:
    main(Path(sys.argv[1]), sys.argv[2:])


if __name__ == "__main__":
    run()
