"""Adam, clipping, weight decay, schedules, the plateau and averaged parameters, by hand."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sersl_jax.config import OptimizerConfig
from sersl_jax.training import step
from sersl_jax.training.optimizer import create_optimizer, create_plateau, learning_rate

RATE = 0.01


def update(config: OptimizerConfig, params, gradient):
    optimizer = create_optimizer(config)
    return optimizer.update(gradient, optimizer.init(params), params, num_steps=10)[0]


def test_adam_steps_as_kingma_and_ba_say():
    config = OptimizerConfig(learning_rate=RATE, clip_norm=0.0)
    optimizer, w = create_optimizer(config), {"kernel": jnp.array([1.0, -2.0])}
    state, first, second = optimizer.init(w), np.zeros(2), np.zeros(2)
    for t, g in enumerate(np.array([[0.3, -4.0], [0.1, 2.0], [-5.0, 0.0]]), start=1):
        found, state = optimizer.update(
            {"kernel": jnp.asarray(g, jnp.float32)}, state, w, num_steps=10
        )
        first, second = 0.9 * first + 0.1 * g, 0.999 * second + 0.001 * g**2
        expected = first / (1 - 0.9**t) / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        np.testing.assert_allclose(found["kernel"], -RATE * expected, rtol=1e-4)


def test_a_long_gradient_is_cut_to_the_norm_of_section_4_3():
    """Adam forgets a gradient's length, but for eps: here far above it."""
    config = OptimizerConfig(learning_rate=1.0, eps=1e3)
    params = {"a": jnp.zeros(1), "b": jnp.zeros(1)}
    long = update(config, params, {"a": jnp.array([30.0]), "b": jnp.array([40.0])})
    short = update(config, params, {"a": jnp.array([0.3]), "b": jnp.array([0.4])})
    np.testing.assert_allclose([-long["a"][0], -long["b"][0]], [0.48e-3, 0.64e-3], rtol=1e-3)
    np.testing.assert_allclose([-short["a"][0], -short["b"][0]], [0.3e-3, 0.4e-3], rtol=1e-3)


def test_matrices_decay_alone_also_where_layers_are_stacked():
    two = jnp.ones((2, 3))
    params = {
        "blocks": {"kernel": jnp.ones((2, 3, 3)), "bias": two, "scale": two},
        "norm": {"scale": jnp.ones(3)}, "codebook": jnp.ones((2, 4, 3)),
    }  # fmt: skip
    zero = jax.tree.map(jnp.zeros_like, params)
    config = OptimizerConfig(learning_rate=RATE, schedule="linear", weight_decay=0.5)
    found = update(config, params, zero)
    expected = {
        "blocks": {"kernel": -RATE * 0.5, "bias": 0.0, "scale": 0.0},
        "norm": {"scale": 0.0}, "codebook": -RATE * 0.5,
    }  # fmt: skip
    jax.tree.map(lambda got, value: np.testing.assert_allclose(got, value), found, expected)


@pytest.mark.parametrize(
    ("schedule", "at"),
    [  # warm-up over 4 steps, then 8 more; shares of the rate at steps 0, 2, 4, 8 and 12
        ("linear", (0.0, 0.5, 1.0, 0.5, 0.0)),
        ("cosine", (0.0, 0.5, 1.0, 0.5, 0.0)),
        ("plateau", (0.0, 0.5, 1.0, 1.0, 1.0)),
    ],
)
def test_schedules_warm_up_and_end_at_zero(schedule, at):
    config = OptimizerConfig(learning_rate=RATE, schedule=schedule, warmup_steps=4)
    found = [float(learning_rate(config, step, 12)) / RATE for step in (0, 2, 4, 8, 12)]
    np.testing.assert_allclose(found, at, atol=1e-6)
    if schedule == "cosine":
        quarter = float(learning_rate(config, 6, 12)) / RATE
        assert quarter == pytest.approx((1 + np.cos(np.pi / 4)) / 2, abs=1e-6)


def test_the_rate_falls_after_epochs_without_a_better_loss_down_to_the_floor():
    config = OptimizerConfig(plateau_floor=0.05)
    plateau = create_plateau(config)
    state, scales = plateau.init({}), []
    for loss in [1.0, 0.9] + [0.9] * 12:  # the second one is the last better one
        state = step._reduce(plateau, state, jnp.float32(loss))
        scales.append(float(state.scale))
    waited = config.plateau_patience
    assert scales[: 1 + waited] == [1.0] * (1 + waited)
    np.testing.assert_allclose(scales[1 + waited : 1 + 2 * waited], 0.1)
    np.testing.assert_allclose(scales[-1], 0.05)


def test_averaged_parameters_follow_quickly_at_first():
    """min(decay, (1 + t) / (10 + t)) of the average stays."""
    steps = SimpleNamespace(ema_decay=0.5)
    average, by_hand = {"w": jnp.zeros(1)}, 0.0
    for t in range(12):
        params = {"w": jnp.array([float(t)])}
        state = step.TrainState(params, None, None, average, jnp.int32(t), {})
        average = step.Steps._average(steps, state, params)
        decay = min(0.5, (1 + t) / (10 + t))
        by_hand = decay * by_hand + (1 - decay) * t
        assert float(average["w"][0]) == pytest.approx(by_hand, rel=1e-5)
