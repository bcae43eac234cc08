"""What is minimised: pure functions of parameters, a batch and a key, for the loop in `loop.py`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int, PRNGKeyArray

from sersl_jax.tasks import AnyTask

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
    def tasks(self) -> tuple[AnyTask, ...]:
        """The tasks that have labels and logits; none for a contrastive objective."""
        ...

    @property
    def main_tasks(self) -> tuple[AnyTask, ...]:
        """Those by which an epoch is judged."""
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
    """Losses of all tasks, weighted and summed, not averaged (Sec. 4.3).

    Serves pre-training (pretext tasks) and fine-tuning alike. Unknown labels count nowhere; `mask`
    is False on rows that only fill the batch. `helpers` name tasks that are learnt beside the
    others: the loss by which an epoch is judged is without theirs.
    """

    model: nn.Module
    tasks: tuple[AnyTask, ...]
    label_smoothing: float = 0.0  # of classes, in training alone
    helpers: frozenset[str] = frozenset()

    @property
    def main_tasks(self) -> tuple[AnyTask, ...]:
        """All but the helpers."""
        return tuple(task for task in self.tasks if task.name not in self.helpers)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Loss and accuracy of every task; of an attribute, loss and mean absolute error."""
        return tuple(f"{what}_{t.name}" for t in self.tasks for what in t.metrics)

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
        """Each task's loss over its known labels, then the weighted sum over tasks.

        In training, classes weigh what `weights` says, if it does. Metrics are named
        `<metric>_<task>`; see the tasks' `measure`.
        """
        logits, measured = self._apply(params, batch, key)
        smoothing = None if key is None else self.label_smoothing
        total, metrics = jnp.zeros(()), {}
        for task in self.tasks:
            classes = None if key is None else weights.get(f"classes_{task.name}")
            loss, found = task.measure(
                logits[task.name], batch["labels"][task.name], batch["mask"], smoothing, classes
            )
            total += weights[task.name] * loss
            metrics |= {f"{what}_{task.name}": value for what, value in found.items()}
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
        """Exact numbers over the epoch (every example counts once); `loss` is without helpers'."""
        found = {name: mean for name, mean in means.items() if name not in self._of_tasks}
        for task in self.tasks:
            names = {what: f"{what}_{task.name}" for what in (*task.metrics, task.table)}
            own = task.scores({what: means[n] for what, n in names.items() if n in means})
            found |= {f"{what}_{task.name}": value for what, value in own.items()}
        losses = (weights[task.name] * found[f"loss_{task.name}"] for task in self.main_tasks)
        found["loss"] = sum(losses, start=jnp.zeros(()))
        return found

    @property
    def _of_tasks(self) -> set[str]:
        return {f"{what}_{t.name}" for t in self.tasks for what in (*t.metrics, t.table)}
