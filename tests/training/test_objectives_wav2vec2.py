import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sersl_jax import methods
from sersl_jax.config import create
from sersl_jax.models.wav2vec2_import import import_huggingface
from sersl_jax.training.objectives_wav2vec2 import WEIGHTS as DEFAULTS
from sersl_jax.training.objectives_wav2vec2 import collapse_warning, create_wav2vec2
from tests.models import wav2vec2_small as small
from tests.models.test_wav2vec2 import GOLDENS
from tests.models.test_wav2vec2 import WEIGHTS as HUGGINGFACE

OBJECTIVE = small.objective()
WEIGHTS = {name: jnp.asarray(weight) for name, weight in DEFAULTS.items()}
ZERO = jnp.zeros((), jnp.int32)


def batch(rows=3, seed=0):
    waveform = 0.1 * jax.random.normal(jax.random.key(seed), (rows, 8_000))
    return {
        "inputs": waveform,
        "lengths": jnp.full(rows, 8_000).at[-1].set(6_000),
        "labels": {},
        "mask": jnp.ones(rows, bool),
    }


def loss(params, batch, key):
    return OBJECTIVE.loss(params, batch, WEIGHTS, key, ZERO)[:2]


train = small.jit(jax.value_and_grad(loss, has_aux=True))
evaluate = small.jit(lambda params, batch: loss(params, batch, None))


@pytest.fixture(scope="module")
def params():
    return small.random_params(OBJECTIVE.init, batch())


def test_losses_and_gradients_equal_transformers():
    objective = small.objective(small.base_network())
    params, masked = import_huggingface(HUGGINGFACE), GOLDENS["masked"]
    negatives = np.asarray(GOLDENS["negatives"]) - np.array([0, masked.shape[1]])[:, None, None]
    counts = np.stack(
        [[np.bincount(n, minlength=49) for n in np.maximum(row, 0)] for row in negatives]
    )

    def terms(params):
        out = objective.model.apply(
            {"params": params}, GOLDENS["waveform"], jnp.full(2, 16_000), masked, 1.0, None
        )
        losses, metrics = objective.terms(out, masked, jnp.asarray(counts))
        return (losses["contrastive"] + 0.1 * losses["diversity"]) * masked.sum(), metrics

    (total, metrics), gradient = small.jit(jax.value_and_grad(terms, has_aux=True))(params)
    np.testing.assert_allclose(metrics["loss_contrastive"][0], GOLDENS["contrastive"], rtol=1e-5)
    np.testing.assert_allclose(metrics["loss_diversity"][0], GOLDENS["diversity"], rtol=1e-5)
    np.testing.assert_allclose(total, GOLDENS["loss"], rtol=1e-5)
    conv0 = GOLDENS["gradient/conv0"][:, 0].T
    found = gradient["embed"]["extractor"]["conv0"]["kernel"]
    np.testing.assert_allclose(found, conv0, atol=1e-4 * np.abs(conv0).max())
    found = gradient["head_contrastive"]["project_context"]["kernel"].T
    np.testing.assert_allclose(found, GOLDENS["gradient/project_hid"], atol=1e-3)


def test_loss_is_the_weighted_sum_of_its_terms(params):
    (value, metrics), _ = train(params, batch(), jax.random.key(1))
    means = {name: total / count for name, (total, count) in metrics.items()}
    np.testing.assert_allclose(value, OBJECTIVE.scores(means, WEIGHTS)["loss"], rtol=1e-5)
    assert 0.3 < means["share_masked"] < 0.9
    assert means["temperature"] == 2.0
    assert 0 <= means["accuracy_contrastive"] <= 1
    assert 1 <= means["codebook_perplexity_1"] <= 32


def test_evaluation_is_deterministic_and_training_is_not(params):
    chex.assert_trees_all_equal(evaluate(params, batch()), evaluate(params, batch()))
    first, second = (train(params, batch(), jax.random.key(k))[0][0] for k in (1, 2))
    assert first != second


