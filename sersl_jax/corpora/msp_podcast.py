"""MSP-Podcast (Busso et al., 2025): `Labels/labels_consensus.csv` and the wavs in `Audios/`.

Its partitions (Train, Development, Test1, Test2) are in the attribute `partition` as train,
validation, test and test2; Test3 comes without labels. `votes` are the workers' own classes in
`labels_detailed.csv`, where it is there: they only heard the clip.
"""

from pathlib import Path

import pandas as pd

from sersl_jax import files
from sersl_jax.corpora import NUMBERS, UNKNOWN, Clip, _files, _labels

CLASSES = tuple(_labels.MSP_EMOTIONS.values())
CONSENSUS = True
SCALES = dict.fromkeys(NUMBERS, (1.0, 7.0))
_TABLES = tuple(
    f"{folder}labels_{name}.csv"
    for folder in ("Labels/", "Labels/Labels/", "")
    for name in ("consensus", "concensus")  # as older releases spell it
)
_RATINGS = {
    "Angry": "anger",
    "Contempt": "contempt",
    "Disgust": "disgust",
    "Fear": "fear",
    "Happy": "happiness",
    "Neutral": "neutral",
    "Other": "other",
    "Sad": "sadness",
    "Surprise": "surprise",
}
_COLUMNS = ("FileName", "EmoClass", "EmoAct", "EmoVal", "EmoDom", "SpkrID", "Gender", "Split_Set")


def clips(source: Path) -> list[Clip]:
    """One clip per row of the labels, in their order; without agreement ("X") without an emotion.

    Attributes are the raters' means from 1 to 7. Who talks is unknown in a part of the corpus:
    such clips of one recording count as one speaker, called "unknown:" and the recording's number.
    Raises FileNotFoundError and ValueError for a missing or older table.
    """
    path = _files.first(Path(source), _TABLES, "MSP-Podcast")
    table = files.read_table(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    missing = [column for column in _COLUMNS if column not in table]
    if missing:
        raise ValueError(f"{path} lacks the column {', '.join(missing)}: take release 1.8 or later")
    media = _files.by_stem(Path(source), (".wav",))
    votes = _votes(path.parent / "labels_detailed.csv")
    return [_clip(row, media, Path(source), votes) for row in table.to_dict("records")]


def _clip(row: dict, media: dict[str, Path], source: Path, votes: dict) -> Clip:
    id_ = row["FileName"].removesuffix(".wav")
    known = row["SpkrID"].strip().lower() not in ("", "unknown", "nan")
    return Clip(
        id=id_,
        speaker_id=f"msp_podcast_{row['SpkrID']}" if known else UNKNOWN + _recording(id_),
        media=media.get(id_, source / "Audios" / f"{id_}.wav"),
        labels=_labels.emotion(_labels.MSP_EMOTIONS.get(row["EmoClass"])),
        votes={"voice": votes[row["FileName"]]} if row["FileName"] in votes else {},
        attributes={
            **_labels.sex(row["Gender"]),
            "partition": _labels.partition(row["Split_Set"]),
            **_labels.numbers(
                arousal=row["EmoAct"], valence=row["EmoVal"], dominance=row["EmoDom"]
            ),
        },
    )


def _recording(id_: str) -> str:
    """ "MSP-PODCAST_0153_0042_0001" -> "MSP-PODCAST_0153"."""
    return "_".join(id_.split("_")[:2])


def _votes(path: Path) -> dict[str, tuple[int, ...]]:
    """Votes for each class by file name; empty without the file.

    A row is a worker's rating: its class is `EmoClass_Major` or, in other releases, the second part
    of `EmoDetail` ("WORKER1; Happy; ...; A:4; V:5; D:4;"). "Other-..." is other.
    """
    if not path.is_file():
        return {}
    table = files.read_table(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    if "FileName" not in table or not {"EmoClass_Major", "EmoDetail"} & {*table}:
        raise ValueError(f"{path} lacks the columns FileName and EmoClass_Major")
    if "EmoClass_Major" in table:
        said = table["EmoClass_Major"]
    else:
        said = table["EmoDetail"].str.split(";").str[1].fillna("")
    classes = said.str.extract(r"^\s*([A-Za-z]+)", expand=False).map(_RATINGS)
    counts = pd.crosstab(table["FileName"], classes).reindex(columns=list(CLASSES), fill_value=0)
    return dict(zip(counts.index, map(tuple, counts.to_numpy(int).tolist()), strict=True))
