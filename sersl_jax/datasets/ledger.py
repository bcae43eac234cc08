"""The ledger: what of a corpus could not be used, or was odd, and why."""

import csv
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from os import PathLike
from pathlib import Path

NAME = "ledger.csv"
LOST = ("corpus", "audio", "segments")  # stages at which a clip is lost


@dataclass(frozen=True)
class Line:
    """`stage` is one of `LOST`, face (the clip is kept without face labels) or note (all kept)."""

    clip: str
    stage: str
    reason: str


def write(path: PathLike, lines: Iterable[Line]) -> None:
    """Writes `clip,stage,reason`, whole or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.unfinished")
    with open(unfinished, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        writer = csv.writer(file)
        writer.writerow(("clip", "stage", "reason"))
        writer.writerows(astuple(line) for line in lines)
    os.replace(unfinished, path)


def read(path: PathLike) -> list[Line]:
    """The lines of a ledger; an absent one has none."""
    path = Path(path)
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8", errors="surrogateescape") as file:
        return [Line(**row) for row in csv.DictReader(file)]


def totals(lines: Sequence[Line]) -> str:
    """One line a stage, most frequent reason first, for the terminal."""
    counts = Counter(line.stage for line in lines)
    examples = {line.stage: line for line in reversed(lines)}
    return "\n".join(
        f"  {stage:<9}{count:>6}   e.g. {examples[stage].clip}: {examples[stage].reason}"
        for stage, count in counts.most_common()
    )
