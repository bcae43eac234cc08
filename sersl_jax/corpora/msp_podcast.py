"""MSP-Podcast (Busso et al., 2025): `Labels/labels_consensus.csv` and the wavs in `Audios/`.

Its partitions (Train, Development, Test1, Test2) are in the attribute `partition` as train,
validation, test and test2; Test3 comes without labels.
"""

from pathlib import Path

from sersl_jax import files
from sersl_jax.corpora import NUMBERS, UNKNOWN, Clip, _files, _labels

CLASSES = tuple(_labels.MSP_EMOTIONS.values())
SCALES = dict.fromkeys(NUMBERS, (1.0, 7.0))
_TABLES = tuple(
    f"{folder}labels_{name}.csv"
    for folder in ("Labels/", "Labels/Labels/", "")
    for name in ("consensus", "concensus")  # as older releases spell it
)
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
    return [_clip(row, media, Path(source)) for row in table.to_dict("records")]


def _clip(row: dict, media: dict[str, Path], source: Path) -> Clip:
    id_ = row["FileName"].removesuffix(".wav")
    known = row["SpkrID"].strip().lower() not in ("", "unknown", "nan")
    return Clip(
        id=id_,
        speaker_id=f"msp_podcast_{row['SpkrID']}" if known else UNKNOWN + _recording(id_),
        media=media.get(id_, source / "Audios" / f"{id_}.wav"),
        labels=_labels.emotion(_labels.MSP_EMOTIONS.get(row["EmoClass"])),
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
