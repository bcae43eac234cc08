"""What a GPU would run, lowered for CUDA on a machine that has none."""

import re
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import sersl_jax
from sersl_jax.config import create
from sersl_jax.inference.ensemble import create_forward
from sersl_jax.training.trainer import create_trainer, fresh_params
from tests import made_up


@pytest.fixture(autouse=True)
def as_on_a_gpu(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


def lowered(function, *args) -> Counter:
    """How often each operation stands in the program; a loop's body counts once."""
    text = function.trace(*args).lower(lowering_platforms=("cuda",)).as_text()
    assert "custom_call" not in text  # nor a callback, which is one
    return Counter(re.findall(r"stablehlo\.(\w+)", text))


# Loops: over the steps; forward and backward over each stack's layers; drawing mixup's shares. None
# is over the batch. `products` and `all_operations` are of a step: raise them knowingly.
@pytest.mark.parametrize(
    ("method", "loops", "loops_of_evaluation", "products", "all_operations"),
    [("supervised", 1 + 2 * 2, 2, 46, 6100), ("best", 1 + 2, 0, 14, 5000)],
)
def test_a_training_lowers_for_cuda(method, loops, loops_of_evaluation, products, all_operations):
    config = create(made_up.config(method))
    trainer = create_trainer(made_up.training((0, 1), method=method), config)
    program, member, resident = trainer.program, trainer.member, trainer.feed.resident
    state, best = program.create_state.eval_shape(fresh_params(trainer.training, config))
    length, count, xs = next(iter(trainer.feed.dispatches(trainer.plan(0))))
    step = lowered(program.run_steps, state, member, resident, xs, np.int32(count), length)
    assert step["while"] == loops
    assert step["dot_general"] == products
    assert step.total() < all_operations
    x = jax.tree.map(lambda a: a[0], xs)
    evaluation = lowered(program.evaluate, best.params, member, resident, x, length)
    assert evaluation["while"] == loops_of_evaluation
    totals = program.evaluate.eval_shape(best.params, member, resident, x, length)
    assert lowered(program.end_epoch, state, best, totals, member, np.int32(1))["while"] == 0
    lowered(program.predict, best.params, member, resident, x, length)


def test_prediction_lowers_for_cuda():
    ensemble = sersl_jax.load().ensemble
    forward = jax.jit(create_forward(ensemble.info))
    found = lowered(forward, ensemble.weights, jnp.zeros((4, 64, 130)), jnp.full(4, 64))
    assert found["while"] == 0  # members and clips side by side
