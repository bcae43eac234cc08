import jax
import jax.numpy as jnp
import numpy as np
import pytest

from sersl_jax.config import AugmentConfig
from sersl_jax.training.augmentation import augment, draw_spans
from sersl_jax.training.step import with_measured

LENGTHS = jnp.array([40, 10])


def masked(config, seed=0):
    x = jnp.ones((2, 60, 130))
    return np.asarray(augment(x, LENGTHS, config, jax.random.key(seed))) == 0


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


def test_running_statistics_of_frozen_parts_stay():
    params = {"embed": {"norm": {"mean": 0, "scale": 1}}, "other": {"mean": 0}}
    measured = {"embed": {"norm": {"mean": 5}}, "other": {"mean": 6}}
    assert with_measured(params, {}, ()) == params
    found = with_measured(params, measured, ("embed",))
    assert found == {"embed": {"norm": {"mean": 0, "scale": 1}}, "other": {"mean": 6}}
    assert with_measured(params, measured, ())["embed"]["norm"] == {"mean": 5, "scale": 1}
