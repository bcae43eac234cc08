"""What a task is: one name for its label, its head, its logits, its loss and its metric."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Num

Labels = Num[Array, "batch *classes"]  # class numbers (-1: unknown), or each class's share of votes


@dataclass(frozen=True)
class Task:
    """A classification task: its name and its classes' names, in the order of the labels.

    Two classes take one logit and binary cross-entropy, more take softmax cross-entropy (Sec. 4.3).
    """

    name: str
    classes: tuple[str, ...]

    @property
    def num_outputs(self) -> int:
        """Logits that the head gives."""
        return 1 if len(self.classes) == 2 else len(self.classes)

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


def known(labels: Labels) -> Bool[Array, " batch"]:
    """False where a label is unknown: class -1, or no votes."""
    return labels >= 0 if labels.ndim == 1 else labels.sum(axis=1) > 0


def class_numbers(labels: Labels) -> Int[Array, " batch"]:
    """Class numbers; of shares, the largest."""
    return labels if labels.ndim == 1 else labels.argmax(axis=1)
