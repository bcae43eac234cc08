"""Sound of any origin and length as pieces for a network: read in blocks, cut into windows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soxr
from jaxtyping import Float, Shaped

from sersl_jax.features import audio
from sersl_jax.features.audio import SAMPLE_RATE
from sersl_jax.features.llds import FRAME_SIZE

LONGEST = 30.0  # s; a longer sound is predicted in windows, so that memory stays flat
_SHORT = 0.5  # s
_SILENCE = 1e-4  # RMS, -80 dB
_FULL_SCALE, _CLIPPED = 0.999, 0.01

Waveform = Float[np.ndarray, " samples"]
Source = str | Path | np.ndarray


@dataclass(frozen=True)
class Piece:
    """From `start` to `end` (s) of a sound, at 16 kHz."""

    start: float
    end: float
    waveform: Waveform


@dataclass
class Cutter:
    """Cuts sound that comes in chunks of any size into windows (s), as `segments.windows` does.

    With `growing` there are windows before the first full one; they hold all sound so far.
    Raises ValueError for a window shorter than a frame, or a hop shorter than a sample.
    """

    window: float
    hop: float
    growing: bool = False
    _buffer: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    _offset: int = 0  # samples before the buffer
    count: int = 0

    def __post_init__(self):
        """Converts seconds to samples, so that rounding moves no window."""
        if not (FRAME_SIZE <= self.window < np.inf and 1 <= self.hop * SAMPLE_RATE < np.inf):
            raise ValueError(
                f"window={self.window} s must be at least {FRAME_SIZE} s, hop={self.hop} s at "
                "least a sample (1/16000 s), both finite"
            )
        self._size, self._step = (round(s * SAMPLE_RATE) for s in (self.window, self.hop))
        self._end = self._size
        if self.growing:
            least = round(FRAME_SIZE * SAMPLE_RATE)
            self._end -= (self._size - least) // self._step * self._step

    def push(self, chunk: Float[np.ndarray, " chunk"]) -> list[Piece]:
        """The windows that are complete with `chunk`."""
        self._buffer = np.concatenate([self._buffer, chunk])
        pieces = []
        while self._offset + len(self._buffer) >= self._end:
            start = max(0, self._end - self._size)
            inside = self._buffer[start - self._offset : self._end - self._offset]
            pieces.append(Piece(start / SAMPLE_RATE, self._end / SAMPLE_RATE, inside))
            self._end += self._step
        done = min(max(0, self._end - self._size) - self._offset, len(self._buffer))
        self._buffer, self._offset = self._buffer[done:], self._offset + done
        self.count += len(pieces)
        return pieces

    def rest(self) -> list[Piece]:
        """A sound shorter than the window, as one piece; the tail of a longer one is dropped."""
        if self.count or not len(self._buffer):
            return []
        return [Piece(0.0, len(self._buffer) / SAMPLE_RATE, self._buffer)]


def read_blocks(
    source: Source, sample_rate: int | None, seconds: float = LONGEST
) -> Iterator[tuple[Waveform, bool]]:
    """Yields consecutive blocks of `seconds` at 16 kHz, and whether each is the last one.

    Raises `audio.AudioError`, OSError or ValueError where `source` is no sound.
    """
    size = round(seconds * SAMPLE_RATE)
    if isinstance(source, np.ndarray):
        waveform = create_waveform(source, sample_rate)
        for start in range(0, len(waveform), size):
            yield waveform[start : start + size], start + size >= len(waveform)
        return
    start, last = 0.0, False
    while not last:
        # One sample more tells whether the sound goes on.
        block = audio.read(source, start, start + seconds + 1 / SAMPLE_RATE)
        last = len(block) <= size
        yield block[:size], last
        start += seconds


def cut_whole(blocks: Iterator[tuple[Waveform, bool]], window: float = 2.0) -> Iterator[Piece]:
    """A sound of up to `LONGEST` s as one piece, a longer one in windows that don't overlap."""
    block, last = next(blocks)
    if last:
        yield Piece(0.0, len(block) / SAMPLE_RATE, block)
        return
    cutter = Cutter(window, window)
    yield from cutter.push(block)
    for block, _ in blocks:
        yield from cutter.push(block)


def cut_windows(
    blocks: Iterator[tuple[Waveform, bool]], window: float, hop: float
) -> Iterator[Piece]:
    """Windows (s) of a sound of any length; a shorter one is one piece."""
    cutter = Cutter(window, hop)
    for block, _ in blocks:
        yield from cutter.push(block)
    yield from cutter.rest()


def to_mono(samples: Shaped[np.ndarray, "chunk *channels"]) -> Float[np.ndarray, " chunk"]:
    """Mono float32 of samples as other programs give them.

    Integers' whole range becomes -1 to 1 (unsigned: as in 8-bit wav). Raises ValueError: not one or
    two axes, no channels, or not finite.
    """
    if samples.ndim not in (1, 2) or 0 in samples.shape[1:]:
        raise ValueError(f"a waveform is [samples] or [samples, channels], not {samples.shape}")
    if samples.dtype.kind in "iu":
        limits = np.iinfo(samples.dtype)
        half = (float(limits.max) - float(limits.min) + 1) / 2
        samples = (samples - (float(limits.min) + half)) / half
    samples = samples.astype(np.float32)
    if not np.isfinite(samples).all():
        raise ValueError("the waveform holds samples that are not finite")
    return samples if samples.ndim == 1 else samples.mean(axis=1)


def create_waveform(
    samples: Shaped[np.ndarray, "original *channels"], sample_rate: int | None
) -> Waveform:
    """`to_mono` at 16 kHz; raises ValueError as it does, without a sample rate, and where empty."""
    if not sample_rate or not 0 < sample_rate < np.inf:
        raise ValueError("a waveform needs its sample_rate, in Hz")
    mono = to_mono(samples)
    waveform = soxr.resample(mono, sample_rate, SAMPLE_RATE)
    if not len(waveform):
        raise ValueError(f"{len(mono)} samples at {sample_rate} Hz are none at {SAMPLE_RATE} Hz")
    return waveform


def notes(waveform: Waveform) -> tuple[str, ...]:
    """What makes a prediction doubtful: silent, clipped or very short sound."""
    if np.sqrt(np.mean(waveform**2)) < _SILENCE:
        return ("silent",)
    clipped = np.mean(np.abs(waveform) >= _FULL_SCALE) >= _CLIPPED
    short = len(waveform) < _SHORT * SAMPLE_RATE
    return ("clipped",) * bool(clipped) + ("very short",) * short
