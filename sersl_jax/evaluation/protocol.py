"""Train, validation and test speakers of every split; and the guard against leaks."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import pandas as pd

from sersl_jax.config import PROTOCOLS
from sersl_jax.corpora import UNKNOWN
from sersl_jax.evaluation.splits import (
    SIDES,
    Split,
    by_fraction,
    by_partition,
    by_session,
    held_out,
)

__all__ = ["PROTOCOLS", "LeakError", "Split", "check", "create_splits", "held_out"]

# The test actors of CREMA-D's five published folds, first and last (EMO-SUPERB, HiCMAE).
BLOCKS = ((1001, 1018), (1019, 1036), (1037, 1054), (1055, 1072), (1073, 1091))


class LeakError(ValueError):
    """A split that would be tested on what was trained on."""


def create_splits(
    protocol: str,
    speaker_ids: Sequence[str],
    num_splits: int | None = 20,
    seed: int = 0,
    path: str | Path | None = None,
    clips: pd.DataFrame | None = None,
) -> list[Split]:
    """The splits of a protocol.

    Args:
        protocol: one of `PROTOCOLS`, or the path of a splits file.
        speaker_ids: the speaker of every clip (a speaker with many clips weighs more).
        num_splits: how many; protocols with fixed folds give at most the folds they have, and
            None means all of them (20 for `paper`).
        seed: split k of `paper` is a function of `seed + k` alone.
        path: a splits file, instead of a protocol (`read_splits`).
        clips: what is known of each clip, of which `corpus` needs `clip` and `partition` or
            `session`.
    """
    if path or protocol.endswith(".json"):
        splits = read_splits(path or protocol)
    elif protocol == "paper":
        number = 20 if num_splits is None else num_splits
        splits = [by_fraction(speaker_ids, seed + k) for k in range(number)]
    elif protocol in ("emosuperb", "hicmae"):
        splits = _blocks(protocol, speaker_ids, seed)
    elif protocol == "leave_one_speaker_out":
        splits = [_one_out(test, speaker_ids, seed) for test in sorted(set(speaker_ids))]
    elif protocol == "corpus":
        splits = _own(pd.DataFrame() if clips is None else clips, speaker_ids)
    else:
        raise ValueError(
            f"unknown protocol {protocol!r}; take one of {', '.join(PROTOCOLS)} or a splits.json"
        )
    if odd := [str(split.seed) for split in splits if re.search(r"#\d+$", str(split.seed))]:
        raise ValueError(
            f"splits named {', '.join(odd[:5])}: a name that ends in # and a number means one of "
            "several trainings of a split; give other ids"
        )
    return splits[:num_splits]


def read_splits(path: str | Path) -> list[Split]:
    """Reads a user's splits: a list of {"seed", "train", "validation", "test"} of speaker ids.

    A run's `results.json` is also taken, which repeats that run's splits. An id may be a clip's
    instead of a speaker's.
    """
    try:
        document = json.loads(Path(path).read_text())
        entries = document["splits"] if isinstance(document, dict) else document
        splits = [_read_split(number, entry) for number, entry in enumerate(entries)]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{path} is no splits file ({type(error).__name__}: {error}); it should hold a list of "
            '{"train": [...], "validation": [...], "test": [...]} with speaker ids'
        ) from error
    names = Counter(str(split.seed) for split in splits)
    if twice := [name for name, number in names.items() if number > 1]:
        raise ValueError(f"{path}: several splits have the seed {', '.join(twice)}")
    return splits


def check(
    split: Split,
    speaker_ids: Sequence[str],
    hashes: Sequence[str] | None = None,
    clips: Sequence[str] | None = None,
    allow_speaker_overlap: bool = False,
) -> list[str]:
    """Refuses a split that leaks; must be called before anything is trained on it.

    Args:
        split: the split to be trained.
        speaker_ids: the speaker of every clip of the corpus.
        hashes: a digest of every clip's sound, to find byte-identical ones.
        clips: every clip's id, for messages and for splits that name clips.
        allow_speaker_overlap: return the leaks, to be stamped on every output, not raise.

    Returns:
        The leaks that were allowed, and how many clips of unknown speakers each side has: of
        those nobody can tell whether they leak.

    Raises:
        LeakError: a speaker or a byte-identical clip is on two sides.
        ValueError: a side has no clips (without validation clips the best epoch could only be
            chosen on test), or the split names speakers that the corpus does not have.
    """
    names = list(clips) if clips is not None else [f"#{i}" for i in range(len(speaker_ids))]
    sides = {side: split.indices(side, speaker_ids, clips).tolist() for side in SIDES}
    _check_complete(split, sides, {*speaker_ids, *names})
    leaks = _overlaps(sides, speaker_ids, "speaker")
    if hashes is not None:
        leaks += _overlaps(sides, hashes, "byte-identical clip", names)
    if leaks and not allow_speaker_overlap:
        raise LeakError(
            f"split {split.seed} leaks: {'; '.join(leaks)}. Give each speaker one side; only to "
            "reproduce others' numbers: --config.finetune.allow_speaker_overlap"
        )
    return [f"split {split.seed}: {said}" for said in leaks + _strangers(sides, speaker_ids)]


def _strangers(sides: dict[str, list[int]], speaker_ids: Sequence[str]) -> list[str]:
    """A sentence where speakers are unknown, who count as one speaker a recording."""
    unknown = {s: sum(UNKNOWN in speaker_ids[i] for i in chosen) for s, chosen in sides.items()}
    if not any(unknown.values()):
        return []
    counts = ", ".join(f"{number} in {side}" for side, number in unknown.items() if number)
    return [f"clips of unknown speakers ({counts}): they may talk on another side, too"]


def _check_complete(split: Split, sides: dict[str, list[int]], known: set[str]) -> None:
    unknown = {member for side in SIDES for member in getattr(split, side)} - known
    if unknown:
        raise ValueError(
            f"split {split.seed} names speakers that the corpus does not have: {_list(unknown)}"
        )
    for side, indices in sides.items():
        if not indices:
            reason = "; the best epoch could then only be chosen on test"
            raise ValueError(
                f"split {split.seed} has no {side} clips{reason if side == 'validation' else ''}"
            )


def _overlaps(
    sides: dict[str, list[int]], keys: Sequence[str], what: str, names: Sequence[str] = ()
) -> list[str]:
    """One sentence for each two sides that share a key; `names` are said instead of keys."""
    messages = []
    for one, other in combinations(SIDES, 2):
        shared = {keys[i] for i in sides[one]} & {keys[i] for i in sides[other]}
        if shared:
            positions = sorted({*sides[one], *sides[other]})
            twins = [names[i] for i in positions if keys[i] in shared] if names else []
            said = twins or list(shared)
            plural = "s" if len(said) > 1 else ""
            messages.append(f"{what}{plural} {_list(said)} in both {one} and {other}")
    return messages


def _list(names: Iterable[str], limit: int = 8) -> str:
    ordered = sorted(names)
    rest = f" and {len(ordered) - limit} more" if len(ordered) > limit else ""
    return ", ".join(ordered[:limit]) + rest


def _read_split(number: int, entry: dict) -> Split:
    sides = entry.get("speakers", entry)
    for side in SIDES:
        if not isinstance(sides[side], list):
            raise TypeError(f"{side} is no list")
    return Split(entry.get("seed", number), *(tuple(map(str, sides[side])) for side in SIDES))


def _own(clips: pd.DataFrame, speaker_ids: Sequence[str]) -> list[Split]:
    """The partitions, or else the sessions, that the corpus came with."""
    if "partition" in clips:
        return [by_partition([*clips["partition"]], speaker_ids, [*clips["clip"]], "corpus")]
    if "session" in clips:
        return by_session([*clips["session"]], speaker_ids, [*clips["clip"]])
    raise ValueError(
        "protocol corpus: this corpus comes with neither partitions nor sessions; take "
        "protocol=paper or leave_one_speaker_out"
    )


def _blocks(protocol: str, speaker_ids: Sequence[str], seed: int) -> list[Split]:
    """CREMA-D's five folds of actors in a row.

    EMO-SUPERB chooses on the next block. HiCMAE has no validation side: a tenth of the training
    actors is held out for it, because we never choose on test.
    """
    blocks = [tuple(str(actor) for actor in range(a, b + 1)) for a, b in BLOCKS]
    speakers = {actor for block in blocks for actor in block}
    if set(speaker_ids) != speakers:
        raise ValueError(
            f"protocol {protocol} is defined for the 91 actors of CREMA-D (1001-1091); missing or "
            f"strange here: {_list(set(speaker_ids) ^ speakers)}; take protocol=paper"
        )
    return [
        _fold(f"{protocol}-{k + 1}", block, blocks[(k + 1) % 5], speaker_ids, seed)
        for k, block in enumerate(blocks)
    ]


def _fold(name: str, test, following, speaker_ids: Sequence[str], seed: int) -> Split:
    if name.startswith("hicmae"):
        return _hold_out(name, test, speaker_ids, seed)
    train = set(speaker_ids) - set(test) - set(following)
    return Split(name, tuple(sorted(train)), following, test)


def _one_out(speaker: str, speaker_ids: Sequence[str], seed: int) -> Split:
    return _hold_out(speaker, (speaker,), speaker_ids, seed)


def _hold_out(name: str, test, speaker_ids: Sequence[str], seed: int) -> Split:
    others = [speaker for speaker in speaker_ids if speaker not in test]
    return Split(name, *held_out(others, 0.1, seed), tuple(test))
