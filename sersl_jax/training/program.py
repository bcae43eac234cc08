"""The training steps compiled for the devices of one mesh."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float

from sersl_jax.training.best import Best
from sersl_jax.training.step import Steps, Totals, TrainState


@dataclass(frozen=True)
class Program:
    """The compiled functions of one training on one mesh; see `create_program`."""

    mesh: Mesh
    create_state: Callable[..., tuple[TrainState, Best]]
    run_steps: Callable[..., tuple[TrainState, Float[Array, " members"]]]
    evaluate: Callable[..., Totals]
    end_epoch: Callable[..., tuple[TrainState, Best, dict[str, Float[Array, " members"]]]]
    predict: Callable[..., dict[str, Float[Array, "members batch outputs"]]]


def create_program(steps: Steps, mesh: Mesh) -> Program:
    """Compiles (at first use) what a training does on the devices of `mesh`.

    All results are divided over the members alone: where XLA chose, what one call gives might lie
    otherwise than what it takes, and the next call would compile again.
    """
    placed = NamedSharding(mesh, PartitionSpec("member"))

    def compiled(method: Callable, **options: Any) -> Callable:
        @functools.wraps(method)
        def on_mesh(*args, **kwargs):
            with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
                return method(*args, **kwargs)

        chosen = _compiler_options()
        return jax.jit(on_mesh, out_shardings=placed, compiler_options=chosen, **options)

    return Program(
        mesh,
        compiled(steps.create_state),
        compiled(steps.run_steps, static_argnames="size", donate_argnums=0),
        compiled(steps.evaluate, static_argnames="size"),
        compiled(steps.end_epoch, donate_argnums=(0, 1)),
        compiled(steps.predict, static_argnames="size"),
    )


def _compiler_options() -> dict[str, str] | None:
    """By default XLA runs independent products at once on a CPU, which is slower on few cores."""
    if jax.default_backend() != "cpu":
        return None
    return {"xla_cpu_scheduler_type": "CPU_SCHEDULER_TYPE_MEMORY_OPTIMIZED"}
