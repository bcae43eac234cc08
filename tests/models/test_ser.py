import functools
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sersl_jax import methods
from sersl_jax.config import create
from sersl_jax.models.build import create_network
from sersl_jax.models.ser import AttentionPool, last_pool
from sersl_jax.tasks import Task
from sersl_jax.training.objectives import Multitask
from tests.models import golden_weights

GOLDENS = np.load(Path(__file__).parent / "goldens" / "ser.npz")
TASKS = (
    Task("action_units", ("happiness", "sadness", "surprise", "anger", "other")),
    Task("energy", ("low", "high")),
)


def network(dtype="float32", **choices):
    config = methods.self_supervised("ssl1")
    config.model.update(choices)
    return create_network(create(config).model, TASKS, dtype)


def small(**choices):
    sizes = {"dim": 20, "num_heads": 2, "ffn_dim": 40, "num_layers": 2}
    return network(**sizes, **choices)


def batch(x, lengths, y):
    fields = {"inputs": x, "lengths": lengths, "labels": y, "mask": np.ones(len(x), bool)}
    return jax.tree.map(jnp.asarray, fields)


@pytest.fixture(scope="module")
def params():
    x, lengths, _ = golden_weights.batch("default")
    return jax.jit(small().init, static_argnums=3)(jax.random.key(0), x, lengths, None)["params"]


@pytest.mark.parametrize("variant", golden_weights.VARIANTS)
def test_outputs_and_gradients_equal_the_pytorch_reference(variant):
    choices = golden_weights.VARIANTS[variant]
    objective = Multitask(network(**choices), TASKS)
    weights = golden_weights.torch_weights(choices.get("residual", "free"))
    x, lengths, y = golden_weights.batch(variant)
    ones = {task.name: jnp.ones(()) for task in TASKS}

    @jax.jit
    def evaluate(params):
        def loss(params):
            value, _, _ = objective.loss(params, batch(x, lengths, y), ones, None, jnp.int32(0))
            return value

        return objective.logits(params, batch(x, lengths, y), None), jax.value_and_grad(loss)(
            params
        )

    logits, (loss, gradient) = evaluate(golden_weights.to_ours(weights))
    np.testing.assert_allclose(loss, GOLDENS[f"{variant}/loss"], atol=1e-4)
    for task in TASKS:
        np.testing.assert_allclose(logits[task.name], GOLDENS[f"{variant}/{task.name}"], atol=1e-4)
    probes = {name: golden_weights.noise(f"probe {name}", w.shape) for name, w in weights.items()}
    expected = {name: GOLDENS[f"{variant}/gradient/{name}"] for name in weights}
    ones_like = golden_weights.to_ours(
        {n: np.full(w.shape, expected[n]) for n, w in weights.items()}
    )
    probes = golden_weights.to_ours(probes)

    def compare(path, probe, gradient, expected):
        stacked = "blocks" in jax.tree_util.keystr(path)
        axes = tuple(range(1 if stacked else 0, gradient.ndim))
        found = (probe * gradient).sum(axis=axes)
        wanted = expected.reshape(*expected.shape[: int(stacked)], -1)[..., 0]
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4, err_msg=str(path))

    jax.tree_util.tree_map_with_path(compare, probes, jax.device_get(gradient), ones_like)


def test_parameter_count_is_the_papers_network():
    x, lengths, _ = golden_weights.batch("default")
    init = functools.partial(network().init, jax.random.key(0), key=None)
    shapes = jax.eval_shape(init, x, lengths)["params"]

    def count(tree):
        return sum(leaf.size for leaf in jax.tree.leaves(tree))

    assert count(shapes["embed"]) + count(shapes["encoder"]) == 2_062_330
    assert count(shapes["head_energy"]) == 17_030 + 131
    assert count(shapes["head_action_units"]) == 17_030 + 131 * 5


@pytest.mark.parametrize("pooling", ["mean", "last", "attention"])
@pytest.mark.parametrize("training", [False, True])
def test_padding_changes_nothing_dropout_included(params, pooling, training):
    x, lengths, _ = golden_weights.batch("padded_160")
    key = jax.random.key(3) if training else None
    params = with_score(params, 1.0) if pooling == "attention" else params
    apply = jax.jit(small(pooling=pooling).apply)
    short = apply({"params": params}, x, lengths, key)
    longer = np.pad(x, ((0, 0), (0, 32), (0, 0)), constant_values=7.0)
    chex.assert_trees_all_close(short, apply({"params": params}, longer, lengths, key), atol=1e-5)


def with_score(params, size):
    return {**params, "pool": {"score": {"kernel": size * jnp.linspace(-1, 1, 20)[:, None]}}}


