"""The best epoch of each member: how it is chosen, and its parameters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from sersl_jax.tasks import AnyTask


@struct.dataclass
class Best:
    """The parameters of the best epoch so far."""

    params: Any
    value: Any  # of what chooses it, lower is better [*members]
    epoch: Any  # counted from 1; int [*members]


@dataclass(frozen=True)
class Choice:
    """How the best epoch is chosen.

    Attributes:
      select: the validation metric: loss, or macro_f1, accuracy or ccc, mean of the main tasks
        that have it.
      patience: epochs without a better one after which a member's best epoch is final, even if
        other members still train ("early stopping", Sec. 4.3); 0: never before the last epoch.
    """

    select: str = "loss"
    patience: int = 0

    def value(
        self, scores: Mapping[str, Array], tasks: Sequence[AnyTask]
    ) -> Float[Array, " members"]:
        """What is compared; lower is better."""
        if self.select == "loss":
            return scores["loss"]
        names = (f"{self.select}_{task.name}" for task in tasks)
        values = [scores[name] for name in names if name in scores]
        return -sum(values[1:], start=values[0]) / len(values)


def keep_better(
    best: Best, params: Any, value: Float[Array, " members"], epoch: Any, patience: int
) -> Best:
    """The better parameters of each member, chosen by `value`; see `Choice`."""
    better = value < best.value
    if patience:  # whatever other members still train for
        better &= epoch - best.epoch <= patience

    def choose(new, old):
        return jnp.where(better.reshape(better.shape + (1,) * (new.ndim - 1)), new, old)

    return Best(
        jax.tree.map(choose, params, best.params),
        jnp.where(better, value, best.value),
        jnp.where(better, epoch, best.epoch),
    )
