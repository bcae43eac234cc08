"""Emotions of files, waveforms and streams by a trained run: `sersl_jax.load("runs/ssl1")`."""

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import soxr
from jaxtyping import Float

from sersl_jax.features.audio import SAMPLE_RATE
from sersl_jax.inference import windows
from sersl_jax.inference.ensemble import Ensemble, Members
from sersl_jax.inference.prediction import ALONE, Prediction, answer, merge
from sersl_jax.inference.prefetch import chunks, map_ahead
from sersl_jax.inference.windows import Cutter, Piece, Source, to_mono
from sersl_jax.training.normaliser import Normaliser, from_sums

_CHUNK = 128  # pieces that are sorted by length and batched together
Cut = Callable[[Iterator], Iterator[Piece]]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Recognizer:
    """A trained run, ready to use: features, normaliser, network, calibration and labels.

    Sources are paths of any audio or video file, or waveforms ([samples] or [samples, channels])
    with their `sample_rate` in Hz. `members` names splits whose models are averaged (default: all).
    A run with `scope` "speaker" needs the `normaliser` of the speaker (`speaker_normaliser`);
    without it a sound or window is normalised by itself, and noted so. One with "utterance" always
    does that.
    """

    ensemble: Ensemble

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of probabilities."""
        return self.ensemble.labels

    @property
    def attributes(self) -> dict[str, tuple[float, float]]:
        """The attributes that are predicted (arousal ...) and the ends of their scales."""
        return self.ensemble.attributes

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the splits that models were trained on."""
        return self.ensemble.splits

    @property
    def scope(self) -> str:
        """Whose frames normalise LLDs: `config.data.normalise`."""
        return self.ensemble.scope

    def predict(
        self,
        source: Source,
        sample_rate: int | None = None,
        members: Members = None,
        normaliser: Normaliser | None = None,
    ) -> Prediction:
        """The emotion of a whole sound; beyond 30 s the mean over windows of 2 s.

        Raises ValueError (`AudioError`) or OSError for what is no usable sound.
        """
        return _raised(next(self.predict_all([source], sample_rate, members, [normaliser])))

    def predict_all(
        self,
        sources: Iterable[Source],
        sample_rate: int | None = None,
        members: Members = None,
        normalisers: Sequence[Normaliser | None] | None = None,
    ) -> Iterator[Prediction | Exception]:
        """Predicts many, batched by length, in their order; for a bad one yields its error."""
        for found in self._run(sources, sample_rate, members, windows.cut_whole, normalisers):
            yield found if isinstance(found, Exception) else merge(found)

    def timeline(
        self,
        source: Source,
        sample_rate: int | None = None,
        window: float = 2.0,
        hop: float = 0.5,
        members: Members = None,
        normaliser: Normaliser | None = None,
    ) -> list[Prediction]:
        """A prediction for every window (s); a sound shorter than that gives one."""

        def cut(blocks):
            return windows.cut_windows(blocks, window, hop)

        Cutter(window, hop)  # checks them
        return _raised(next(self._run([source], sample_rate, members, cut, [normaliser])))

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
        normaliser: Normaliser | None = None,
    ) -> "Stream":
        """Live recognition: takes chunks of any size, gives a prediction every `hop` s."""
        resampler = None
        if not 0 < sample_rate < np.inf:
            raise ValueError(f"sample_rate={sample_rate} is no rate in Hz")
        if sample_rate != SAMPLE_RATE:
            resampler = soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1)
        ensemble, cutter = self.ensemble.select(members), Cutter(window, hop, growing=True)
        return Stream(ensemble, cutter, resampler, normaliser)

    def speaker_normaliser(
        self, sources: Source | Iterable[Source], sample_rate: int | None = None
    ) -> Normaliser:
        """Mean and SD over all of one speaker's clips, or one, for runs with the scope `speaker`.

        What is no usable sound is left out; raises ValueError where nothing is left.
        """
        clips = [sources] if isinstance(sources, str | Path | np.ndarray) else sources

        def measure(item: tuple[int, Piece | Exception]):
            try:
                x = self.ensemble.measure(_raised(item[1]).waveform).astype(np.float64)
            except (ValueError, OSError):
                return None
            return len(x), x.sum(axis=0), (x**2).sum(axis=0)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            pieces = _pieces(pool, clips, sample_rate, windows.cut_whole)
            sums = [found for found in map_ahead(pool, measure, pieces, _CHUNK) if found]
        if not sums:
            raise ValueError("no usable sound of this speaker to normalise by")
        counts, totals, squares = zip(*sums, strict=True)
        return from_sums(sum(counts), np.sum(totals, axis=0), np.sum(squares, axis=0))

    def _run(
        self,
        sources: Iterable[Source],
        sample_rate: int | None,
        members: Members,
        cut: Cut,
        normalisers: Sequence[Normaliser | None] | None,
    ) -> Iterator[list[Prediction] | Exception]:
        """Each source's pieces, predicted: reading and features in threads, then the network."""
        ensemble = self.ensemble.select(members)

        def of(number: int) -> Normaliser | None:
            return normalisers[number] if normalisers is not None else None

        def extract(item: tuple[int, Piece | Exception]):
            number, piece = item
            try:
                return number, piece, ensemble.features(_raised(piece).waveform, of(number))
            except (ValueError, OSError) as error:
                return number, error, None

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            pieces = _pieces(pool, sources, sample_rate, cut)
            extracted = map_ahead(pool, extract, pieces, _CHUNK)
            answered = itertools.chain.from_iterable(
                answer(ensemble, chunk) for chunk in chunks(extracted, _CHUNK)
            )
            for number, group in itertools.groupby(answered, key=lambda pair: pair[0]):
                found = [one for _, one in group]
                errors = [one for one in found if isinstance(one, Exception)]
                good = [one for one in found if isinstance(one, Prediction)]
                yield errors[0] if errors else _noted(good, ensemble, of(number))


