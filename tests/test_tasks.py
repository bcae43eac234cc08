import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import log_loss

from sersl_jax.tasks import Task
from sersl_jax.training.objectives import Multitask

ENERGY = Task("energy", ("low", "high"))
EMOTION = Task("emotion", ("anger", "joy", "calm"))


@pytest.mark.parametrize("task", [ENERGY, EMOTION])
def test_losses_and_probabilities_agree_with_scikit_learn(task):
    random = np.random.default_rng(0)
    logits = jnp.asarray(random.normal(size=(50, task.num_outputs)))
    labels = random.integers(0, len(task.classes), 50)
    p = np.asarray(task.probabilities(logits), np.float64)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, atol=1e-6)
    expected = log_loss(labels, p / p.sum(axis=1, keepdims=True), labels=range(len(task.classes)))
    np.testing.assert_allclose(task.losses(logits, jnp.asarray(labels)).mean(), expected, rtol=1e-5)


@pytest.mark.parametrize("task", [ENERGY, EMOTION])
def test_shares_of_one_class_are_that_class(task):
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(6, task.num_outputs)))
    labels = np.arange(6) % len(task.classes)
    shares = jnp.asarray(np.eye(len(task.classes), dtype=np.float32)[labels])
    hard = task.losses(logits, jnp.asarray(labels))
    np.testing.assert_allclose(task.losses(logits, shares), hard, rtol=1e-6)


class Fixed:
    """A network whose logits are its parameters."""

    def apply(self, variables, inputs, lengths, key):
        return variables["params"]


def test_unknown_labels_and_padding_rows_change_nothing():
    tasks = (ENERGY, EMOTION)
    objective = Multitask.__new__(Multitask)
    object.__setattr__(objective, "model", Fixed())
    object.__setattr__(objective, "tasks", tasks)
    random = np.random.default_rng(1)
    logits = {t.name: jnp.asarray(random.normal(size=(4, t.num_outputs))) for t in tasks}
    batch = {
        "inputs": jnp.zeros((4, 2, 130)),
        "lengths": jnp.full(4, 2),
        "labels": {"energy": jnp.array([1, -1, 0, 1]), "emotion": jnp.array([-1, 2, 1, 0])},
        "mask": jnp.array([True, True, True, False]),
    }
    weights = {"energy": jnp.float32(1.0), "emotion": jnp.float32(2.0)}
    total, metrics, _ = objective.loss(logits, batch, weights, None, jnp.int32(0))
    energy = ENERGY.losses(logits["energy"], jnp.array([1, 0, 0, 1]))[jnp.array([0, 2])]
    emotion = EMOTION.losses(logits["emotion"], jnp.array([0, 2, 1, 0]))[1:3]
    np.testing.assert_allclose(total, energy.mean() + 2 * emotion.mean(), rtol=1e-6)
    assert metrics["loss_energy"][1] == metrics["accuracy_emotion"][1] == 2
    means = {name: s / n for name, (s, n) in metrics.items()}
    np.testing.assert_allclose(objective.scores(means, weights)["loss"], total, rtol=1e-6)
