"""Emotion from the action units seen in a window (Sec. 3.3, Table 1)."""

import numpy as np
from jaxtyping import Bool, Float

from sersl_jax.pretext.valid import is_enough

# OpenFace's 18 detected units, in the order of its columns.
UNITS: tuple[int, ...] = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 28, 45)

# Table 1: units of the top of the face (AU1-9) and of the bottom (AU10-26) that make an emotion.
COMBINATIONS = {
    "happiness": ((6,), (12,)),
    "sadness": ((1, 4), (15,)),
    "surprise": ((1, 2, 5), (26,)),
    "anger": ((4, 5, 7), (23,)),
}
EMOTIONS = (*COMBINATIONS, "other")


def proportions(
    action_units: Float[np.ndarray, "frames 18"], success: Bool[np.ndarray, " frames"]
) -> Float[np.ndarray, "18"]:
    """For each of `UNITS` the share of valid frames that show it.

    All NaN, "unknown", where fewer than half the frames are valid; what a failed frame holds is
    never looked at.
    """
    if not is_enough(success):
        return np.full(len(UNITS), np.nan)
    return (action_units[success] == 1).mean(axis=0)


def label(
    proportions: Float[np.ndarray, "18"],
    match: str = "any",
    min_proportion: float = 0.1,
) -> int:
    """Index into `EMOTIONS`, or -1 where `proportions` are unknown.

    An emotion matches when one of its top units (all of them with `match="all"`) and one of its
    bottom units are present, that is, in at least `min_proportion` of the frames. If several match,
    the one whose present units have the largest mean proportion wins, then the first in Table 1.
    """
    if match not in ("any", "all"):
        raise ValueError(f"match must be 'any' or 'all', not {match!r}")
    if not 0 < min_proportion <= 1:
        raise ValueError(f"min_proportion must lie above 0 and up to 1, not at {min_proportion}")
    if np.isnan(proportions).any():
        return -1
    # Rounded, so that scores stored in float32 give the same label as those they were made from.
    share = dict(zip(UNITS, proportions.astype(np.float64).round(6).tolist(), strict=True))
    strengths = [
        _strength(share, top, bottom, match, min_proportion)
        for top, bottom in COMBINATIONS.values()
    ]
    best = max(range(len(strengths)), key=strengths.__getitem__)  # the first of equals
    return best if strengths[best] >= 0 else EMOTIONS.index("other")


def _strength(
    share: dict[int, float],
    top: tuple[int, ...],
    bottom: tuple[int, ...],
    match: str,
    min_proportion: float,
) -> float:
    """Mean proportion of the combination's present units; -1 where it does not match."""
    seen_top, seen_bottom = (
        [share[unit] for unit in group if share[unit] >= min_proportion] for group in (top, bottom)
    )
    enough = len(top) if match == "all" else 1
    if len(seen_top) < enough or not seen_bottom:
        return -1.0
    return float(np.mean(seen_top + seen_bottom))
