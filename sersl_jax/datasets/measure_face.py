"""A clip's tracked face, cut into the clip's windows."""

import numpy as np
from jaxtyping import Float

from sersl_jax.corpora import Clip
from sersl_jax.features import openface
from sersl_jax.features.face_track import FaceError, FaceTrack
from sersl_jax.pretext.valid import is_enough

_SLACK = 0.5  # s by which a track and its sound may differ: codecs pad either


def windows(
    clip: Clip, spans: list[tuple[float, float]], seconds: float
) -> tuple[list[FaceTrack] | None, Float[np.ndarray, "68 2"] | None, list[str]]:
    """The track of every window (None: no usable track), the mean face, and what was lost.

    A window with fewer than half its frames tracked still serves the tasks scored from sound.
    `spans` and `seconds` are counted from `clip.start`, the track from the media's.
    """
    try:
        track, lost = _track(clip, seconds)
    except (FaceError, OSError) as error:
        return None, None, [f"kept without face labels: {error}"]
    cut = [track.window(clip.start + start, clip.start + end) for start, end in spans]
    unknown = sum(not is_enough(window.success, least=2) for window in cut)
    if unknown:
        lost.append(f"no face in {unknown} of {len(spans)} windows")
    return cut, _mean_face(track), lost


def _mean_face(track: FaceTrack) -> Float[np.ndarray, "68 2"] | None:
    """Mean of the tracked frames, each moved to its centroid and scaled to a mean radius of 1."""
    points = track.landmarks[track.success]
    points = points - points.mean(axis=1, keepdims=True)
    size = np.linalg.norm(points, axis=-1).mean(axis=1)
    return (points / size[:, None, None])[size > 0].mean(axis=0) if (size > 0).any() else None


def _track(clip: Clip, seconds: float) -> tuple[FaceTrack, list[str]]:
    """The clip's track, and in what way it misses some of the sound.

    Raises FaceError where it can't belong to the sound.
    """
    if clip.face is None:
        raise FaceError(clip.untracked or "no CSV of the tracked face")
    track = openface.read(clip.face)
    if track.timestamps.size < 2:
        raise FaceError(f"too few rows ({track.timestamps.size})")
    period = float(np.diff(track.timestamps).mean())
    first, last = track.timestamps[0], track.timestamps[-1] + period
    if clip.end is None and last - seconds > max(_SLACK, 0.05 * seconds):
        raise FaceError(
            f"the track is longer than the sound ({last:.2f} s, {seconds:.2f} s): "
            "of another file or frame rate?"
        )
    lost = []
    if first - clip.start > _SLACK:
        lost.append(f"the track starts late, at {first:.2f} s")
    if clip.start + seconds - last > _SLACK:
        lost.append(f"the track stops early, at {last:.2f} s of {clip.start + seconds:.2f} s")
    return track, lost
