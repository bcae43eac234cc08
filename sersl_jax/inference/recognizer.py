"""Emotions of files, waveforms and streams by a trained run: `sersl_jax.load("runs/ssl1")`."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import soxr
from jaxtyping import Float

from sersl_jax.features.audio import SAMPLE_RATE
from sersl_jax.inference import windows
from sersl_jax.inference.ensemble import Ensemble
from sersl_jax.inference.prefetch import chunks, map_ahead
from sersl_jax.inference.windows import Cutter, Piece, Source

_CHUNK = 128  # pieces that are sorted by length and batched together
Members = str | int | Sequence[str | int] | None
Result = TypeVar("Result")


@dataclass(frozen=True)
class Prediction:
    """What the network says of a sound, or of a window of it.

    Attributes:
      label: the most probable class.
      probabilities: of every class, calibrated on validation clips; they sum to 1.
      start, end: in s.
      embedding: the representation before the head, averaged over members.
      notes: what makes it doubtful: `silent`, `clipped`, `very short`.
    """

    label: str
    probabilities: dict[str, float]
    start: float
    end: float
    embedding: Float[np.ndarray, " dim"]
    notes: tuple[str, ...] = ()

    @property
    def confidence(self) -> float:
        """Probability of the label."""
        return self.probabilities[self.label]


@dataclass(frozen=True)
class Recognizer:
    """A trained run, ready to use: features, normaliser, network, calibration and labels.

    Sources are paths of any audio or video file, or waveforms ([samples] or [samples, channels])
    with their `sample_rate` in Hz. `members` names splits whose models are averaged (default: all).
    """

    ensemble: Ensemble

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of probabilities."""
        return self.ensemble.labels

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the splits that models were trained on."""
        return self.ensemble.names

    def predict(
        self, source: Source, sample_rate: int | None = None, members: Members = None
    ) -> Prediction:
        """The emotion of a whole sound; beyond 30 s the mean over windows of 2 s.

        Raises ValueError (`AudioError`) or OSError for what is no usable sound.
        """
        return _raised(next(self.predict_all([source], sample_rate, members)))

    def predict_all(
        self, sources: Iterable[Source], sample_rate: int | None = None, members: Members = None
    ) -> Iterator[Prediction | Exception]:
        """Predicts many, batched by length, in their order; for a bad one yields its error."""
        for found in self._run(sources, sample_rate, members, windows.cut_whole):
            yield found if isinstance(found, Exception) else _merge(found)

    def timeline(
        self,
        source: Source,
        sample_rate: int | None = None,
        window: float = 2.0,
        hop: float = 0.5,
        members: Members = None,
    ) -> list[Prediction]:
        """A prediction for every window (s); a sound shorter than that gives one."""

        def cut(blocks):
            return windows.cut_windows(blocks, window, hop)

        Cutter(window, hop)  # checks them
        return _raised(next(self._run([source], sample_rate, members, cut)))

    def embed(
        self, source: Source, sample_rate: int | None = None, members: Members = None
    ) -> Float[np.ndarray, " dim"]:
        """The encoder's pooled representation (130 numbers in the paper's network)."""
        return self.predict(source, sample_rate, members).embedding

    def stream(
        self,
        sample_rate: int = SAMPLE_RATE,
        window: float = 2.0,
        hop: float = 0.5,
        members: Members = None,
    ) -> "Stream":
        """Live recognition: takes chunks of any size, gives a prediction every `hop` s."""
        resampler = None
        if sample_rate != SAMPLE_RATE:
            resampler = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1)
        return Stream(self.ensemble.select(members), Cutter(window, hop, growing=True), resampler)

    def _run(
        self,
        sources: Iterable[Source],
        sample_rate: int | None,
        members: Members,
        cut: Callable[[Iterator], Iterator[Piece]],
    ) -> Iterator[list[Prediction] | Exception]:
        """Each source's pieces, predicted: reading and features in threads, then the network."""
        ensemble = self.ensemble.select(members)

        def begin(source: Source) -> tuple[list[Piece | Exception], Iterator[Piece]]:
            pieces = cut(windows.read_blocks(source, sample_rate))
            return list(_caught(itertools.islice(pieces, 1))), pieces

        def extract(item: tuple[int, Piece | Exception]):
            number, piece = item
            try:
                return number, piece, ensemble.features(_raised(piece).waveform)
            except (ValueError, OSError) as error:
                return number, error, None

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            begun = enumerate(map_ahead(pool, begin, sources, _CHUNK))
            items = (
                (number, piece)
                for number, (first, rest) in begun
                for piece in itertools.chain(first, _caught(rest))
            )
            extracted = map_ahead(pool, extract, items, _CHUNK)
            answered = itertools.chain.from_iterable(
                _answer(ensemble, chunk) for chunk in chunks(extracted, _CHUNK)
            )
            for _, group in itertools.groupby(answered, key=lambda answer: answer[0]):
                found = [answer for _, answer in group]
                errors = [answer for answer in found if isinstance(answer, Exception)]
                yield errors[0] if errors else [a for a in found if isinstance(a, Prediction)]


