"""What a task is: one name for its label, its head, its logits, its loss and its metric."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Num

Labels = Num[Array, "batch *classes"]  # class numbers (-1: unknown), or each class's share of votes
# Sums over a batch's known labels, and how many there are.
Measures = dict[str, tuple[Float[Array, "*shape"], Float[Array, ""]]]


@dataclass(frozen=True)
class Task:
    """A classification task: its name and its classes' names, in the order of the labels.

    Two classes take one logit and binary cross-entropy, more take softmax cross-entropy (Sec. 4.3).
    """

    name: str
    classes: tuple[str, ...]

    metrics = ("loss", "accuracy")  # in training; `table` beside them in evaluation
    table = "confusion"

    @property
    def num_outputs(self) -> int:
        """Logits that the head gives."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    def stamp(self) -> list[str]:
        """What a checkpoint keeps of the task beside its name; see `create`."""
        return list(self.classes)

    def measure(
        self,
        logits: Float[Array, "batch outputs"],
        labels: Labels,
        mask: Bool[Array, " batch"],
        smoothing: float | None,
        class_weights: Float[Array, " classes"] | None = None,
    ) -> tuple[Float[Array, ""], Measures]:
        """Mean loss and metrics over the known labels of the rows that `mask` names.

        `smoothing=None` evaluates: `confusion` [classes, classes] counts labels (rows) and
        predictions. Classes weigh what `class_weights` says in training alone.
        """
        scored = mask & known(labels)
        count = scored.sum(dtype=jnp.float32)
        learnt = labels if smoothing is None else self.smooth(labels, smoothing)
        losses = self.losses(logits, learnt)
        if smoothing is not None and class_weights is not None:
            losses *= self.shares(labels) @ class_weights
        loss = losses.sum(where=scored)
        predicted = self.probabilities(logits).argmax(axis=1)
        correct = predicted == class_numbers(labels)
        found = {"loss": (loss, count)}
        found["accuracy"] = (correct.sum(where=scored, dtype=jnp.float32), count)
        if smoothing is None:
            number = len(self.classes)
            cells = jax.nn.one_hot(class_numbers(labels) * number + predicted, number**2)
            confusion = (cells * scored[:, None]).sum(axis=0).reshape(number, number)
            found[self.table] = (confusion, count)
        return loss / jnp.maximum(count, 1.0), found

    def scores(self, means: Mapping[str, Array]) -> dict[str, Array]:
        """An epoch's metrics from the means of what `measure` gave: macro F1 in evaluation."""
        found = {name: means[name] for name in self.metrics}
        if self.table in means:
            found["macro_f1"] = macro_f1(means[self.table])
        return found

    def losses(
        self, logits: Float[Array, "batch outputs"], labels: Labels
    ) -> Float[Array, " batch"]:
        """Cross-entropy of each example; 0 where the label is unknown."""
        shares = self.shares(labels)
        if self.num_outputs == 1:
            return optax.sigmoid_binary_cross_entropy(logits, shares[:, 1:]).sum(
                axis=1, where=known(labels)[:, None]
            )
        return optax.safe_softmax_cross_entropy(logits, shares)

    def smooth(self, labels: Labels, share: float) -> Num[Array, "batch *shares"]:
        """Labels with `share` of their weight spread over all classes (label smoothing)."""
        if not share:
            return labels
        shares = self.shares(labels)
        spread = share / len(self.classes)
        return (1 - share) * shares + spread * shares.sum(axis=1, keepdims=True)

    def shares(self, labels: Labels) -> Num[Array, "batch classes"]:
        """Each class's share; all 0 where the label is unknown."""
        return labels if labels.ndim == 2 else jax.nn.one_hot(labels, len(self.classes))

    def probabilities(self, logits: Float[Array, "batch outputs"]) -> Float[Array, "batch classes"]:
        """Probability of each class."""
        if self.num_outputs == 1:
            high = jax.nn.sigmoid(logits)
            return jnp.concatenate([1.0 - high, high], axis=1)
        return jax.nn.softmax(logits, axis=1)


