"""Any folder: `media/`, and for pretext labels `openface/`, for speech `labels.csv`.

`speakers.csv` (`clip,speaker_id`) says who talks; without it, every clip is its own speaker.
`labels.csv` has `clip`, then `label`, or columns of numbers (arousal ...), or both; `speaker_id`,
`sex` and `sentence` if known. An empty cell is unknown.
"""

import itertools
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import ceil, floor
from pathlib import Path

import pandas as pd

from sersl_jax import files
from sersl_jax.corpora import Clip, _labels

_SOUND = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".m4a", ".aac", ".wma")
_TEXT = ("sex", "sentence")  # attributes that are no numbers
_TAKEN = ("split", "prediction", "example", "sha256")  # columns of clips with another meaning
_TAKEN_PREFIXES = ("p_", "predicted_", "votes_")
_VIDEO = (".mp4", ".mkv", ".avi", ".mov", ".webm", ".mpg", ".mpeg")
SUFFIXES = frozenset(_SOUND + _VIDEO)


def clips(source: Path, face_backend: str = "openface") -> list[Clip]:
    """The clips of `source`, sorted by id: the path below `media/` without its suffix.

    `face_backend` names the folder of CSVs. Rows of labels.csv or speakers.csv without a media
    file are yielded too, and so land in the ledger. Raises FileNotFoundError and ValueError.
    """
    source = Path(source)
    labelled, spoken = (_read(source / name) for name in ("labels.csv", "speakers.csv"))
    attributes = _attributes(labelled)
    labels = _column(labelled, "label", required=not _numbers(attributes))
    speakers = _column(labelled, "speaker_id", required=False)
    speakers |= {clip: name for clip, name in _column(spoken, "speaker_id").items() if name}
    media = dict.fromkeys(_media(source / "media"))
    found = {id_ for id_, _ in media}
    stems = Counter(Path(id_).name for id_ in found)
    media |= dict.fromkeys(
        (id_, source / "media" / id_) for id_ in sorted({*labels, *attributes, *speakers} - found)
    )
    return [
        Clip(
            id=id_,
            speaker_id=speakers.get(id_) or id_,
            media=path,
            face=_face(source / face_backend, id_, stems),
            labels={"emotion": labels[id_]} if labels.get(id_) else {},
            attributes=attributes.get(id_, {}),
        )
        for id_, path in media
    ]


def scales(clips: Sequence[Clip]) -> dict[str, tuple[float, float]]:
    """The whole numbers around those that occur, as nobody names a scale."""
    found: dict[str, list[float]] = {}
    for clip in clips:
        for name in {*clip.attributes} - {*_TEXT}:
            found.setdefault(name, []).append(float(clip.attributes[name]))
    return {name: (float(floor(min(v))), float(ceil(max(v)))) for name, v in sorted(found.items())}


def _attributes(table: pd.DataFrame | None) -> dict[str, dict[str, str]]:
    """clip -> its attributes: columns that hold nothing but numbers, and those of `_TEXT`."""
    if table is None:
        return {}
    known = {"clip", "label", "speaker_id"}
    names = [n for n in table if n in _TEXT or (n not in known and _is_numeric(table, n))]
    if taken := [n for n in names if n in _TAKEN or n.startswith(_TAKEN_PREFIXES)]:
        raise ValueError(
            f"{table.attrs['path']}: the column {', '.join(taken)} would be mistaken for one of "
            "predictions.csv; rename it"
        )
    columns = zip(*(table[n] for n in names), strict=True) if names else itertools.repeat(())
    rows = zip(table["clip"], columns, strict=False) if "clip" in table else []
    return {
        clip: {n: value for n, value in zip(names, row, strict=True) if value} for clip, row in rows
    }


def _numbers(attributes: Mapping[str, Mapping[str, str]]) -> bool:
    return any({*found} - {*_TEXT} for found in attributes.values())


def _is_numeric(table: pd.DataFrame, name: str) -> bool:
    """Whether a column holds numbers; raises ValueError where most cells are, but not all."""
    filled = [value for value in table[name] if value]
    strange = [value for value in filled if not _labels.is_number(value)]
    if strange and 2 * len(strange) < len(filled):
        raise ValueError(
            f"{table.attrs['path']}: the column {name} holds numbers and {strange[0]!r}: leave "
            "cells empty where nothing is known"
        )
    return bool(filled) and not strange


def _media(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yields (id, path) for every audio or video file, sorted; links to folders aren't followed."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is no folder: put the audio or video files there, or correct --source"
        )
    shown = ((root, name) for root, _, names in os.walk(folder) for name in names if name[0] != ".")
    paths = (Path(root, name) for root, name in shown)
    paths = sorted(path for path in paths if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(
            f"{folder} holds no audio or video file ({' '.join(_SOUND + _VIDEO)})"
        )
    for path in paths:
        yield path.relative_to(folder).with_suffix("").as_posix(), path


def _face(folder: Path, id_: str, stems: Counter[str]) -> Path | None:
    """The CSV at the clip's own path, or of its name where no other clip has that name."""
    name = Path(id_).name
    beside = [folder / f"{id_}.csv", *([folder / f"{name}.csv"] if stems[name] < 2 else [])]
    return next((path for path in beside if path.is_file()), None)


def _column(table: pd.DataFrame | None, name: str, required: bool = True) -> dict[str, str]:
    """clip -> value of one column of a CSV."""
    if table is None:
        return {}
    missing = {"clip", name} - {*table.columns}
    if missing and (required or "clip" in missing):
        raise ValueError(f"{table.attrs['path']} lacks the column {', '.join(sorted(missing))}")
    return {} if missing else dict(zip(table["clip"], table[name], strict=True))


def _read(path: Path) -> pd.DataFrame | None:
    """All cells as text, those that a short row lacks are empty; clips without a media suffix.

    None where there is no such file. Raises ValueError where a clip has two rows that differ.
    """
    if not path.exists():
        return None
    table = files.read_table(path, dtype=str, skipinitialspace=True, keep_default_na=False)
    cells = {str(name).strip(): table[name].fillna("").str.strip() for name in table}
    table = pd.DataFrame(cells)
    table = table.loc[(table != "").any(axis=1)].reset_index(drop=True)
    table.attrs["path"] = path
    if "clip" in table:
        table["clip"] = [_stem(clip) for clip in table["clip"]]
        table = table.drop_duplicates()
        if twice := [*table.loc[table["clip"].duplicated(), "clip"]]:
            raise ValueError(f"{path}: the rows of clip {twice[0]} differ")
    return table


def _stem(clip: str) -> str:
    stem, suffix = os.path.splitext(clip)
    return stem if suffix.lower() in SUFFIXES else clip
