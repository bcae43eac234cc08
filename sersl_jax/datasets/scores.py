"""Scores of a clip's windows, by the declarations of the pretext tasks."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from sersl_jax.datasets.options import PretextOptions
from sersl_jax.features.face_track import FaceTrack
from sersl_jax.pretext.registry import PretextTask

_SOUND = "waveform"


class ScoreError(Exception):
    """A score function failed; the message names its task."""


def measure(
    tasks: Sequence[PretextTask],
    sounds: Float[np.ndarray, "windows samples"],
    faces: Sequence[FaceTrack] | None,
    options: PretextOptions,
) -> dict[str, Float[np.ndarray, "windows ..."]]:
    """Scores of every window by `PretextTask.key`; NaN where the face (None: no track) is needed.

    Raises ScoreError.
    """
    windows = [
        {_SOUND: sound} | (vars(faces[number]) if faces else {})
        for number, sound in enumerate(sounds)
    ]
    return {
        task.key: np.array([_score(task, window, options) for window in windows], np.float32)
        for task in tasks
    }


def _score(
    task: PretextTask, window: Mapping[str, np.ndarray | None], options: PretextOptions
) -> Float[np.ndarray, "..."]:
    given = [window.get(name) for name in task.inputs]
    if any(values is None for values in given):
        return np.full(task.shape, np.nan)
    choices = {name: getattr(options, name) for name in task.score_options}
    try:
        return np.asarray(task.score(*given, **choices), np.float64).reshape(task.shape)
    except Exception as error:  # whatever a score function of somebody's own may raise
        raise ScoreError(f"score of {task.name}: {type(error).__name__}: {error}") from error


def lacking(tasks: Sequence[PretextTask], faces: Sequence[FaceTrack]) -> list[str]:
    """A line for every task that needs an array which this clip's face track has not."""
    track = vars(faces[0]) | {_SOUND: ()}
    needed = {task.name: [n for n in task.inputs if track[n] is None] for task in tasks}
    return [f"no {', '.join(n)} in the track: {task} unknown" for task, n in needed.items() if n]
