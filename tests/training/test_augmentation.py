import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sersl_jax.config import AugmentConfig
from sersl_jax.tasks import Task
from sersl_jax.training.augmentation import augment, draw_partners, draw_spans
from sersl_jax.training.step import with_measured

LENGTHS = jnp.array([40, 10])


def masked(config, seed=0):
    batch = {"inputs": jnp.ones((2, 60, 130)), "lengths": LENGTHS}
    return np.asarray(augment(batch, config, (), jax.random.key(seed))["inputs"]) == 0


def test_nothing_is_masked_by_default():
    assert not masked(AugmentConfig()).any()


def test_time_masks_cover_whole_frames_and_llds_masks_whole_descriptors():
    frames = masked(AugmentConfig(time_masks=2, time_width=8))
    assert (frames == frames[:, :, :1]).all()
    assert 0 < frames[:, :, 0].sum() <= 2 * 2 * 8
    descriptors = masked(AugmentConfig(llds_masks=2, llds_width=8))
    assert (descriptors == descriptors[:, :1]).all()
    assert not np.array_equal(descriptors[0, 0], descriptors[1, 0])  # each clip has its own


@pytest.mark.parametrize("seed", range(5))
def test_spans_start_within_the_length_and_follow_from_the_key(seed):
    key = jax.random.key(seed)
    spans = np.asarray(draw_spans(key, LENGTHS, 60, 1, 20))
    np.testing.assert_array_equal(spans, draw_spans(key, LENGTHS, 60, 1, 20))
    for row, length in zip(spans, LENGTHS, strict=True):
        where = np.flatnonzero(row)
        assert len(where) <= 20
        assert not len(where) or where[0] < length
        assert len(where) == 0 or (np.diff(where) == 1).all()


TASKS = (Task("emotion", ("anger", "calm", "joy")), Task("energy", ("low", "high")))


def mixed(frames=5, seed=0):
    """Clip n is n everywhere inside; the fourth row only fills the batch."""
    lengths = jnp.array([5, 3, 4, 0])
    inside = jnp.arange(frames)[:, None] < lengths[:, None, None]
    values = jnp.array([1.0, 2.0, 4.0, 0.0])
    batch = {
        "inputs": jnp.where(inside, values[:, None, None], jnp.zeros((4, frames, 130))),
        "lengths": lengths,
        "labels": {"emotion": jnp.array([0, 1, 2, 0]), "energy": jnp.array([0, -1, 1, 0])},
        "mask": lengths > 0,
    }
    return augment(batch, AugmentConfig(mixup=0.4), TASKS, jax.random.key(seed))


@pytest.mark.parametrize("seed", range(5))
def test_inputs_and_labels_are_mixed_alike_and_the_larger_share_is_ones_own(seed):
    found, values = mixed(seed=seed), np.array([1.0, 2.0, 4.0])
    shares = np.asarray(found["labels"]["emotion"])[:3]
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-6)
    assert (np.diagonal(shares) >= 0.5).all()
    assert ((shares > 0).sum(axis=1) == 2).all()  # everybody has another partner than himself
    first = np.asarray(found["inputs"])[:3, 0, 0]  # where all clips are
    np.testing.assert_allclose(first, shares @ values, rtol=1e-5)
    assert not np.asarray(found["inputs"])[1, 3:].any()  # beyond its end
    assert not np.asarray(found["inputs"])[3].any()


def test_an_unknown_label_stays_unknown_and_is_given_to_nobody():
    shares = np.asarray(mixed()["labels"]["energy"])[:3]
    np.testing.assert_allclose(shares.sum(axis=1), [1, 0, 1], atol=1e-6)


def test_padding_changes_no_mixture_and_the_key_says_it():
    short, longer = mixed(5), mixed(9)
    np.testing.assert_array_equal(short["inputs"], longer["inputs"][:, :5])
    np.testing.assert_array_equal(short["labels"]["emotion"], longer["labels"]["emotion"])
    assert not np.array_equal(short["inputs"], mixed(seed=1)["inputs"])


@pytest.mark.parametrize("count", [0, 1, 5, 8])
def test_every_row_has_one_partner_and_is_one(count):
    partners = np.asarray(draw_partners(jax.random.key(count), jnp.arange(8) < count))
    assert sorted(partners[:count]) == list(range(count))
    assert count < 2 or (partners[:count] != np.arange(count)).all()


def test_running_statistics_of_frozen_parts_stay():
    params = {"embed": {"norm": {"mean": 0, "scale": 1}}, "other": {"mean": 0}}
    measured = {"embed": {"norm": {"mean": 5}}, "other": {"mean": 6}}
    assert with_measured(params, {}, ()) == params
    found = with_measured(params, measured, ("embed",))
    assert found == {"embed": {"norm": {"mean": 0, "scale": 1}}, "other": {"mean": 6}}
    assert with_measured(params, measured, ())["embed"]["norm"] == {"mean": 5, "scale": 1}
