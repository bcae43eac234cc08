"""z-normalisation of LLDs: each feature's mean and standard deviation over training speakers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax import struct

from sersl_jax.datasets.dataset import Dataset


@struct.dataclass
class Normaliser:
    """z-normalisation per feature, over training speakers' frames only (Sec. 4.2)."""

    mean: Any  # [*members features]
    std: Any  # [*members features]


@dataclass(frozen=True)
class SpeakerStatistics:
    """Sums over each speaker's frames, from which any set of speakers' normaliser follows."""

    count: dict[str, int]
    total: dict[str, np.ndarray]
    squares: dict[str, np.ndarray]

    def normaliser(self, speakers: Sequence[str]) -> Normaliser:
        """Mean and standard deviation over the frames of `speakers`; a constant feature has 1."""
        count = sum(self.count[s] for s in speakers)
        mean = sum(self.total[s] for s in speakers) / count
        variance = sum(self.squares[s] for s in speakers) / count - mean**2
        std = np.sqrt(np.maximum(variance, 0.0))
        std = np.where(std > 1e-6 * (1.0 + np.abs(mean)), std, 1.0)
        return Normaliser(mean.astype(np.float32), std.astype(np.float32))


def speaker_statistics(dataset: Dataset) -> SpeakerStatistics:
    """One pass over all inputs, in float64, holding one at a time; waveforms keep their level."""
    count, total, squares = {}, {}, {}
    for index, speaker in enumerate(dataset.speaker_ids):
        raw = dataset.input_name == "waveform"
        x = np.array([[-1.0], [1.0]]) if raw else dataset.read(index).astype(np.float64)
        count[speaker] = count.get(speaker, 0) + len(x)
        total[speaker] = total.get(speaker, 0.0) + x.sum(axis=0)
        squares[speaker] = squares.get(speaker, 0.0) + (x**2).sum(axis=0)
    return SpeakerStatistics(count, total, squares)
