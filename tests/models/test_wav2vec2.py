from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sersl_jax.models.ser import SerNet
from sersl_jax.models.wav2vec2 import num_frames
from sersl_jax.models.wav2vec2_import import import_huggingface
from sersl_jax.models.wav2vec2_pretrain import GumbelQuantizer
from tests.models import wav2vec2_small as small

GOLDENS = jax.tree.map(jnp.asarray, dict(np.load(Path(__file__).parent / "goldens/wav2vec2.npz")))
WEIGHTS = {k.removeprefix("weights/"): v for k, v in GOLDENS.items() if k.startswith("weights/")}
CLOSE = {"atol": 1e-4, "rtol": 0}


def noise(*shape, seed=0):
    return 0.1 * jax.random.normal(jax.random.key(seed), shape)


@pytest.fixture(scope="module")
def embed():
    module = small.embedding()
    params = small.jit(lambda x, n: module.init(jax.random.key(0), x, n, None))(
        noise(1, 400), jnp.array([400])
    )
    return small.jit(lambda x, n: module.apply(params, x, n, None))


def test_num_frames_follows_the_strides():
    lengths = [0, 399, 400, 719, 720, 16_000, 32_000]
    frames = [0, 0, 1, 1, 2, 49, 99]
    assert [num_frames(n) for n in lengths] == frames
    assert num_frames(jnp.array(lengths)).tolist() == frames


def test_outputs_equal_transformers():
    network = small.base_network()
    params = import_huggingface(WEIGHTS)
    out = small.jit(lambda p, *x: network.apply({"params": p}, *x, 1.0, None))(
        params, GOLDENS["waveform"], jnp.full(2, 16_000), GOLDENS["masked"]
    )
    for name in ("features", "predictions", "targets"):
        np.testing.assert_allclose(getattr(out, name), GOLDENS[name], **CLOSE, err_msg=name)


def test_context_equals_transformers():
    params, masked = import_huggingface(WEIGHTS), GOLDENS["masked"]
    embed = small.embedding(16, 1.0, 12)
    x, mask = small.jit(lambda p, *x: embed.apply({"params": p}, *x, None))(
        params["embed"], GOLDENS["waveform"], jnp.full(2, 16_000)
    )
    x = jnp.where(masked[..., None], params["head_contrastive"]["mask_embedding"], x)
    context = small.jit(lambda p, *x: small.base_context().apply({"params": p}, *x, None))(
        params["encoder"], x, mask
    )
    np.testing.assert_allclose(context, GOLDENS["context"], **CLOSE)


@pytest.mark.parametrize("length", [400, 5_003])
def test_padding_changes_nothing(embed, length):
    waveform = noise(1, length)
    alone, mask = embed(waveform, jnp.array([length]))
    padded = jnp.pad(waveform, ((0, 0), (0, 8_000 - length)), constant_values=0.3)
    both, masks = embed(jnp.concatenate([padded, noise(1, 8_000)]), jnp.array([length, 8_000]))
    assert mask.all()
    assert masks.sum(axis=1).tolist() == [alone.shape[1], num_frames(8_000)]
    np.testing.assert_allclose(both[0, : alone.shape[1]], alone[0], atol=2e-5)


def test_padding_changes_nothing_in_the_base_context():
    module = small.base_context()
    x = noise(1, 30, 16)
    mask = jnp.arange(30)[None] < 12
    params = small.jit(lambda: module.init(jax.random.key(0), x, mask, None))()
    apply = small.jit(lambda x, mask: module.apply(params, x, mask, None))
    whole, part = apply(x, mask), apply(x[:, :12], mask[:, :12])
    np.testing.assert_allclose(whole[:, :12], part, atol=1e-5)


def test_too_short_a_batch_says_so(embed):
    with pytest.raises(ValueError, match="300 samples are shorter than the 400"):
        embed(noise(1, 300), jnp.array([300]))


def test_gradient_scale_freezes_or_slows_the_convolutions_alone():
    x, n = noise(2, 800), jnp.array([800, 100])
    init = small.embedding().init
    params = small.random_params(lambda key: init(key, x, n, None)["params"])

    def gradient(scale):
        module = small.embedding(gradient_scale=scale)
        return small.jit(
            jax.grad(lambda p: (module.apply({"params": p}, x, n, None)[0] ** 2).sum())
        )(params)

    full = gradient(1.0)
    chex.assert_tree_all_finite(full)
    for scale in (0.0, 0.1):
        expected = full | {"extractor": jax.tree.map(lambda g, s=scale: s * g, full["extractor"])}
        chex.assert_trees_all_close(gradient(scale), expected, rtol=1e-4, atol=1e-6)


def test_silence_and_rows_without_a_frame_stay_finite():
    net = SerNet(small.embedding(), small.encoder(), {"emotion": 3}, "mean", 0.2)
    x = jnp.stack([jnp.zeros(800), jnp.ones(800), noise(800)])
    n = jnp.array([800, 800, 0])
    params = small.random_params(lambda key: net.init(key, x, n, None)["params"])
    assert params.keys() == {"embed", "encoder", "head_emotion"}
    loss = small.jit(
        jax.value_and_grad(
            lambda p: (net.apply({"params": p}, x, n, jax.random.key(1))["emotion"] ** 2).sum()
        )
    )
    chex.assert_tree_all_finite(loss(params))


def quantize(shape, x, temperature):
    """Parameters, and a compiled function of parameters and key."""
    quantizer = GumbelQuantizer(*shape)
    params = small.jit(lambda: quantizer.init(jax.random.key(0), x, 1.0, None))()
    return params, lambda p, key: quantizer.apply(p, x, temperature, key)


def test_quantizer_takes_an_entry_and_passes_the_softmax_gradient():
    params, apply = quantize((2, 5, 3), noise(2, 4, 6), 0.5)
    key = jax.random.key(1)
    vectors, codes, probabilities = small.jit(apply)(params, key)
    codebook = params["params"]["codebook"]
    expected = [codebook[g][codes[..., g]] for g in range(2)]
    np.testing.assert_array_equal(vectors, jnp.concatenate(expected, axis=-1))
    np.testing.assert_allclose(probabilities.sum(axis=-1), 1.0, rtol=1e-5)
    likeliest = small.jit(lambda p: apply(p, None))(params)[1]
    np.testing.assert_array_equal(likeliest, probabilities.argmax(axis=-1))
    gradient = small.jit(jax.grad(lambda p: apply(p, key)[0].sum()))(params)
    assert all((jnp.abs(g) > 0).any() for g in jax.tree.leaves(gradient))


def test_gumbel_noise_draws_entries_by_their_probability():
    params, apply = quantize((1, 4, 2), jnp.ones((1, 4_000, 3)), 2.0)
    _, codes, probabilities = small.jit(apply)(params, jax.random.key(1))
    share = jnp.bincount(codes.ravel(), length=4) / codes.size
    np.testing.assert_allclose(share, probabilities[0, 0, 0], atol=0.03)
