"""Scores of a clip's windows from its tracked face (Sec. 3.2 and 3.3)."""

import numpy as np
from jaxtyping import Float

from sersl_jax.corpora import Clip
from sersl_jax.datasets.options import PretextOptions
from sersl_jax.features import openface
from sersl_jax.pretext import action_units, landmarks

_SLACK = 0.5  # s by which a track and its sound may differ: codecs pad either


def scores(
    clip: Clip, spans: list[tuple[float, float]], seconds: float, options: PretextOptions
) -> tuple[
    dict[str, Float[np.ndarray, "windows ..."]], Float[np.ndarray, "68 2"] | None, list[str]
]:
    """Movement of each region and share of frames per action unit, the mean face, what was lost.

    A window with fewer than half its frames tracked is nan ("unknown"): it still serves the
    energy task. `spans` and `seconds` are counted from `clip.start`, the track from the media's.
    """
    values: dict[str, np.ndarray] = {r: np.full(len(spans), np.nan) for r in landmarks.REGIONS}
    values["action_units"] = np.full((len(spans), len(openface.AU_NAMES)), np.nan)
    try:
        track, lost = _track(clip, seconds)
    except (openface.FaceError, OSError) as error:
        return values, None, [f"kept without face labels: {error}"]
    for index, (start, end) in enumerate(spans):
        window = track.window(clip.start + start, clip.start + end)
        for region in landmarks.REGIONS:
            values[region][index] = landmarks.movement(
                window.landmarks, window.success, region, options.frame_of_reference
            )
        values["action_units"][index] = action_units.proportions(
            window.action_units, window.success
        )
    unknown = int(np.isnan(values["whole_face"]).sum())
    if unknown:
        lost.append(f"no face in {unknown} of {len(spans)} windows")
    return values, _mean_face(track), lost


def _mean_face(track: openface.FaceTrack) -> Float[np.ndarray, "68 2"] | None:
    """Mean of the tracked frames, each moved to its centroid and scaled to a mean radius of 1."""
    points = track.landmarks[track.success]
    points = points - points.mean(axis=1, keepdims=True)
    size = np.linalg.norm(points, axis=-1).mean(axis=1)
    return (points / size[:, None, None])[size > 0].mean(axis=0) if (size > 0).any() else None


def _track(clip: Clip, seconds: float) -> tuple[openface.FaceTrack, list[str]]:
    """The clip's track, and in what way it misses some of the sound.

    Raises FaceError where it can't belong to the sound.
    """
    if clip.face is None:
        raise openface.FaceError(clip.untracked or "no CSV of the tracked face")
    track = openface.read(clip.face)
    if track.timestamps.size < 2:
        raise openface.FaceError(f"too few rows ({track.timestamps.size})")
    period = float(np.diff(track.timestamps).mean())
    first, last = track.timestamps[0], track.timestamps[-1] + period
    if clip.end is None and last - seconds > max(_SLACK, 0.05 * seconds):
        raise openface.FaceError(
            f"the track is longer than the sound ({last:.2f} s, {seconds:.2f} s): "
            "of another file or frame rate?"
        )
    lost = []
    if first - clip.start > _SLACK:
        lost.append(f"the track starts late, at {first:.2f} s")
    if clip.start + seconds - last > _SLACK:
        lost.append(f"the track stops early, at {last:.2f} s of {clip.start + seconds:.2f} s")
    return track, lost