def _noted(
    found: list[Prediction], ensemble: Ensemble, speaker: Normaliser | None
) -> list[Prediction]:
    """With a note where the speaker's normaliser was needed and is missing."""
    if ensemble.scope != "speaker" or speaker is not None:
        return found
    return [replace(one, notes=(*one.notes, ALONE)) for one in found]


@dataclass
class Stream:
    """Live recognition; see `Recognizer.stream`."""

    ensemble: Ensemble
    cutter: Cutter
    resampler: soxr.ResampleStream | None
    normaliser: Normaliser | None = None

    def push(self, chunk: np.ndarray) -> list[Prediction]:
        """Takes the next samples ([samples] or [samples, channels]); returns what they complete.

        Each prediction is of the last `window` s; before there are so many, of all sound so far
        (see `end - start`). From the first full window on they equal `Recognizer.timeline`'s. A
        chunk of other axes or of samples that are not finite raises ValueError and leaves no trace.
        """
        chunk = to_mono(chunk)
        if self.resampler is not None:
            chunk = self.resampler.resample_chunk(chunk)
        pieces = self.cutter.push(chunk)
        if not pieces:
            return []
        extract, own = self.ensemble.features, self.normaliser
        found = answer(self.ensemble, [(0, p, extract(p.waveform, own)) for p in pieces])
        return _noted([_raised(one) for _, one in found], self.ensemble, own)


def _pieces(
    pool: ThreadPoolExecutor, sources: Iterable[Source], sample_rate: int | None, cut: Cut
) -> Iterator[tuple[int, Piece | Exception]]:
    """Each source's number and pieces, in order; the first pieces are read ahead in threads."""

    def begin(source: Source) -> tuple[list[Piece | Exception], Iterator[Piece]]:
        pieces = cut(windows.read_blocks(source, sample_rate))
        return list(_caught(itertools.islice(pieces, 1))), pieces

    for number, (first, rest) in enumerate(map_ahead(pool, begin, sources, _CHUNK)):
        for piece in itertools.chain(first, _caught(rest)):
            yield number, piece


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
