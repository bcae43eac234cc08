"""Any folder: `media/`, and for pretext labels `openface/`, for speech `labels.csv`.

`speakers.csv` (`clip,speaker_id`) says who talks; without it, every clip is its own speaker.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from sersl_jax.corpora import Clip

_SOUND = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".wma")
_VIDEO = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".mpg", ".mpeg")
SUFFIXES = frozenset(_SOUND + _VIDEO)


def clips(source: Path, face_backend: str = "openface") -> list[Clip]:
    """The clips of `source`, sorted by id: the path below `media/` without its suffix.

    `face_backend` names the folder of CSVs. Rows of labels.csv or speakers.csv without a media
    file are yielded too, and so land in the ledger. Raises FileNotFoundError and ValueError.
    """
    source = Path(source)
    labels = _column(source / "labels.csv", "label")
    speakers = _column(source / "labels.csv", "speaker_id", required=False)
    speakers |= _column(source / "speakers.csv", "speaker_id")
    media = dict.fromkeys(_media(source / "media"))
    found = {id_ for id_, _ in media}
    media |= dict.fromkeys((id_, source / "media" / id_) for id_ in sorted({*labels} - found))
    return [
        Clip(
            id=id_,
            speaker_id=speakers.get(id_, id_),
            media=path,
            face=_face(source / face_backend, id_),
            labels={"emotion": labels[id_]} if id_ in labels else {},
        )
        for id_, path in media
    ]


def _media(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yields (id, path) for every audio or video file, sorted; links to folders aren't followed."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder: put the audio or video files there, or correct --source"
        )
    paths = (Path(root, name) for root, _, files in os.walk(folder) for name in files)
    paths = sorted(path for path in paths if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(
            f"{folder} holds no audio or video file ({' '.join(_SOUND + _VIDEO)})"
        )
    for path in paths:
        yield path.relative_to(folder).with_suffix("").as_posix(), path


def _face(folder: Path, id_: str) -> Path | None:
    beside = (folder / f"{id_}.csv", folder / f"{Path(id_).name}.csv")
    return next((path for path in beside if path.is_file()), None)


def _column(path: Path, name: str, required: bool = True) -> dict[str, str]:
    """clip -> value of one column of a CSV; a clip may be written with its media suffix."""
    if not path.exists():
        return {}
    table = pd.read_csv(path, dtype=str, skipinitialspace=True, keep_default_na=False)
    missing = {"clip", name} - {*table.columns}
    if missing and (required or "clip" in missing):
        raise ValueError(f"{path} lacks the column {', '.join(sorted(missing))}")
    if missing:
        return {}
    return {_stem(clip): value for clip, value in zip(table["clip"], table[name], strict=True)}


def _stem(clip: str) -> str:
    suffix = Path(clip).suffix
    return clip[: -len(suffix)] if suffix.lower() in SUFFIXES else clip
