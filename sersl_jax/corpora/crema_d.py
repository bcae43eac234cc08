"""CREMA-D (Cao et al., 2014): a local copy with `AudioWAV/` or `AudioOpus/` and its CSV files.

`emotion` is the acted emotion of the file name. What raters chose is in `votes`: the counts of
`tabulatedVotes.csv`. Where that file is not there, or has nothing on a clip, they are those of
`summaryTable.csv`, which names the most chosen class or, in a tie, the tied classes ("A:D"), not
how many chose it: every winner holds 1 and all others 0.
"""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sersl_jax import files
from sersl_jax.corpora import Clip

CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
_LETTERS = "ADFHNS"  # summaryTable.csv's codes, in the order of CLASSES
_ACTED = dict(zip(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), CLASSES, strict=True))
_VOTES = {"multimodal": "MultiModalVote", "voice": "VoiceVote", "face": "FaceVote"}
# By the first digit of a row's number in tabulatedVotes.csv.
_QUERIES = {"1": "voice", "2": "face", "3": "multimodal"}
_PERSON = ("Sex", "Age", "Race", "Ethnicity")
_INTENSITY = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified"}
_AUDIO = {"AudioWAV": ".wav", "AudioOpus": ".opus"}


def clips(source: Path) -> list[Clip]:
    """The 7,442 clips, sorted by name.

    Raises FileNotFoundError where a released file is absent (tabulatedVotes.csv may be), and
    ValueError for one without the released columns.
    """
    source = Path(source)
    table = _read(source / "processedResults" / "summaryTable.csv", ("FileName", *_VOTES.values()))
    actors = _read(source / "VideoDemographics.csv", ("ActorID", *_PERSON))
    people = {row["ActorID"]: row for row in actors.to_dict("records")}
    folder = next((source / name for name in _AUDIO if (source / name).is_dir()), None)
    if folder is None:
        raise FileNotFoundError(f"{source} has neither AudioWAV/ nor AudioOpus/")
    counts = _counts(source / "processedResults" / "tabulatedVotes.csv")
    rows = table.sort_values("FileName").to_dict("records")
    return [_clip(row, people, folder, counts) for row in rows]


def _clip(row: dict, people: dict, folder: Path, counts: dict) -> Clip:
    name = row["FileName"]
    try:
        actor, sentence, acted, intensity = name.split("_")
        person, emotion, level = people[actor], _ACTED[acted], _INTENSITY[intensity]
    except (ValueError, KeyError):
        raise ValueError(
            f"summaryTable.csv: {name} is no clip of CREMA-D, or VideoDemographics.csv lacks its "
            "actor: take the released files"
        ) from None
    return Clip(
        id=name,
        speaker_id=actor,
        media=folder / f"{name}{_AUDIO[folder.name]}",
        labels={"emotion": emotion},
        votes={k: counts.get((k, name)) or _winners(row[c]) for k, c in _VOTES.items()},
        attributes={
            **{column.lower(): person[column] for column in _PERSON},
            "sex": person["Sex"].lower(),
            "intensity": level,
            "sentence": sentence,
        },
    )


def _counts(path: Path) -> dict[tuple[str, str], tuple[int, ...]]:
    """Votes for each class by (kind, clip), without those that nobody rated; empty: no file.

    The first column numbers rows: 100000 for each kind of rating, and the clip's number.
    """
    if not path.is_file():
        return {}
    table = files.read_table(path)
    _check_columns(table, path, (*_LETTERS, "fileName"))
    kinds = table.iloc[:, 0].astype(str).str[0].map(_QUERIES)
    votes = map(tuple, table[list(_LETTERS)].to_numpy(int).tolist())
    rows = zip(kinds, table["fileName"], votes, strict=True)
    return {(kind, name): chosen for kind, name, chosen in rows if any(chosen)}


def _winners(vote: str) -> tuple[int, ...]:
    """1 for every class that was chosen most ("A:D" is a tie), 0 for the others."""
    return tuple(int(letter in vote.split(":")) for letter in _LETTERS)


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: --source is the folder that CREMA-D came in")
    table = files.read_table(path, dtype=str, keep_default_na=False)
    _check_columns(table, path, columns)
    return table


def _check_columns(table: pd.DataFrame, path: Path, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in table]
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}: take the released file")