def test_attention_pooling_starts_as_the_mean_and_then_weighs_frames(params):
    x, lengths, _ = golden_weights.batch("padded_160")

    def logits(pooling, params):
        return jax.jit(small(pooling=pooling).apply)({"params": params}, x, lengths, None)

    mean = logits("mean", params)
    chex.assert_trees_all_close(logits("attention", with_score(params, 0.0)), mean, atol=1e-5)
    weighted = logits("attention", with_score(params, 1.0))
    assert np.abs(weighted["energy"] - mean["energy"]).max() > 1e-3
    init = jax.jit(small(pooling="attention").init, static_argnums=3)
    assert not init(jax.random.key(0), x, lengths, None)["params"]["pool"]["score"]["kernel"].any()


def test_attention_pooling_is_a_softmax_over_valid_frames():
    x = jnp.array([[[0.0], [1.0], [9.0]]])
    variables = {"params": {"score": {"kernel": jnp.full((1, 1), np.log(3.0))}}}
    found = AttentionPool().apply(variables, x, jnp.array([[True, True, False]]))
    np.testing.assert_allclose(found, [[3 / 4]], rtol=1e-5)
    none = AttentionPool().apply(variables, x, jnp.zeros((1, 3), bool))
    assert np.isfinite(none).all()


def test_dropout_differs_by_key_and_is_off_without_one(params):
    x, lengths, _ = golden_weights.batch("default")
    apply = jax.jit(small().apply)
    one, other = (apply({"params": params}, x, lengths, jax.random.key(k)) for k in (0, 1))
    assert not np.allclose(one["energy"], other["energy"])
    plain = apply({"params": params}, x, lengths, None)
    np.testing.assert_array_equal(
        plain["energy"], apply({"params": params}, x, lengths, None)["energy"]
    )


def test_causal_network_does_not_look_ahead(params):
    x, *_ = golden_weights.batch("default")
    encoder = small(causal=True).bind({"params": params}).encoder
    mask = jnp.ones((3, 124), bool)
    inputs = x[..., :20]
    changed = inputs.copy()
    changed[:, 60:] = 9.0
    run = jax.jit(lambda x: encoder(x, mask, None))
    np.testing.assert_allclose(run(inputs)[:, :60], run(changed)[:, :60], atol=1e-6)


@pytest.mark.parametrize("residual", ["free", "tied"])
def test_drawn_residual_scales_are_alpha_and_one_minus_alpha(residual):
    scales = initial_scales(alpha_init="uniform", residual=residual)
    assert len(set(scales["alpha"].tolist())) == 2, "layers are initialised independently"
    if residual == "free":
        np.testing.assert_allclose(scales["alpha"] + scales["beta"], 1.0, atol=1e-6)
    else:
        assert "beta" not in scales


def test_residual_scales_start_at_one():
    np.testing.assert_array_equal(initial_scales(residual="free")["alpha"], [1, 1])
    np.testing.assert_array_equal(initial_scales(residual="free")["beta"], [1, 1])
    assert "beta" not in initial_scales(residual="tied")


def initial_scales(**choices):
    """Stack 2's alpha and beta; stack 1 has none."""
    x, lengths, _ = golden_weights.batch("default")
    init = jax.jit(small(**choices).init, static_argnums=3)
    encoder = init(jax.random.key(0), x, lengths, None)["params"]["encoder"]
    assert "alpha" not in encoder["stack1"]["blocks"]
    return {n: v for n, v in encoder["stack2"]["blocks"].items() if n in ("alpha", "beta")}


def test_bfloat16_stays_near_float32(params):
    x, lengths, _ = golden_weights.batch("padded_160")
    full = jax.jit(small().apply)({"params": params}, x, lengths, None)
    half = jax.jit(small(dtype="bfloat16").apply)({"params": params}, x, lengths, None)
    chex.assert_trees_all_close(full, half, atol=2e-3)  # 0.2 is the largest logit
    gaps = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), full, half)
    assert min(jax.tree.leaves(gaps)) > 1e-6  # products are of bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("field", ["residual", "pooling", "positions", "embed"])
def test_a_misspelt_choice_is_named(field):
    with pytest.raises(ValueError, match=f"config.model.{field}='sideways'"):
        network(**{field: "sideways"})


def test_the_last_frame_may_follow_frames_that_are_left_out():
    mask = jnp.array([[False, True, False, True, True, False], [False] * 6])
    x = jnp.arange(12.0).reshape(2, 6, 1)
    assert last_pool(x, mask)[0, 0] == 4
    assert jnp.isfinite(last_pool(x, mask)).all()
