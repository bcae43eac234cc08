import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from sersl_jax.tasks import Task
from sersl_jax.training.class_weights import class_weights
from sersl_jax.training.objectives import Multitask

LABELS = np.array([0, 0, 0, 0, 1, 2, 2, 2, -1], np.int32)
KNOWN = LABELS[LABELS >= 0]


def test_balanced_weights_are_scikit_learns():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=KNOWN)
    np.testing.assert_allclose(class_weights(LABELS, 3, "balanced"), expected, rtol=1e-6)


@pytest.mark.parametrize("kind", ["balanced", "sqrt"])
def test_the_mean_weight_of_an_example_is_1(kind):
    assert class_weights(LABELS, 3, kind)[KNOWN].mean() == pytest.approx(1.0)
    assert class_weights(LABELS, 4, kind)[3] == 0  # nobody has it


def test_sqrt_lies_between_and_shares_count_as_they_are():
    balanced, sqrt = (class_weights(LABELS, 3, kind) for kind in ("balanced", "sqrt"))
    np.testing.assert_allclose(sqrt / sqrt[0], np.sqrt(balanced / balanced[0]), rtol=1e-6)
    np.testing.assert_allclose(class_weights(np.eye(3)[KNOWN], 3, "sqrt"), sqrt, rtol=1e-6)


class Constant(nn.Module):
    """A network whose logits are its only parameter."""

    @nn.compact
    def __call__(self, inputs, lengths, key):
        logits = self.param("logits", nn.initializers.zeros, (3,))
        return {"emotion": jnp.broadcast_to(logits, (len(lengths), 3))}


@pytest.mark.parametrize("shares", [False, True])
def test_classes_weigh_in_training_alone(shares):
    objective = Multitask(Constant(), (Task("emotion", ("anger", "calm", "joy")),))
    numbers, logits = np.array([0, 0, 2]), jnp.array([1.0, 2.0, 0.5])
    labels = jnp.asarray(np.eye(3, dtype=np.float32)[numbers] if shares else numbers)
    batch = {"inputs": jnp.zeros((3, 1)), "lengths": jnp.ones(3, jnp.int32)}
    batch |= {"labels": {"emotion": labels}, "mask": jnp.ones(3, bool)}
    own = {"emotion": jnp.ones(()), "classes_emotion": jnp.array([0.5, 9.0, 2.0])}
    each = -np.asarray(jax.nn.log_softmax(logits))[numbers]

    def loss(weights, key):
        return float(objective.loss({"logits": logits}, batch, weights, key, jnp.int32(0))[0])

    key = jax.random.key(0)
    assert loss(own, key) == pytest.approx((each * [0.5, 0.5, 2.0]).mean())
    assert loss(own, None) == loss({"emotion": jnp.ones(())}, None) == pytest.approx(each.mean())
