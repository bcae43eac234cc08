"""z-normalisation of LLDs: each feature's mean and standard deviation, and over whose frames.

Sec. 4.2 says "z-normalized", not over what. `train` takes the training speakers' frames, `speaker`
each speaker's own (several clips of a person must be at hand), `utterance` each clip's own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from flax import struct
from jaxtyping import Float

if TYPE_CHECKING:  # so that inference needs no dataset
    from sersl_jax.datasets.dataset import Dataset


@struct.dataclass
class Normaliser:
    """Mean and standard deviation of each feature."""

    mean: Any  # [*members features]
    std: Any  # [*members features]


def from_sums(count: int, total: np.ndarray, squares: np.ndarray) -> Normaliser:
    """The normaliser of `count` frames from their sums; a constant feature has a std of 1."""
    mean = total / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 0.0))
    std = np.where(std > 1e-6 * (1.0 + np.abs(mean)), std, 1.0)
    return Normaliser(mean.astype(np.float32), std.astype(np.float32))


def from_frames(x: Float[np.ndarray, "frames features"]) -> Normaliser:
    """The normaliser of a clip's own frames."""
    x = x.astype(np.float64)
    return from_sums(len(x), x.sum(axis=0), (x**2).sum(axis=0))


def stack(normalisers: Sequence[Normaliser]) -> Normaliser:
    """The members' normalisers as one, with a leading axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *normalisers)


def scope_notes(scope: str) -> list[str]:
    """What is stamped on the results of another scope than `train`."""
    if scope == "train":
        return []
    what = "test speakers' too" if scope == "speaker" else "test clips' too"
    return [f"LLDs are normalised over each {scope}'s own frames, {what} (data.normalise={scope})"]


@dataclass(frozen=True)
class SpeakerStatistics:
    """Sums over each speaker's frames, from which any set of speakers' normaliser follows."""

    count: Mapping[str, int]
    total: Mapping[str, np.ndarray]
    squares: Mapping[str, np.ndarray]

    def normaliser(self, speakers: Sequence[str]) -> Normaliser:
        """Over the frames of `speakers`."""
        count = sum(self.count[s] for s in speakers)
        total, squares = (
            sum((of[s] for s in speakers), np.zeros(())) for of in (self.total, self.squares)
        )
        return from_sums(count, total, squares)

    def member(self, scope: str, speakers: Sequence[str]) -> Normaliser:
        """The normaliser of a member that is trained on `speakers`.

        With another scope than `train`, inputs are kept normalised and this one changes nothing.
        """
        found = self.normaliser(speakers)
        if scope == "train":
            return found
        return Normaliser(np.zeros_like(found.mean), np.ones_like(found.std))


def speaker_statistics(dataset: "Dataset") -> SpeakerStatistics:
    """Sums over all inputs, in float64, one input in memory at a time.

    Waveforms are not normalised: theirs are the sums of mean 0 and SD 1.
    """
    count, total, squares = {}, {}, {}
    for index, speaker in enumerate(dataset.speaker_ids):
        raw = dataset.input_name == "waveform"
        x = np.array([[-1.0], [1.0]]) if raw else dataset.read(index).astype(np.float64)
        count[speaker] = count.get(speaker, 0) + len(x)
        total[speaker] = total.get(speaker, 0.0) + x.sum(axis=0)
        squares[speaker] = squares.get(speaker, 0.0) + (x**2).sum(axis=0)
    return SpeakerStatistics(count, total, squares)
