import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sersl_jax.pretext import threshold

scores = hnp.arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 1e3, width=32))


@given(scores, st.randoms())
def test_order_has_no_influence(values, random):
    shuffled = values.copy()
    random.shuffle(shuffled)
    assert threshold.corpus_mean(shuffled) == threshold.corpus_mean(values)


@given(st.floats(0, 1e3, width=32), st.integers(1, 1000))
def test_equal_scores_are_not_above_their_mean(value, count):
    values = np.full(count, value, np.float32)
    assert not threshold.binarise(values, threshold.corpus_mean(values)).any()


def test_unknown_scores_are_ignored_and_stay_unknown():
    values = np.array([1.0, np.nan, 3.0])
    assert threshold.corpus_mean(values) == 2.0
    assert threshold.binarise(values, 2.0).tolist() == [0, -1, 1]
    assert threshold.binarise(np.array([2.0]), 2.0).tolist() == [0]
    assert math.isnan(threshold.corpus_mean(np.array([np.nan])))
