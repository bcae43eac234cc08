"""MELD (Poria et al., 2019): scenes of "Friends", cut into utterances, with its own partitions.

The labels are `train_sent_emo.csv`, `dev_sent_emo.csv` and `test_sent_emo.csv`; the utterances
"dia12_utt3.mp4" lie in one folder per partition, which count from dia0 each. The leading actors
are in all partitions: these are no speaker-independent sides.
"""

import re
from pathlib import Path

import pandas as pd

from sersl_jax.corpora import Clip, _files, _labels

CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
_FOLDERS = {
    "train": "train_splits",
    "dev": "dev_splits_complete",
    "test": "output_repeated_splits_test",
}
_NAME = re.compile(r"(final_videos_test)?(dia\d+_utt\d+)")
_COLUMNS = ("Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")


def clips(source: Path) -> list[Clip]:
    """The utterances of the three tables, in their order, whether their media are there or not.

    Raises FileNotFoundError and ValueError for a missing table or column.
    """
    source = Path(source)
    tables = {path.name: path for path in reversed(_files.find(source, (".csv",)))}
    media = _media(source)
    return [
        _clip(part, row, media, source)
        for part in _FOLDERS
        for row in _read(tables.get(f"{part}_sent_emo.csv", source / f"{part}_sent_emo.csv"))
    ]


def _clip(part: str, row: dict, media: dict[tuple[str, str], Path], source: Path) -> Clip:
    name = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
    emotion = row["Emotion"].strip().lower()
    return Clip(
        id=f"{part}_{name}",
        speaker_id=f"meld_{row['Speaker'].strip()}",
        media=media.get((part, name), source / _FOLDERS[part] / f"{name}.mp4"),
        labels={"emotion": "happiness" if emotion == "joy" else emotion},
        attributes={
            "partition": _labels.partition(part),
            "sentiment": row["Sentiment"].strip().lower(),
        },
    )


def _media(source: Path) -> dict[tuple[str, str], Path]:
    """(partition, "dia0_utt0") -> file: sound before video, plain names before other takes."""
    found = []
    for order, path in enumerate(_files.find(source, (".wav", ".flac", ".mp4"))):
        match = _NAME.fullmatch(path.stem)
        folders = reversed(path.relative_to(source).parts[:-1])
        part = next((part for name in folders for part in _FOLDERS if part in name.lower()), None)
        if match and part:
            found.append((match[1] is not None, order, (part, match[2]), path))
    return {key: path for *_, key, path in sorted(found, reverse=True)}


def _read(path: Path) -> list[dict]:
    """The rows of a table, which is in UTF-8 or, in some copies, in Windows's encoding."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: --source is the folder that MELD came in")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except UnicodeDecodeError:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="cp1252")
    missing = [column for column in _COLUMNS if column not in table]
    if missing:
        raise ValueError(f"{path} lacks the column {', '.join(missing)}")
    return table.to_dict("records")
