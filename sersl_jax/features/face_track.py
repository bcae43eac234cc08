"""One face over a clip, as a tracker found it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float


class FaceError(ValueError):
    """A face track that cannot be made or read; the message names the file and the remedy."""


@dataclass(frozen=True)
class FaceTrack:
    """One face over a clip. A frame counts only where `success` is set, whatever it holds."""

    timestamps: Float[np.ndarray, " frames"]  # s from the clip's first frame
    success: Bool[np.ndarray, " frames"]
    confidence: Float[np.ndarray, " frames"]  # 0 to 1
    landmarks: Float[np.ndarray, "frames 68 2"]  # pixels, x to the right, y down
    action_units: Float[np.ndarray, "frames 18"]  # 0 or 1, in the order of openface.AU_NAMES
    # The head's place (mm, x y z) and its rotation around these axes (radians); not all trackers
    # give them.
    pose: Float[np.ndarray, "frames 6"] | None = None

    def window(self, start: float, end: float) -> "FaceTrack":
        """The frames with start <= timestamp < end (s).

        Frames that the window should have at either end but the track lacks, because tracking
        started late or stopped early, stand in it as failed ones.
        """
        inside = (self.timestamps >= start) & (self.timestamps < end)
        period = np.diff(self.timestamps).mean() if self.timestamps.size > 1 else end - start
        if not inside.any():
            return self._take(inside)._pad(0, round((end - start) / period), period, start)
        first, last = self.timestamps[inside][[0, -1]]
        before = int((first - start) / period + 0.1)  # 0.1: timestamps have three decimals
        after = max(int(np.ceil((end - last) / period - 0.1)) - 1, 0)
        return self._take(inside)._pad(before, after, period, first)

    def _take(self, rows: Bool[np.ndarray, " frames"]) -> "FaceTrack":
        return self._map(lambda values: values[rows])

    def _map(self, change: Callable[[np.ndarray], np.ndarray]) -> "FaceTrack":
        """Changes every array that is there."""
        there = {name: values for name, values in vars(self).items() if values is not None}
        return replace(self, **{name: change(values) for name, values in there.items()})

    def _pad(self, before: int, after: int, period: float, first: float) -> "FaceTrack":
        """Adds failed frames around; `first` is the time of the first frame that is there."""
        size = len(self.timestamps)
        early = first - period * np.arange(before, 0, -1)
        last = self.timestamps[-1] if size else first - period
        late = last + period * np.arange(1, after + 1)

        def extend(values: np.ndarray) -> np.ndarray:
            return np.pad(values, [(before, after)] + [(0, 0)] * (values.ndim - 1))

        times = np.concatenate([early, self.timestamps, late])
        return replace(self._map(extend), timestamps=times)
