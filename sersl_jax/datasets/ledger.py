"""The ledger: what of a corpus could not be used, or was odd, and why."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from os import PathLike
from pathlib import Path

from sersl_jax import files

NAME = "ledger.csv"
LOST = ("corpus", "audio", "segments")  # stages at which a clip is lost


@dataclass(frozen=True)
class Entry:
    """`stage` is one of `LOST`, face (the clip is kept without face labels) or note (all kept)."""

    clip: str
    stage: str
    reason: str


def write(path: PathLike, entries: Iterable[Entry]) -> None:
    """Writes `clip,stage,reason`, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_atomically(path, lambda temporary: _write(temporary, entries))


def read(path: PathLike) -> list[Entry]:
    """The entries of a ledger; an absent one has none."""
    path = Path(path)
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [Entry(**row) for row in csv.DictReader(file)]


def _write(path: Path, entries: Iterable[Entry]) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(("clip", "stage", "reason"))
        writer.writerows(astuple(entry) for entry in entries)


def totals(entries: Sequence[Entry]) -> str:
    """A line for each stage, most frequent reason first, for the terminal."""
    counts = Counter(entry.stage for entry in entries)
    examples = {entry.stage: entry for entry in reversed(entries)}
    return "\n".join(
        f"  {stage:<9}{count:>6}   e.g. {examples[stage].clip}: {examples[stage].reason}"
        for stage, count in counts.most_common()
    )
