"""Where a clip's training windows lie (Sec. 3: two seconds that overlap by half a second)."""

from sersl_jax.features.audio import SAMPLE_RATE


def windows(duration: float, window: float = 2.0, hop: float = 1.5) -> list[tuple[float, float]]:
    """Start and end (s) of every whole window in a clip of `duration` s.

    Counted in samples of 16 kHz, so that rounding neither loses nor adds a window; a tail shorter
    than `window` gives none.
    """
    total, size, step = (round(seconds * SAMPLE_RATE) for seconds in (duration, window, hop))
    if size <= 0 or step <= 0:
        raise ValueError(f"window and hop must be positive, got {window} s and {hop} s")
    starts = range(0, total - size + 1, step)
    return [(start / SAMPLE_RATE, (start + size) / SAMPLE_RATE) for start in starts]
