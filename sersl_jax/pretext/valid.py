"""Which windows have too few tracked frames to be scored."""

import numpy as np
from jaxtyping import Bool

_MIN_VALID = 0.5  # share of a window's frames below which its scores are unknown


def is_enough(success: Bool[np.ndarray, " frames"], least: int = 1) -> bool:
    """Whether at least half of a window's frames, and at least `least` of them, are valid."""
    return bool(success.sum() >= max(least, _MIN_VALID * success.size))
