"""How much regions of the face move: variance of the landmarks' centroid (Sec. 3.2, Figure 1)."""

import numpy as np
from jaxtyping import Bool, Complex, Float

from sersl_jax.pretext.valid import is_enough

# iBUG's 68 points, counted from 0: jaw 0-16, brows 17-26, nose bridge 27-30, nose base 31-35,
# eyes 36-47, mouth 48-67.
REGIONS = {
    "upper_face": (*range(17, 31), *range(36, 48)),
    "lower_face": (*range(17), *range(31, 36), *range(48, 68)),
    "whole_face": tuple(range(68)),
}

_RIGHT_EYE, _LEFT_EYE = slice(36, 42), slice(42, 48)  # the person's own right and left


def movement(
    landmarks: Float[np.ndarray, "frames 68 2"],
    success: Bool[np.ndarray, " frames"],
    region: str,
    frame_of_reference: str = "image",
) -> float:
    """Total variance (var x + var y) of the trace of the centroid of `region`, over valid frames.

    In pixels^2 of the image (the paper's); with `frame_of_reference="face"` the head's translation,
    scale and in-plane rotation are taken out frame by frame first, and the unit is the squared
    distance between the eyes. NaN, "unknown", where fewer than half the frames (or fewer than two)
    are valid; what a failed frame holds is never looked at.
    """
    if region not in REGIONS:
        raise ValueError(f"unknown region {region!r}: choose from {', '.join(REGIONS)}")
    if not is_enough(success, least=2):
        return float("nan")
    points = landmarks[success].astype(np.float64) @ (1, 1j)
    if frame_of_reference == "face":
        points = _in_face(points)
    elif frame_of_reference != "image":
        raise ValueError(f"frame_of_reference must be 'image' or 'face', not {frame_of_reference}")
    # NumPy's variance of complex numbers is the sum of those of their parts.
    return float(points[:, REGIONS[region]].mean(axis=1).var())


def _in_face(points: Complex[np.ndarray, "frames 68"]) -> Complex[np.ndarray, "frames 68"]:
    """Origin midway between the eyes, from one eye to the other the unit along x."""
    right, left = (points[:, eye].mean(axis=1, keepdims=True) for eye in (_RIGHT_EYE, _LEFT_EYE))
    with np.errstate(divide="ignore", invalid="ignore"):  # eyes in one point: NaN, unknown
        return (points - (right + left) / 2) / (left - right)