def test_rows_that_fill_the_batch_change_nothing(params):
    short = batch()
    filled = jax.tree.map(lambda x: jnp.concatenate([x, jnp.zeros_like(x[:2])]), short)
    filled["lengths"] = filled["lengths"].at[3].set(8_000)
    few, many = evaluate(params, short)[1], evaluate(params, filled)[1]
    # Masks are drawn anew for another batch size: only what does not depend on them is the same.
    penalties = [m["loss_features"][0] / m["loss_features"][1] for m in (few, many)]
    np.testing.assert_allclose(*penalties, rtol=1e-5)
    assert many["share_masked"][1] == few["share_masked"][1]
    changed = filled | {"inputs": filled["inputs"].at[3:].set(0.5)}
    chex.assert_trees_all_close(evaluate(params, changed)[1], many, rtol=1e-5)


def test_an_empty_batch_is_finite_and_counts_nothing(params):
    empty = batch() | {"mask": jnp.zeros(3, bool)}
    (value, metrics), gradient = train(params, empty, jax.random.key(0))
    assert jnp.isfinite(value)
    assert all(count == 0 for name, (_, count) in metrics.items() if name != "temperature")
    chex.assert_tree_all_finite(gradient)


def test_silence_is_finite(params):
    silent = batch() | {"inputs": jnp.zeros((3, 8_000))}
    chex.assert_tree_all_finite(train(params, silent, jax.random.key(0)))


def test_a_member_of_many_equals_the_member_alone(params):
    keys = jax.random.split(jax.random.key(3), 2)
    batches = jax.tree.map(lambda *x: jnp.stack(x), batch(seed=1), batch(seed=2))
    stacked = jax.tree.map(lambda x: jnp.stack([x, 0.5 * x]), params)
    together, _ = small.jit(jax.vmap(loss))(stacked, batches, keys)
    (alone, _), _ = train(params, batch(seed=1), keys[0])
    np.testing.assert_allclose(together[0], alone, rtol=1e-5)


def test_temperature_falls_to_its_floor():
    value = [OBJECTIVE.softmax_temperature(jnp.int32(step)) for step in (0, 1, 400_000)]
    np.testing.assert_allclose(value, [2.0, 2.0 * 0.999995, 0.5], rtol=1e-6)


def test_gradient_steps_lower_the_loss(params):
    losses = []
    for _ in range(20):
        (value, _), gradient = train(params, batch(), jax.random.key(0))
        params = jax.tree.map(lambda p, g: p - 0.02 * g, params, gradient)
        losses.append(value)
    assert losses[-1] < losses[0]


def test_collapse_is_reported_with_what_to_try():
    fine = {"codebook_perplexity_1": 60.0, "codebook_perplexity_2": 80.0}
    assert collapse_warning(fine, 320) is None
    message = collapse_warning(fine | {"codebook_perplexity_2": 2.0}, 320)
    assert "group 2 (2.0) of 320 entries" in message
    assert "learning rate" in message


def test_configured_network_has_fairseqs_sizes():
    config = methods.self_supervised("ssl1")
    config.stages = ("finetune",)
    config.model.embed = "waveform"
    objective = create_wav2vec2(create(config).model, "float32")
    params = jax.eval_shape(objective.init, jax.random.key(0), batch())
    shapes = jax.tree.map(jnp.shape, params["head_contrastive"])
    assert shapes["mask_embedding"] == (130,)
    assert shapes["quantizer"]["codebook"] == (2, 320, 128)
    assert shapes["project_context"]["kernel"] == (130, 256)
    assert shapes["project_targets"]["kernel"] == (256, 256)
    _, metrics, _ = jax.eval_shape(
        objective.loss, params, batch(), WEIGHTS, jax.random.key(0), ZERO
    )
    assert {"codebook_perplexity_1", "codebook_perplexity_2"} < metrics.keys()
    assert objective.mask_probability * objective.mask_length == pytest.approx(0.65)
