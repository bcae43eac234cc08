import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sersl_jax.pretext import action_units

frames = hnp.arrays(np.float64, (20, 18), elements=st.sampled_from([0.0, 1.0]))


def label(shares: dict[int, float], **options) -> str:
    proportions = np.zeros(18)
    for unit, share in shares.items():
        proportions[action_units.UNITS.index(unit)] = share
    return action_units.EMOTIONS[action_units.label(proportions, **options)]


def test_classes_are_in_the_papers_order():
    assert action_units.EMOTIONS == ("happiness", "sadness", "surprise", "anger", "other")


@pytest.mark.parametrize(
    ("shares", "emotion"),
    [
        ({6: 0.5, 12: 0.5}, "happiness"),
        ({1: 0.5, 15: 0.5}, "sadness"),
        ({4: 0.5, 15: 0.5}, "sadness"),
        ({1: 0.5, 26: 0.5}, "surprise"),
        ({2: 0.5, 26: 0.5}, "surprise"),
        ({5: 0.5, 26: 0.5}, "surprise"),
        ({4: 0.5, 23: 0.5}, "anger"),
        ({5: 0.5, 23: 0.5}, "anger"),
        ({7: 0.5, 23: 0.5}, "anger"),
        ({}, "other"),
        ({6: 1.0, 15: 1.0}, "other"),  # a top and a bottom unit that are no pair
        ({6: 1.0, 2: 1.0, 7: 1.0}, "other"),  # top units alone
        ({12: 1.0, 15: 1.0, 23: 1.0, 26: 1.0}, "other"),  # bottom units alone
        ({9: 1.0, 10: 1.0, 28: 1.0, 45: 1.0}, "other"),  # units outside Table 1
    ],
)
def test_each_row_of_table_1(shares, emotion):
    assert label(shares) == emotion


def test_presence_starts_at_min_proportion():
    assert label({6: 0.1, 12: 0.1}) == "happiness"
    assert label({6: 0.1, 12: 0.0999}) == "other"
    assert label({6: 0.2, 12: 0.2}, min_proportion=0.3) == "other"
    assert label({6: 0.7, 12: 0.7}, min_proportion=0.7) == "happiness"


def test_all_needs_every_top_unit():
    assert label({1: 0.5, 15: 0.5}, match="all") == "other"
    assert label({1: 0.5, 4: 0.5, 15: 0.5}, match="all") == "sadness"
    assert label({6: 0.5, 12: 0.5}, match="all") == "happiness"
    with pytest.raises(ValueError, match="match"):
        label({}, match="some")


def test_of_several_matches_the_one_seen_in_more_frames_wins():
    assert label({6: 0.2, 12: 0.3, 4: 0.6, 23: 0.5}) == "anger"
    assert label({6: 0.7, 12: 0.6, 4: 0.6, 23: 0.5}) == "happiness"
    # Absent top units do not pull a combination down: (0.8 + 0.6) / 2 beats (0.7 + 0.6) / 2.
    assert label({1: 0.8, 26: 0.6, 6: 0.7, 12: 0.6}) == "surprise"


def test_ties_go_to_the_earlier_row_of_the_table():
    assert label({6: 0.3, 12: 0.3, 1: 0.3, 15: 0.3, 26: 0.3, 23: 0.3, 4: 0.3}) == "happiness"
    assert label({4: 0.3, 1: 0.3, 5: 0.3, 15: 0.3, 23: 0.3}) == "sadness"
    assert label({5: 0.3, 26: 0.3, 23: 0.3}) == "surprise"


@given(frames)
def test_stored_as_float32_the_label_is_the_same(units):
    shares = action_units.proportions(units, np.ones(20, bool))
    for least in (0.05, 0.1, 0.35, 0.7):
        labels = [
            action_units.label(each, min_proportion=least)
            for each in (shares, shares.astype(np.float32))
        ]
        assert labels[0] == labels[1]


@given(frames, st.lists(st.booleans(), min_size=20, max_size=20), st.sampled_from([np.nan, 0, 1]))
def test_failed_frames_have_no_influence_whatever_they_hold(units, lost, junk):
    success = ~np.array(lost)
    spoilt = np.where(success[:, None], units, junk)
    results = [action_units.proportions(each, success) for each in (units, spoilt)]
    np.testing.assert_array_equal(*results)
    if success.sum() < 10:
        assert np.isnan(results[0]).all()
        assert action_units.label(results[0]) == -1
    else:
        np.testing.assert_allclose(results[0], units[success].mean(axis=0))


@given(frames, st.permutations(range(20)))
def test_permuting_frames_changes_nothing(units, order):
    success = np.ones(20, bool)
    np.testing.assert_allclose(
        action_units.proportions(units[list(order)], success),
        action_units.proportions(units, success),
    )


def test_no_frames_are_unknown():
    assert np.isnan(action_units.proportions(np.zeros((0, 18)), np.zeros(0, bool))).all()