@dataclass(frozen=True)
class Attribute:
    """A regression task: a number such as arousal, in the corpus's own scale; nan is unknown.

    Attributes:
      low, high: ends of the scale. The head's output -1 stands for `low`, 1 for `high`; values
        beyond them are possible.
      loss: `ccc`: 1 - CCC over the batch's known labels (Lin, 1989), 1 where CCC has no value |
        `mse`: mean squared error in units of half the scale.
    """

    name: str
    low: float
    high: float
    loss: str = "ccc"

    metrics = ("loss", "mae")
    table = "moments"
    num_outputs = 1

    def stamp(self) -> dict[str, list[float]]:
        """What a checkpoint keeps of the task beside its name; see `create`."""
        return {"scale": [self.low, self.high]}

    def values(self, logits: Float[Any, "batch 1"]) -> Float[Any, " batch"]:
        """Predictions in the corpus's scale."""
        return (self.low + self.high) / 2 + self._half * logits[:, 0]

    def rescale(
        self, values: Float[Any, " batch"], low: float, high: float
    ) -> Float[Any, " batch"]:
        """Values in a scale from `low` to `high` as in this one: end to end, linearly."""
        return self.low + (values - low) * ((self.high - self.low) / (high - low))

    @property
    def _half(self) -> float:
        return (self.high - self.low) / 2

    def measure(
        self,
        logits: Float[Array, "batch 1"],
        labels: Float[Array, " batch"],
        mask: Bool[Array, " batch"],
        smoothing: float | None,
        class_weights: Float[Array, " classes"] | None = None,
    ) -> tuple[Float[Array, ""], Measures]:
        """Loss and metrics over the known labels of the rows that `mask` names.

        `mae` is in the corpus's scale; `class_weights` are of classes alone. `smoothing=None`
        evaluates: `moments` [5] are sums of label, prediction, their squares and their product, in
        units of half the scale, from which CCC over a whole epoch follows.
        """
        scored = mask & ~jnp.isnan(labels)
        count = scored.sum(dtype=jnp.float32)
        y = jnp.where(scored, (labels - self.low) / self._half - 1, 0.0)
        x = jnp.where(scored, logits[:, 0], 0.0)
        if self.loss == "ccc":
            loss = 1 - ccc(x, y, scored)
        else:
            loss = ((x - y) ** 2).sum() / jnp.maximum(count, 1.0)
        loss = jnp.where(count > 0, loss, 0.0)
        found = {"loss": (loss * count, count), "mae": (self._half * jnp.abs(x - y).sum(), count)}
        if smoothing is None:
            moments = jnp.stack([y, x, y * y, x * x, x * y]).sum(axis=1)
            found[self.table] = (moments, count)
        return loss, found

    def scores(self, means: Mapping[str, Array]) -> dict[str, Array]:
        """An epoch's metrics from the means of what `measure` gave; in evaluation CCC and Pearson.

        They are over all examples, and so then is the loss; in training it is the batches' mean.
        """
        found = {name: means[name] for name in self.metrics}
        if self.table in means:
            y, x, yy, xx, xy = means[self.table]
            y_variance, x_variance = jnp.maximum(yy - y * y, 0.0), jnp.maximum(xx - x * x, 0.0)
            covariance = xy - x * y
            found["ccc"] = _ratio(2 * covariance, y_variance + x_variance + (x - y) ** 2)
            found["pearson"] = _ratio(covariance, jnp.sqrt(y_variance * x_variance))
            found["loss"] = 1 - found["ccc"] if self.loss == "ccc" else found["loss"]
        return found


AnyTask = Task | Attribute


def create(name: str, stamp: Any) -> AnyTask:
    """The inverse of a task's `stamp`."""
    return Attribute(name, *stamp["scale"]) if isinstance(stamp, Mapping) else Task(name, (*stamp,))


def known(labels: Labels) -> Bool[Array, " batch"]:
    """False where a label is unknown: class -1, or no votes."""
    return labels >= 0 if labels.ndim == 1 else labels.sum(axis=1) > 0


def class_numbers(labels: Labels) -> Int[Array, " batch"]:
    """Class numbers; of shares, the largest."""
    return labels if labels.ndim == 1 else labels.argmax(axis=1)


def macro_f1(confusion: Float[Array, "classes classes"]) -> Float[Array, ""]:
    """Mean F1 of the classes; 0 for a class that neither occurs nor is predicted."""
    sizes = confusion.sum(axis=0) + confusion.sum(axis=1)
    return (2 * jnp.diagonal(confusion) / jnp.where(sizes == 0, 1, sizes)).mean()


def ccc(
    x: Float[Array, " batch"], y: Float[Array, " batch"], mask: Bool[Array, " batch"]
) -> Float[Array, ""]:
    """Concordance correlation coefficient (Lin, 1989) of the rows that `mask` names, in [-1, 1].

    2 cov(x, y) / (var x + var y + (mean x - mean y)^2), with moments over n. 1e-8 is added to the
    denominator, so that value and gradient are finite; 0 for the same constant in both.
    """
    count = jnp.maximum(mask.sum(dtype=jnp.float32), 1.0)
    x_mean, y_mean = x.sum(where=mask) / count, y.sum(where=mask) / count
    dx, dy = jnp.where(mask, x - x_mean, 0.0), jnp.where(mask, y - y_mean, 0.0)
    spread = ((dx**2).sum() + (dy**2).sum()) / count + (x_mean - y_mean) ** 2
    return 2 * (dx * dy).sum() / count / (spread + 1e-8)


def _ratio(numerator: Float[Array, ""], denominator: Float[Array, ""]) -> Float[Array, ""]:
    """Division in which 0 / 0 is 0."""
    return jnp.where(denominator > 0, numerator / jnp.maximum(denominator, 1e-30), 0.0)
