import pytest
from hypothesis import given
from hypothesis import strategies as st

from sersl_jax.features import segments


@given(st.integers(0, 16_000 * 100))
def test_every_window_lies_inside_and_none_is_left_out(samples):
    found = segments.windows(samples / 16_000)
    assert len(found) == max((samples - 32_000) // 24_000 + 1, 0)
    for index, (start, end) in enumerate(found):
        assert (start, end) == (1.5 * index, 1.5 * index + 2)
        assert end * 16_000 <= samples


@pytest.mark.parametrize(
    ("duration", "count"), [(0, 0), (1.99, 0), (2, 1), (3.49, 1), (3.5, 2), (9.25, 5)]
)
def test_a_tail_shorter_than_a_window_gives_none(duration, count):
    assert len(segments.windows(float(duration))) == count


def test_other_windows():
    assert segments.windows(1.0, window=0.5, hop=0.25) == [(0, 0.5), (0.25, 0.75), (0.5, 1.0)]
    with pytest.raises(ValueError, match="positive"):
        segments.windows(1.0, hop=0.0)
