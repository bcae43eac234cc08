import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sersl_jax.evaluation.splits import SIDES, Split, by_fraction, held_out

corpora = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=4), st.integers(1, 60), min_size=3, max_size=30
).map(lambda counts: [speaker for speaker, number in counts.items() for _ in range(number)])


@given(corpora, st.integers(0, 1000))
def test_every_speaker_is_on_exactly_one_side(speaker_ids, seed):
    split = by_fraction(speaker_ids, seed)
    assert sorted(split.train + split.validation + split.test) == sorted(set(speaker_ids))
    assert all(getattr(split, side) for side in SIDES)


@given(corpora, st.integers(0, 1000), st.randoms(use_true_random=False))
def test_the_order_of_clips_does_not_matter(speaker_ids, seed, random):
    shuffled = list(speaker_ids)
    random.shuffle(shuffled)
    assert by_fraction(shuffled, seed) == by_fraction(speaker_ids, seed)


def test_sides_are_as_near_to_their_share_as_whole_speakers_allow():
    speaker_ids = [f"{1001 + speaker}" for speaker in range(91) for _ in range(82)]
    for seed in range(20):
        split = by_fraction(speaker_ids, seed)
        assert (len(split.validation), len(split.test)) == (14, 14)  # 15 % of 91 is 13.65


def test_one_giant_speaker_is_trained_on():
    speaker_ids = ["giant"] * 80 + [name for name in "abcdefghij" for _ in range(2)]
    assert all("giant" in by_fraction(speaker_ids, seed).train for seed in range(20))


def test_different_seeds_give_different_splits():
    speaker_ids = [str(speaker) for speaker in range(30)]
    assert len({by_fraction(speaker_ids, seed).hash for seed in range(20)}) == 20


def test_too_few_speakers():
    with pytest.raises(ValueError, match=r"at least 3 speakers, the corpus has 2: a, b"):
        by_fraction(["a", "b", "b"], 0)
    with pytest.raises(ValueError, match="at least 2 speakers"):
        held_out(["a", "a"], 0.1, 0)


@given(corpora, st.integers(0, 1000))
def test_held_out_speakers_are_a_tenth_and_apart(speaker_ids, seed):
    train, validation = held_out(speaker_ids, 0.1, seed)
    assert sorted(train + validation) == sorted(set(speaker_ids))
    assert train
    assert validation


def test_the_hash_is_over_the_ids_alone():
    split = Split(3, ("b", "a"), ("c",), ("d",))
    assert split.hash == Split("other", ("a", "b"), ("c",), ("d",)).hash
    assert split.hash != Split(3, ("a",), ("b", "c"), ("d",)).hash
    # Written once: a change would make old and new results incomparable.
    assert split.hash == "e6814b48a26698070ec75196a4361c0055ac986a6da8ed43c08fe4a2f60d9485"


def test_indices_by_speaker_and_by_clip():
    split = Split("x", ("ann", "clip3"), ("bob",), ("cy",))
    speakers, clips = ["ann", "bob", "ann", "cy"], ["clip0", "clip1", "clip2", "clip3"]
    np.testing.assert_array_equal(split.indices("train", speakers), [0, 2])
    np.testing.assert_array_equal(split.indices("train", speakers, clips), [0, 2, 3])
