"""Speakers to sides: pure functions from the clips of each speaker to train, validation and test.

Every random choice is a SHA-256 of (seed, speaker), so that a split is the same on every machine,
under every NumPy, in every order of the clips, and whatever other splits are asked for beside it.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

SIDES = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """Speaker ids of the three sides; a user's file may name single clips instead (`indices`)."""

    seed: int | str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def speakers(self) -> dict[str, list[str]]:
        """Sorted ids by side, as `results.json` holds them."""
        return {side: sorted(getattr(self, side)) for side in SIDES}

    @property
    def hash(self) -> str:
        """SHA-256 over the ids of the three sides; the seed is not part of it."""
        return hashlib.sha256(json.dumps(self.speakers).encode()).hexdigest()

    def indices(
        self, side: str, speaker_ids: Sequence[str], clips: Sequence[str] | None = None
    ) -> Int[np.ndarray, "selected"]:
        """Positions of one side's clips, in corpus order."""
        members = set(getattr(self, side))
        chosen = [speaker in members for speaker in speaker_ids]
        if clips is not None:
            chosen = [known or clip in members for known, clip in zip(chosen, clips, strict=True)]
        return np.flatnonzero(np.array(chosen, bool))


def by_fraction(
    speaker_ids: Sequence[str], seed: int, validation: float = 0.15, test: float = 0.15
) -> Split:
    """Random speakers: each side gets about its share of the clips, and no speaker is divided.

    Raises ValueError for fewer than three speakers.
    """
    counts = Counter(speaker_ids)
    if len(counts) < len(SIDES):
        raise ValueError(
            f"train, validation and test need at least 3 speakers, the corpus has {len(counts)}: "
            f"{', '.join(sorted(counts)) or 'none'}; name the speakers (speakers.csv) or add some"
        )
    order = shuffled(counts, seed)
    tested = _take(order, counts, test * counts.total(), reserve=2)
    rest = [speaker for speaker in order if speaker not in tested]
    validated = _take(rest, counts, validation * counts.total(), reserve=1)
    trained = [speaker for speaker in rest if speaker not in validated]
    return Split(seed, *(tuple(sorted(side)) for side in (trained, validated, tested)))


def by_partition(
    partitions: Sequence[object], speaker_ids: Sequence[str], clips: Sequence[str], name: str
) -> Split:
    """The corpus's own sides; clips of other partitions ("test2", none) are on no side.

    A speaker whose clips are in several partitions is named by clips.
    """
    places = Counter(speaker for speaker, _ in set(zip(speaker_ids, partitions, strict=True)))
    members: list[set[str]] = [
        {
            speaker if places[speaker] == 1 else clip
            for speaker, clip, place in zip(speaker_ids, clips, partitions, strict=True)
            if place == side
        }
        for side in SIDES
    ]
    return Split(name, *(tuple(sorted(side)) for side in members))


def by_session(
    sessions: Sequence[object], speaker_ids: Sequence[str], clips: Sequence[str]
) -> list[Split]:
    """One split a session: it is the test side, the next one validation, the others train.

    Clips without a session are on no side.
    """
    known = [str(each) if isinstance(each, str | int) else "" for each in sessions]
    order = sorted({*known} - {""})
    splits = []
    for session, following in zip(order, order[1:] + order[:1], strict=True):
        sides = {following: "validation", session: "test"}
        partitions = [sides.get(each, "train") if each else "" for each in known]
        splits.append(by_partition(partitions, speaker_ids, clips, f"session-{session}"))
    return splits


def held_out(
    speaker_ids: Sequence[str], fraction: float = 0.1, seed: int = 0
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Train and validation speakers, the latter with about `fraction` of the clips."""
    counts = Counter(speaker_ids)
    if len(counts) < 2:
        raise ValueError(
            f"holding out speakers for validation needs at least 2 speakers, there is only "
            f"{', '.join(counts) or 'none'}; name the speakers (speakers.csv) or add some"
        )
    order = shuffled(counts, seed)
    validation = _take(order, counts, fraction * counts.total(), reserve=1)
    return tuple(sorted(set(order) - set(validation))), tuple(sorted(validation))


def shuffled(speakers: Iterable[str], seed: int | str) -> list[str]:
    """The distinct speakers in a random order that is a function of the seed."""
    return sorted(set(speakers), key=lambda s: hashlib.sha256(f"{seed}/{s}".encode()).digest())


def _take(order: list[str], counts: Counter[str], target: float, reserve: int) -> list[str]:
    """Speakers, in order, each of which brings the clips nearer to `target`; `reserve` are left."""
    taken: list[str] = []
    total = 0
    for speaker in order:
        if len(order) - len(taken) > reserve and (
            abs(total + counts[speaker] - target) < abs(total - target)
        ):
            taken.append(speaker)
            total += counts[speaker]
    return taken or [min(order, key=lambda speaker: counts[speaker])]
