"""What a task is: one name for its label, its head, its logits, its loss and its metric."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from sersl_jax.pretext.action_units import EMOTIONS

LOW_HIGH = ("low", "high")


@dataclass(frozen=True)
class Task:
    """A classification task: its name and its classes' names, in the order of the labels.

    Two classes take one logit and binary cross-entropy, more take softmax cross-entropy (Sec. 4.3).
    A label of -1 is unknown.
    """

    name: str
    classes: tuple[str, ...]

    @property
    def num_outputs(self) -> int:
        """Logits that the head gives."""
        return 1 if len(self.classes) == 2 else len(self.classes)

    def losses(
        self, logits: Float[Array, "batch outputs"], labels: Int[Array, " batch"]
    ) -> Float[Array, " batch"]:
        """Cross-entropy of each example; 0 where the label is unknown."""
        known = jnp.maximum(labels, 0)
        if self.num_outputs == 1:
            losses = optax.sigmoid_binary_cross_entropy(logits[:, 0], known)
        else:
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, known)
        return jnp.where(labels >= 0, losses, 0.0)

    def probabilities(
        self, logits: Float[Array, "batch outputs"]
    ) -> Float[Array, "batch classes"]:
        """Probability of each class."""
        if self.num_outputs == 1:
            high = jax.nn.sigmoid(logits)
            return jnp.concatenate([1.0 - high, high], axis=1)
        return jax.nn.softmax(logits, axis=1)


# The pretext tasks (Sec. 3.1-3.3) and SSL 2's single centroid (Sec. 5.1).
TASKS = {
    task.name: task
    for task in (
        Task("energy", LOW_HIGH),
        Task("upper_face", LOW_HIGH),
        Task("lower_face", LOW_HIGH),
        Task("whole_face", LOW_HIGH),
        Task("action_units", EMOTIONS),
    )
}
