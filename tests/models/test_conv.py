import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import best, portable
from sersl_jax.config import create
from sersl_jax.features.llds import NAMES
from sersl_jax.models import conv
from sersl_jax.models.build import create_network
from sersl_jax.models.ser import valid
from sersl_jax.tasks import Task

TASK = Task("emotion", ("anger", "calm", "joy"))
SIZES = (50, 33, 7)
LENGTHS = jnp.array(SIZES)


def network(**choices):
    config = best.get_config()
    config.model.update({"dim": 16, "num_heads": 2, "ffn_dim": 16, **choices})
    return create_network(create(config).model, (TASK,), "float32")


def inputs(padding=0):
    x = np.random.default_rng(0).normal(size=(3, 50, 130)).astype(np.float32)
    x[0] += 1.0
    x = np.where(np.arange(50)[:, None] < column(SIZES), x, 0)
    return jnp.asarray(np.pad(x, ((0, 0), (0, padding), (0, 0))))


def column(sizes):
    return np.array(sizes)[:, None, None]


@pytest.fixture(scope="module")
def params():
    return jax.jit(network().init)(jax.random.key(0), inputs(), LENGTHS, None)["params"]


def test_frames_are_averaged_over_the_valid_ones():
    x = inputs()
    averaged, mask = conv.average_frames(x, valid(LENGTHS, 50), 4)
    assert mask.sum(axis=1).tolist() == [13, 9, 2]
    np.testing.assert_allclose(averaged[1, 0], x[1, :4].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(averaged[1, 8], x[1, 32], rtol=1e-5)
    np.testing.assert_allclose(averaged[2, 1], x[2, 4:7].mean(axis=0), rtol=1e-5)
    assert not averaged[2, 2:].any()


def test_the_loudest_frames_are_chosen_among_the_valid_ones():
    level = jnp.array([[3.0, 1.0, 4.0, 1.5, 9.0, 9.0], [2.0, 2.0, 2.0, 1.0, 0.0, 0.0]])
    x = jnp.zeros((2, 6, 130)).at[..., NAMES.index("pcm_RMSenergy_sma")].set(level)
    mask = jnp.arange(6) < jnp.array([[4], [4]])
    half = conv.loudest(x, mask, 0.5)
    assert half.tolist() == [[1, 0, 1, 0, 0, 0], [1, 1, 1, 0, 0, 0]]  # ties are as loud
    assert conv.loudest(x, mask, 0.01).tolist()[0] == [0, 0, 1, 0, 0, 0]
    assert not conv.loudest(x, mask & False, 0.5).any()


def test_a_network_of_the_voice_sees_neither_level_nor_quiet_frames():
    made = create_network(create(portable.get_config()).model, (TASK,), "float32")
    x = inputs()
    own = jax.jit(made.init)(jax.random.key(0), x, LENGTHS, None)["params"]

    def logits(x):
        return made.apply({"params": own}, x, LENGTHS, None)["emotion"]

    names = [NAMES[n] for n in conv.DESCRIPTORS["voice"]]
    assert len(names) == 42
    assert {"F0final_sma", "mfcc_sma[14]", "mfcc_sma_de[1]"} <= {*names}
    hidden = [n for n in range(130) if n not in conv.DESCRIPTORS["voice"]]
    hidden.remove(conv._LEVEL)  # it tells which frames are loud, and nothing else
    np.testing.assert_allclose(logits(x.at[..., hidden].add(5.0)), logits(x), atol=1e-6)
    quiet = ~conv.loudest(x, valid(LENGTHS, 50), 0.25)
    seen = np.array(conv.DESCRIPTORS["voice"])
    changed = x.at[..., seen].add(jnp.where(quiet, 7.0, 0.0)[..., None])
    np.testing.assert_allclose(logits(changed), logits(x), atol=1e-6)
    assert np.abs(logits(x.at[..., seen].add(7.0)) - logits(x)).max() > 1e-2


def test_a_convolution_sees_its_neighbours_and_zeros_beyond_the_ends():
    x = jnp.arange(1.0, 5.0).reshape(1, 4, 1)
    assert conv.neighbours(x, 3)[0].tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 0]]
    assert conv.neighbours(x, 1)[0].tolist() == x[0].tolist()


def test_batch_norm_counts_valid_frames_and_sows_running_statistics():
    norm = conv.BatchNorm()
    x, mask = inputs(), jnp.arange(50) < LENGTHS[:, None]
    fresh = norm.init(jax.random.key(0), x, mask, False)
    out, sown = norm.apply(fresh, x, mask, True, mutable=["measured"])
    valid = np.concatenate([np.asarray(row[:n]) for row, n in zip(inputs(), SIZES, strict=True)])
    inside = np.concatenate([row[:n] for row, n in zip(np.asarray(out), SIZES, strict=True)])
    np.testing.assert_allclose(inside.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(inside.std(axis=0), 1, atol=1e-3)
    measured = sown["measured"]
    np.testing.assert_allclose(measured["mean"], 0.1 * valid.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(measured["variance"], 0.9 + 0.1 * valid.var(axis=0), rtol=1e-5)
    later = {"params": {**fresh["params"], **measured}}
    expected = (x - measured["mean"]) / np.sqrt(measured["variance"] + 1e-5)
    np.testing.assert_allclose(norm.apply(later, x, mask, False), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("key", [None, jax.random.key(3)])
def test_padding_changes_nothing(params, key):
    def logits(x):
        apply = jax.jit(lambda x: network().apply({"params": params}, x, LENGTHS, key,
                                                  mutable=["measured"])[0]["emotion"])  # fmt: skip
        return apply(x)

    np.testing.assert_allclose(logits(inputs()), logits(inputs(padding=30)), atol=1e-4)


def test_a_clips_own_mean_makes_no_difference_where_it_is_subtracted(params):
    shift = np.where(np.arange(50)[:, None] < column(SIZES), 2.0, 0).astype(np.float32)

    def logits(x, **choices):
        return network(**choices).apply({"params": params}, x, LENGTHS, None)["emotion"]

    np.testing.assert_allclose(logits(inputs()), logits(inputs() + shift), atol=1e-4)
    raw = {"conv": {"center": False, "stride": 4, "kernels": (5, 3, 3)}}
    assert np.abs(logits(inputs(), **raw) - logits(inputs() + shift, **raw)).max() > 1e-2


def test_convolutions_alone_are_a_network(params):
    made = network(context="none")
    own = {name: part for name, part in params.items() if name != "encoder"}
    assert made.apply({"params": own}, inputs(), LENGTHS, None)["emotion"].shape == (3, 3)
