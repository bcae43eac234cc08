"""What is minimised: pure functions of parameters, a batch and a key, for the loop in `loop.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, PRNGKeyArray

from sersl_jax.tasks import Task, class_numbers, known

Params = Any
Inputs = Mapping[str, Any]  # `inputs`, `lengths`, `labels` {task: [batch]}, `mask` [batch]
# Each metric is (total, count), so that sums over batches give exact means over an epoch.
Metrics = dict[str, tuple[Float[Array, "*shape"], Float[Array, ""]]]
Means = Mapping[str, Float[Array, "*shape"]]
# Of each task's loss; `classes_<task>` [classes], where there is one, of each class in training.
Weights = Mapping[str, Float[Array, "*classes"]]


@runtime_checkable
class Objective(Protocol):
    """A loss that the training loop can minimise."""

    @property
    def tasks(self) -> tuple[Task, ...]:
        """The tasks that have labels and logits; none for a contrastive objective."""
        ...

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the metrics that `loss` gives in training."""
        ...

    def init(self, key: PRNGKeyArray, batch: Inputs) -> Params:
        """Fresh parameters; `batch` gives the shapes."""
        ...

    def logits(
        self, params: Params, batch: Inputs, key: PRNGKeyArray | None
    ) -> dict[str, Float[Array, "batch outputs"]]:
        """Logits of every task."""
        ...

    def loss(
        self,
        params: Params,
        batch: Inputs,
        weights: Weights,
        key: PRNGKeyArray | None,
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Metrics, Params]:
        """The loss, metrics, and parameters that are set without a gradient.

        These are the next running statistics of batch normalisation; empty where there is none.
        `key=None` evaluates: no dropout, no sampling; there may be more metrics than in training.
        """
        ...

    def scores(self, means: Means, weights: Weights) -> dict[str, Float[Array, ""]]:
        """An epoch's numbers from its mean metrics; `loss` among them."""
        ...

    def warning(self, means: Mapping[str, Any]) -> str | None:
        """What to warn the user of after an epoch with these mean metrics; None: nothing."""
        ...


@dataclass(frozen=True)
class Multitask:
    """Cross-entropies of all tasks, weighted and summed, not averaged (Sec. 4.3).

    Serves pre-training (pretext tasks) and emotion recognition (one task) alike. A label of -1 is
    unknown; `mask` is False on rows that only fill the batch.
    """

    model: nn.Module
    tasks: tuple[Task, ...]
    label_smoothing: float = 0.0  # in training alone

    @property
    def metrics(self) -> tuple[str, ...]:
        """Loss and accuracy of every task."""
        return tuple(f"{what}_{t.name}" for t in self.tasks for what in ("loss", "accuracy"))

    def init(self, key: PRNGKeyArray, batch: Inputs) -> Params:
        """Fresh parameters."""
        return self.model.init(key, batch["inputs"], batch["lengths"], None)["params"]

    def logits(
        self, params: Params, batch: Inputs, key: PRNGKeyArray | None
    ) -> dict[str, Float[Array, "batch outputs"]]:
        """Logits of every task."""
        logits = self.model.apply({"params": params}, batch["inputs"], batch["lengths"], key)
        return logits  # pyright: ignore[reportReturnType]  # a pair only where `mutable` is given

    def loss(
        self,
        params: Params,
        batch: Inputs,
        weights: Weights,
        key: PRNGKeyArray | None,
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Metrics, Params]:
        """Mean over known labels within each task, then the weighted sum over tasks.

        In training, classes weigh what `weights` says, if it does. In evaluation
        `confusion_<task>` [classes, classes] counts labels (rows) and predictions.
        """
        logits, measured = self._apply(params, batch, key)
        total, metrics = jnp.zeros(()), {}
        for task in self.tasks:
            labels = batch["labels"][task.name]
            scored = batch["mask"] & known(labels)
            count = scored.sum(dtype=jnp.float32)
            learnt = labels if key is None else task.smooth(labels, self.label_smoothing)
            losses = task.losses(logits[task.name], learnt)
            if key is not None and f"classes_{task.name}" in weights:
                losses *= task.shares(labels) @ weights[f"classes_{task.name}"]
            loss = losses.sum(where=scored)
            predicted = task.probabilities(logits[task.name]).argmax(axis=1)
            correct = predicted == class_numbers(labels)
            total += weights[task.name] * loss / jnp.maximum(count, 1.0)
            metrics[f"loss_{task.name}"] = (loss, count)
            metrics[f"accuracy_{task.name}"] = (correct.sum(where=scored, dtype=jnp.float32), count)
            if key is None:
                number = len(task.classes)
                cells = jax.nn.one_hot(class_numbers(labels) * number + predicted, number**2)
                confusion = (cells * scored[:, None]).sum(axis=0).reshape(number, number)
                metrics[f"confusion_{task.name}"] = (confusion, count)
        return total, metrics, measured

    def _apply(
        self, params: Params, batch: Inputs, key: PRNGKeyArray | None
    ) -> tuple[dict[str, Float[Array, "batch outputs"]], Params]:
        if key is None:
            return self.logits(params, batch, None), {}
        inputs = (batch["inputs"], batch["lengths"], key)
        logits, sown = self.model.apply({"params": params}, *inputs, mutable=["measured"])
        return logits, sown.get("measured", {})

    def warning(self, means: Mapping[str, Any]) -> str | None:
        """None: a cross-entropy that does not fall is plain to see."""
        return None

    def scores(self, means: Means, weights: Weights) -> dict[str, Float[Array, ""]]:
        """Exact means over the epoch (every example counts once); macro F1 from the confusion."""
        found = {name: mean for name, mean in means.items() if not name.startswith("confusion_")}
        losses = (weights[task.name] * means[f"loss_{task.name}"] for task in self.tasks)
        found["loss"] = sum(losses, start=jnp.zeros(()))
        for task in self.tasks:
            if f"confusion_{task.name}" in means:
                found[f"macro_f1_{task.name}"] = macro_f1(means[f"confusion_{task.name}"])
        return found


def macro_f1(confusion: Float[Array, "classes classes"]) -> Float[Array, ""]:
    """Mean F1 of the classes; 0 for a class that neither occurs nor is predicted."""
    sizes = confusion.sum(axis=0) + confusion.sum(axis=1)
    return (2 * jnp.diagonal(confusion) / jnp.where(sizes == 0, 1, sizes)).mean()
