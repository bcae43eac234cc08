"""CREMA-D (Cao et al., 2014): a local copy with `AudioWAV/` or `AudioOpus/` and its CSV files.

`emotion` is the acted emotion of the file name. What raters chose is in `votes`: the released
`summaryTable.csv` names the most chosen class or, in a tie, the tied classes ("A:D"), not how
many chose it, so every winner holds 1 and all others 0.
"""

from pathlib import Path

import pandas as pd

from sersl_jax import files
from sersl_jax.corpora import Clip

CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness")
_LETTERS = "ADFHNS"  # summaryTable.csv's codes, in the order of CLASSES
_ACTED = dict(zip(("ANG", "DIS", "FEA", "HAP", "NEU", "SAD"), CLASSES, strict=True))
_VOTES = {"multimodal": "MultiModalVote", "voice": "VoiceVote", "face": "FaceVote"}
_INTENSITY = {"LO": "low", "MD": "medium", "HI": "high", "XX": "unspecified"}
_AUDIO = {"AudioWAV": ".wav", "AudioOpus": ".opus"}


def clips(source: Path) -> list[Clip]:
    """The 7,442 clips, sorted by name; raises FileNotFoundError where a released file is absent."""
    source = Path(source)
    table = _read(source / "processedResults" / "summaryTable.csv").sort_values("FileName")
    people = _read(source / "VideoDemographics.csv").set_index("ActorID").to_dict("index")
    folder = next((source / name for name in _AUDIO if (source / name).is_dir()), None)
    if folder is None:
        raise FileNotFoundError(f"{source} has neither AudioWAV/ nor AudioOpus/")
    return [_clip(row, people, folder) for row in table.to_dict("records")]


def _clip(row: dict, people: dict, folder: Path) -> Clip:
    name = row["FileName"]
    actor, sentence, acted, intensity = name.split("_")
    person = people[actor]
    return Clip(
        id=name,
        speaker_id=actor,
        media=folder / f"{name}{_AUDIO[folder.name]}",
        labels={"emotion": _ACTED[acted]},
        votes={kind: _winners(row[column]) for kind, column in _VOTES.items()},
        attributes={
            "sex": person["Sex"].lower(),
            "age": person["Age"],
            "race": person["Race"],
            "ethnicity": person["Ethnicity"],
            "intensity": _INTENSITY[intensity],
            "sentence": sentence,
        },
    )


def _winners(vote: str) -> tuple[int, ...]:
    """1 for every class that was chosen most ("A:D" is a tie), 0 for the others."""
    return tuple(int(letter in vote.split(":")) for letter in _LETTERS)


def _read(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: --source is the folder that CREMA-D came in")
    return files.read_table(path, dtype=str)
