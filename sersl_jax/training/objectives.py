"""What is minimised: pure functions of parameters, a batch and a key, for `train.py`'s loop."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, PRNGKeyArray

from sersl_jax.tasks import Task, class_numbers, known

Params = Any
Batch = Mapping[str, Any]
# Each metric is (total, count), so that sums over batches give exact means over an epoch.
Metrics = dict[str, tuple[Float[Array, ""], Float[Array, ""]]]


@runtime_checkable
class Objective(Protocol):
    """A loss that the training loop can minimise."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that `loss` gives."""
        ...

    def init(self, key: PRNGKeyArray, batch: Batch) -> Params:
        """Fresh parameters; `batch` gives the shapes."""
        ...

    def loss(
        self,
        params: Params,
        batch: Batch,
        weights: Mapping[str, Float[Array, ""]],
        key: PRNGKeyArray | None,
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Metrics]:
        """Loss to differentiate, and metrics; `key=None` evaluates (no dropout, no sampling)."""
        ...

    def validation_loss(
        self, means: Mapping[str, Float[Array, ""]], weights: Mapping[str, Float[Array, ""]]
    ) -> Float[Array, ""]:
        """The loss that chooses the best epoch, from an epoch's mean metrics."""
        ...

    def warning(self, means: Mapping[str, Any]) -> str | None:
        """What the user should know of an epoch's mean metrics, if anything."""
        ...


@dataclass(frozen=True)
class Multitask:
    """Cross-entropies of all tasks, weighted and summed, not averaged (Sec. 4.3).

    Serves pre-training (pretext tasks) and emotion recognition (one task) alike. Batches hold
    `inputs`, `lengths`, `labels` {task: [batch]} with -1 for unknown, and `mask` [batch], which is
    False on rows that only fill the batch.
    """

    model: nn.Module
    tasks: tuple[Task, ...]

    @property
    def metrics(self) -> tuple[str, ...]:
        """Loss and accuracy of every task."""
        return tuple(f"{what}_{t.name}" for t in self.tasks for what in ("loss", "accuracy"))

    def init(self, key: PRNGKeyArray, batch: Batch) -> Params:
        """Fresh parameters."""
        return self.model.init(key, batch["inputs"], batch["lengths"], None)["params"]

    def logits(
        self, params: Params, batch: Batch, key: PRNGKeyArray | None
    ) -> dict[str, Float[Array, "batch outputs"]]:
        """Logits of every task."""
        return self.model.apply({"params": params}, batch["inputs"], batch["lengths"], key)

    def loss(
        self,
        params: Params,
        batch: Batch,
        weights: Mapping[str, Float[Array, ""]],
        key: PRNGKeyArray | None,
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Metrics]:
        """Mean over known labels within each task, then the weighted sum over tasks."""
        logits = self.logits(params, batch, key)
        total, metrics = jnp.zeros(()), {}
        for task in self.tasks:
            labels = batch["labels"][task.name]
            scored = batch["mask"] & known(labels)
            count = scored.sum(dtype=jnp.float32)
            loss = task.losses(logits[task.name], labels).sum(where=scored)
            correct = task.probabilities(logits[task.name]).argmax(axis=1) == class_numbers(labels)
            total += weights[task.name] * loss / jnp.maximum(count, 1.0)
            metrics[f"loss_{task.name}"] = (loss, count)
            metrics[f"accuracy_{task.name}"] = (correct.sum(where=scored, dtype=jnp.float32), count)
        return total, metrics

    def warning(self, means: Mapping[str, Any]) -> str | None:
        """Nothing can go wrong silently here."""
        return None

    def validation_loss(
        self, means: Mapping[str, Float[Array, ""]], weights: Mapping[str, Float[Array, ""]]
    ) -> Float[Array, ""]:
        """The epoch's loss from the epoch's mean metrics (exact: every example counts once)."""
        return sum(
            (weights[t.name] * means[f"loss_{t.name}"] for t in self.tasks), start=jnp.zeros(())
        )
