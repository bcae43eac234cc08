"""MSP-Face (Vidal et al., 2020): the corpus repository's lists beside the videos.

The lists are `Doc/segments_data.txt` ("start end name.mp4", seconds in the full video) and, for
who talks, `Doc/speaker_id_segments.txt` and `Doc/speaker_id_gender.txt`. The media lie anywhere
below the folder, as full videos ("MSP-FACE_0001.mp4") or as segments ("MSP-FACE_0001_0001.mp4").
`pretext/msp_face` takes every segment and no label, `speech/msp_face` the labelled part.
"""

import dataclasses
import json
from pathlib import Path

from sersl_jax.corpora import NUMBERS, Clip, _files, _labels

CLASSES = tuple(_labels.MSP_EMOTIONS.values())
SCALES = dict.fromkeys(NUMBERS, (1.0, 7.0))
_TABLES = tuple(f"Labels/{name}_con{s}ensus.json" for name in ("label", "labels") for s in "sc")
_SUFFIXES = (".mp4", ".mkv", ".webm", ".avi", ".mov", ".wav", ".flac")  # videos first


def clips(source: Path, face_backend: str = "openface") -> list[Clip]:
    """One clip per listed segment, in the list's order, whether its media are there or not.

    Of a segment's own file and its full video the one with a tracked face is taken. Raises
    FileNotFoundError and ValueError for a missing or malformed list.
    """
    source = Path(source)
    speakers = dict(_pairs(source / "Doc" / "speaker_id_segments.txt"))
    sexes = dict(_pairs(source / "Doc" / "speaker_id_gender.txt"))
    media = _files.by_stem(source, _SUFFIXES)
    faces = _files.face_tracks(source, face_backend)
    result = []
    for start, end, name in _segments(source / "Doc" / "segments_data.txt"):
        stem = Path(name).stem
        video = stem.rpartition("_")[0]
        choices = [each for each in (stem, video) if each in media]
        found = next((each for each in choices if each in faces), next(iter(choices), None))
        speaker = speakers.get(name, video)  # not listed: the video stands for who talks in it
        result.append(
            Clip(
                id=stem,
                speaker_id=speaker,
                media=source / f"{video}.mp4" if found is None else media[found],
                face=None if found is None else faces.get(found),
                start=0.0 if found == stem else start,
                end=None if found == stem else end,
                attributes={"sex": sexes[speaker].lower()} if speaker in sexes else {},
            )
        )
    return result


def labelled_clips(source: Path) -> list[Clip]:
    """The segments with labels, with the raters' plurality and means from 1 to 7 (`Labels/`).

    Those without agreement ("X") have attributes but no emotion. Raises as `clips` does.
    """
    path = _files.first(Path(source), _TABLES, "MSP-Face's repository")
    labels = {Path(name).stem: rows[0] for name, rows in json.loads(path.read_text()).items()}
    found = (clip for clip in clips(source) if clip.id in labels)
    return [_labelled(clip, labels[clip.id]) for clip in found]


def _labelled(clip: Clip, row: dict[str, str]) -> Clip:
    return dataclasses.replace(
        clip,
        labels=_labels.emotion(_labels.MSP_EMOTIONS.get(row["EmoClass_Major"])),
        attributes={
            **clip.attributes,
            "partition": _labels.partition(row["Split_Set"]),
            **_labels.numbers(
                arousal=row["EmoAct"], valence=row["EmoVal"], dominance=row["EmoDom"]
            ),
        },
    )


def _segments(path: Path) -> list[tuple[float, float, str]]:
    rows = []
    for number, line in enumerate(_lines(path), start=1):
        try:
            start, end, name = line.split()
            rows.append((float(start), float(end), name))
        except ValueError:
            raise ValueError(f"{path}, line {number}: {line!r} is not 'start end name'") from None
    return rows


def _pairs(path: Path) -> list[tuple[str, str]]:
    rows = [line.split(",") for line in _lines(path)]
    for number, row in enumerate(rows, start=1):
        if len(row) != 2:
            raise ValueError(f"{path}, line {number}: {','.join(row)!r} is not 'name,value'")
    return [(name.strip(), value.strip()) for name, value in rows]


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: --source is a copy of MSP-Face's repository")
    return [line for line in path.read_text().splitlines() if line.strip()]
