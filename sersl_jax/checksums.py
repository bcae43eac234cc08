"""Checksums beside files that are written once: damage is found and named before they are used.

Files that have none, as those of older versions, are read as they are.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from sersl_jax import files

NAME = "checksums.json"


def write(folder: Path, names: Iterable[str]) -> None:
    """Writes the sizes and SHA-256 of these files of `folder`, beside those of others there."""
    known = _read(folder)
    known |= {n: [(folder / n).stat().st_size, digest(folder / n)] for n in sorted(names)}
    files.write_text(folder / NAME, json.dumps(known, indent=1, sort_keys=True))


def add(folder: Path, names: Iterable[str]) -> None:
    """Writes those of these files that have none: a kill came between a file and its checksum."""
    known = _read(folder)
    if missing := [name for name in names if name not in known]:
        write(folder, missing)


def forget(folder: Path, names: Iterable[str]) -> None:
    """Deletes these files of `folder`, where they are, and their checksums."""
    known = _read(folder)
    if left_out := {name for name in names if name in known}:
        left = {name: one for name, one in known.items() if name not in left_out}
        files.write_text(folder / NAME, json.dumps(left, indent=1, sort_keys=True))
    for name in names:
        (folder / name).unlink(missing_ok=True)


def cover(folder: Path, names: Iterable[str]) -> bool:
    """Whether all these files of `folder` have one."""
    return set(names) <= _read(folder).keys()


def check(folder: Path, remedy: str, below: str = "") -> None:
    """Raises ValueError, with the remedy, where a file with a checksum is missing or has changed.

    `below` leaves out names that do not begin so.
    """
    for name, (size, sha256) in _read(folder).items():
        path = folder / name
        if not name.startswith(below):
            continue
        if not path.is_file():
            raise ValueError(f"{path} is missing: {remedy}")
        if path.stat().st_size != size:
            raise ValueError(
                f"{path} is damaged, it has {path.stat().st_size:,} of {size:,} bytes: {remedy}"
            )
        if digest(path) != sha256:
            raise ValueError(f"{path} is damaged, it is not as it was written: {remedy}")


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(folder: Path) -> dict[str, list]:
    path = folder / NAME
    try:
        found = json.loads(path.read_text()) if path.is_file() else {}
        return {str(name): [int(size), str(sha256)] for name, (size, sha256) in found.items()}
    except (ValueError, TypeError, AttributeError):
        raise ValueError(f"{path} is damaged: delete it to go on unchecked") from None