@dataclass
class Stream:
    """Live recognition; see `Recognizer.stream`."""

    ensemble: Ensemble
    cutter: Cutter
    resampler: soxr.ResampleStream | None

    def push(self, chunk: np.ndarray) -> list[Prediction]:
        """Takes samples, mono, as they come; the predictions that they complete.

        Each is of the last `window` s, or of what there is so far in the beginning (`end - start`
        tells). From the first full window on they equal `Recognizer.timeline`'s.
        """
        if chunk.dtype.kind == "i":
            chunk = chunk / -float(np.iinfo(chunk.dtype).min)
        chunk = chunk.astype(np.float32)
        if self.resampler is not None:
            chunk = self.resampler.resample_chunk(chunk)
        pieces = self.cutter.push(chunk)
        if not pieces:
            return []
        chunk_of = [(0, piece, self.ensemble.features(piece.waveform)) for piece in pieces]
        return [_raised(answer) for _, answer in _answer(self.ensemble, chunk_of)]


def _answer(
    ensemble: Ensemble, chunk: Sequence[tuple[int, Piece | Exception, np.ndarray | None]]
) -> Iterator[tuple[int, Prediction | Exception]]:
    """The network on a chunk of pieces; errors pass through in their place."""
    features = [x for _, _, x in chunk if x is not None]
    answers = iter(zip(*ensemble.run(features), strict=True)) if features else iter(())
    for number, piece, _ in chunk:
        if isinstance(piece, Exception):
            yield number, piece
            continue
        p, z = next(answers)
        named = dict(zip(ensemble.labels, map(float, p), strict=True))
        label = ensemble.labels[int(p.argmax())]
        found = windows.notes(piece.waveform)
        yield number, Prediction(label, named, piece.start, piece.end, z, found)


def _merge(found: Sequence[Prediction]) -> Prediction:
    """The mean over windows of equal length; a note must hold for all of them."""
    if len(found) == 1:
        return found[0]
    p = {
        label: float(np.mean([f.probabilities[label] for f in found]))
        for label in found[0].probabilities
    }
    notes = tuple(note for note in found[0].notes if all(note in f.notes for f in found))
    embedding = np.mean([f.embedding for f in found], axis=0)
    return Prediction(max(p, key=p.__getitem__), p, 0.0, found[-1].end, embedding, notes)


def _caught(pieces: Iterator[Piece]) -> Iterator[Piece | Exception]:
    """The pieces; where reading fails, the error as the last one."""
    try:
        yield from pieces
    except (ValueError, OSError) as error:
        yield error


def _raised(found: Result | Exception) -> Result:
    if isinstance(found, Exception):
        raise found
    return found
