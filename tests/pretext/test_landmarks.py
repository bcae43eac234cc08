import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sersl_jax.pretext import landmarks

UPPER, LOWER = (list(landmarks.REGIONS[f"{part}_face"]) for part in ("upper", "lower"))
SEEDS, FRAMES = st.integers(0, 2**32 - 1), ("image", "face")


def talking_face(seed: int, frames: int = 30) -> np.ndarray:
    """Random faces of 68 points, in pixels, that shake."""
    rng = np.random.default_rng(seed)
    return rng.uniform(100, 300, (68, 2)) + rng.normal(scale=5, size=(frames, 68, 2))


def score(points: np.ndarray, region: str = "whole_face", **options: str) -> float:
    return landmarks.movement(points, np.ones(len(points), bool), region, **options)


def test_regions_are_those_of_figure_1():
    assert sorted(UPPER) == [*range(17, 31), *range(36, 48)]
    assert sorted(LOWER) == [*range(0, 17), *range(31, 36), *range(48, 68)]
    assert sorted(UPPER + LOWER) == list(landmarks.REGIONS["whole_face"]) == list(range(68))


@pytest.mark.parametrize("region", landmarks.REGIONS)
def test_is_the_total_variance_of_the_centroid(region):
    points = talking_face(0)
    trace = points[:, list(landmarks.REGIONS[region])].mean(axis=1)
    assert score(points, region) == pytest.approx(trace[:, 0].var() + trace[:, 1].var())


@pytest.mark.parametrize("region", landmarks.REGIONS)
@given(SEEDS, st.floats(-1e4, 1e4), st.floats(-1e4, 1e4))
def test_translation_changes_nothing(region, seed, x, y):
    points = talking_face(seed)
    assert score(points + np.array([x, y]), region) == pytest.approx(
        score(points, region), rel=1e-6
    )


@pytest.mark.parametrize("region", landmarks.REGIONS)
@given(SEEDS, st.floats(0.01, 100))
def test_scaling_by_s_scales_by_its_square(region, seed, scale):
    points = talking_face(seed)
    assert score(scale * points, region) == pytest.approx(scale**2 * score(points, region))


@given(SEEDS, st.permutations(range(30)))
def test_permuting_frames_changes_nothing(seed, order):
    points = talking_face(seed)
    assert score(points[list(order)]) == pytest.approx(score(points))


@given(SEEDS, st.floats(0, 10), st.floats(0, 10))
def test_swapping_what_upper_and_lower_do_swaps_their_scores(seed, up, low):
    rng = np.random.default_rng(seed)
    paths, face = rng.normal(size=(2, 30, 1, 2)) * np.reshape([up, low], (2, 1, 1, 1)), np.zeros
    ahead, swapped = face((30, 68, 2)), face((30, 68, 2))
    ahead[:, UPPER], ahead[:, LOWER] = paths
    swapped[:, LOWER], swapped[:, UPPER] = paths
    assert score(ahead, "upper_face") == pytest.approx(score(swapped, "lower_face"))
    assert score(ahead, "lower_face") == pytest.approx(score(swapped, "upper_face"))


@pytest.mark.parametrize("frame_of_reference", FRAMES)
@given(SEEDS, st.lists(st.booleans(), min_size=30, max_size=30), st.sampled_from([np.nan, 0, 1e30]))
def test_failed_frames_have_no_influence_whatever_they_hold(frame_of_reference, seed, lost, junk):
    points, success = talking_face(seed), ~np.array(lost)
    spoilt = np.where(success[:, None, None], points, junk)
    results = [
        landmarks.movement(each, success, "lower_face", frame_of_reference)
        for each in (points, spoilt)
    ]
    np.testing.assert_equal(*results)
    assert np.isnan(results[0]) == (success.sum() < 15)


@settings(max_examples=30)
@given(SEEDS)
def test_in_the_face_a_rigid_move_of_the_head_changes_nothing(seed):
    points, rng = talking_face(seed), np.random.default_rng(seed)
    move = rng.uniform(0.5, 2, (30, 1)) * np.exp(1j * rng.uniform(-0.5, 0.5, (30, 1)))
    moved = (points @ (1, 1j)) * move + rng.normal(scale=50, size=(30, 1))
    moved = np.stack([moved.real, moved.imag], axis=-1)
    still = score(points, "lower_face", frame_of_reference="face")
    assert score(moved, "lower_face", frame_of_reference="face") == pytest.approx(still)
    assert score(moved, "lower_face") > score(points, "lower_face")


@pytest.mark.parametrize("valid", [0, 1])
def test_fewer_than_two_frames_show_no_movement(valid):
    assert np.isnan(landmarks.movement(np.ones((valid, 68, 2)), np.ones(valid, bool), "whole_face"))


def test_names_are_checked():
    with pytest.raises(ValueError, match="unknown region 'chin'"):
        score(talking_face(0), "chin")
    with pytest.raises(ValueError, match="frame_of_reference"):
        landmarks.movement(talking_face(0), np.ones(30, bool), "whole_face", "head")
