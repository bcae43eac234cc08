"""The pretext tasks: what each is called, what it is scored from and how scores become labels.

Everything else follows from a declaration: the stored score, the label and its threshold, the
dataset's features and metadata, relabelling, the label card, the head, its loss and its metrics.
`docs/extending.md` shows how to add one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from sersl_jax.pretext import action_units, energy, landmarks, threshold

# What a window can be scored from: its sound, and the arrays of its face track.
INPUTS = (
    "waveform",
    *("timestamps", "success", "confidence", "landmarks", "action_units", "pose"),
)


@dataclass(frozen=True)
class PretextTask:
    """A task whose labels come with unlabelled video.

    Attributes:
      name: the key of its score, label, head, loss and metrics.
      classes: names of the classes, in the order of the labels.
      score: pure function of a window's `inputs`, in this order; NaN: unknown.
      inputs: some of `INPUTS`. If any is missing (no face was tracked) the score is unknown.
      title, unit: of the score, on the label card.
      size: number of values in a score, where it is an array.
      choose: class of one score (-1: unknown); without it, the second of two classes is a score
        strictly above the corpus's mean (Sec. 3.1).
      score_options, label_options: fields of `PretextOptions` that `score` and `choose` take.
      version: raise it when `score` gives other values; scores are measured again then.

    Raises ValueError for an input that does not exist, and without `choose` for other than two
    classes.
    """

    name: str
    classes: tuple[str, ...]
    score: Callable[..., Any]
    inputs: tuple[str, ...]
    title: str
    unit: str
    size: int | None = None
    choose: Callable[..., int] | None = None
    score_options: tuple[str, ...] = ()
    label_options: tuple[str, ...] = ()
    version: int = 1

    def __post_init__(self):
        """Refuses what could not be measured or labelled."""
        unknown = ", ".join(name for name in self.inputs if name not in INPUTS)
        if unknown or not self.inputs:
            raise ValueError(
                f"pretext task {self.name} is scored from {unknown or 'nothing'}: "
                f"take some of {', '.join(INPUTS)}"
            )
        if self.choose is None and (len(self.classes) != 2 or self.size is not None):
            raise ValueError(
                f"pretext task {self.name} needs two classes and one number a score, or `choose`"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one score."""
        return () if self.size is None else (self.size,)

    @property
    def key(self) -> str:
        """Name under which measured scores are kept."""
        return f"{self.name}@{self.version}"

    def threshold(self, scores: Shaped[np.ndarray, "windows *values"]) -> float | None:
        """Mean of a corpus's known scores; None where classes are chosen otherwise."""
        return threshold.corpus_mean(scores) if self.choose is None else None

    def labels(
        self, scores: Shaped[np.ndarray, "windows *values"], options: object
    ) -> Int[np.ndarray, " windows"]:
        """Class numbers of all scores of a corpus, -1 for unknown."""
        if self.choose is None:
            return threshold.binarise(scores, threshold.corpus_mean(scores))
        given = {name: getattr(options, name) for name in self.label_options}
        return np.array([self.choose(score, **given) for score in scores], np.int64)


def by_name(tasks: Sequence[PretextTask]) -> dict[str, PretextTask]:
    """Tasks by their names; raises ValueError where two have the same."""
    found = {task.name: task for task in tasks}
    if len(found) < len(tasks):
        raise ValueError(f"two pretext tasks have the same name: {[t.name for t in tasks]}")
    return found


def _region(name: str, title: str) -> PretextTask:
    """Movement of a region of the face (Sec. 3.2)."""
    return PretextTask(
        name=name,
        classes=threshold.CLASSES,
        score=partial(landmarks.movement, region=name),
        inputs=("landmarks", "success"),
        title=title,
        unit="variance of the centroid",
        score_options=("frame_of_reference",),
    )


TASKS = by_name(
    [
        PretextTask(  # Sec. 3.1
            name="energy",
            classes=threshold.CLASSES,
            score=energy.rms_energy,
            inputs=("waveform",),
            title="Speech energy",
            unit="mean RMS",
        ),
        _region("upper_face", "Movement of the upper face"),
        _region("lower_face", "Movement of the lower face"),
        _region("whole_face", "Movement of the whole face"),  # SSL 2 (Sec. 5.1)
        PretextTask(  # Sec. 3.3
            name="action_units",
            classes=action_units.EMOTIONS,
            score=action_units.proportions,
            inputs=("action_units", "success"),
            title="Action units",
            unit="share of frames",
            size=len(action_units.UNITS),
            choose=action_units.label,
            label_options=("match", "min_proportion"),
        ),
    ]
)
