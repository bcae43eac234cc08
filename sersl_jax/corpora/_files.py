"""Finding a corpus's files wherever below its folder they lie."""

import os
from collections.abc import Sequence
from pathlib import Path

_OTHER_TRACKS = "mediapipe"


def find(source: Path, suffixes: Sequence[str], beside: str = "") -> list[Path]:
    """Files below `source`, by order of `suffixes`, then by path; hidden ones are left out.

    Folders called `beside` are passed over, links to folders aren't followed. Raises
    FileNotFoundError where `source` is no folder.
    """
    if not source.is_dir():
        raise FileNotFoundError(f"{source} is no folder: correct --source")
    found = []
    for root, folders, names in os.walk(source):
        folders[:] = [name for name in folders if name != beside]
        paths = (Path(root, name) for name in names if not name.startswith("."))
        found += [path for path in paths if path.suffix.lower() in suffixes]
    return sorted(found, key=lambda path: (suffixes.index(path.suffix.lower()), path))


def by_stem(source: Path, suffixes: Sequence[str], beside: str = "") -> dict[str, Path]:
    """Stem -> file below `source`, sorted; of one stem the first that `find` gives."""
    stems = {path.stem: path for path in reversed(find(source, suffixes, beside))}
    return dict(sorted(stems.items()))


def first(source: Path, names: Sequence[str], corpus: str) -> Path:
    """The first of `names` (relative paths) that is a file; raises FileNotFoundError."""
    found = next((source / name for name in names if (source / name).is_file()), None)
    if found is None:
        raise FileNotFoundError(
            f"{source / names[0]} is missing: --source is the folder that {corpus} came in"
        )
    return found


def face_tracks(source: Path, backend: str) -> dict[str, Path]:
    """Stem -> CSV of the face: MediaPipe's lie in `mediapipe/`, OpenFace's anywhere else."""
    if backend == "openface":
        return by_stem(source, (".csv",), beside=_OTHER_TRACKS)
    folder = source / backend
    return by_stem(folder, (".csv",)) if folder.is_dir() else {}
