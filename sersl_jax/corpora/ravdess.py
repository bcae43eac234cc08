"""RAVDESS (Livingstone & Russo, 2018): speech, as sound or video, with the published face tracks.

File names say all: "03-01-06-01-02-01-12.wav" is modality (01 video with sound, 02 without, 03
sound alone), channel (01 speech, 02 song), emotion, intensity, statement, repetition, actor.
"""

import re
from pathlib import Path

from sersl_jax.corpora import Clip, _files

CLASSES = ("anger", "calm", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
_EMOTIONS: dict[str, str] = dict(
    zip(("05", "02", "07", "06", "03", "01", "04", "08"), CLASSES, strict=True)
)
_INTENSITIES = {"01": "normal", "02": "strong"}
_VIDEO, _SOUND = "01", "03"
_NAME = re.compile(r"(\d\d)-(01-0[1-8]-0[12]-0[12]-0[12]-\d\d)")


def clips(source: Path, face_backend: str = "openface") -> list[Clip]:
    """One clip per spoken utterance, sorted, wherever below `source` its files lie.

    The sound comes from the video if there is one, whose face is or can be tracked.
    Raises FileNotFoundError where there is no utterance.
    """
    return _clips(Path(source), (_VIDEO, _SOUND), face_backend)


def labelled_clips(source: Path) -> list[Clip]:
    """The same for speech: the sound comes from the wav if there is one."""
    return _clips(Path(source), (_SOUND, _VIDEO), "openface")


def _clips(source: Path, order: tuple[str, ...], face_backend: str) -> list[Clip]:
    media = _by_utterance(_files.by_stem(source, (".wav", ".mp4")))
    faces = _by_utterance(_files.face_tracks(source, face_backend))
    utterances = sorted({name for modality, name in media if modality in (_VIDEO, _SOUND)})
    if not utterances:
        raise FileNotFoundError(f"{source} holds no RAVDESS speech (03-01-06-01-02-01-12.wav, ...)")
    return [_clip(name, media, order, faces.get((_VIDEO, name))) for name in utterances]


def _clip(
    name: str, media: dict[tuple[str, str], Path], order: tuple[str, ...], face: Path | None
) -> Clip:
    _, emotion, intensity, statement, _, actor = name.split("-")
    return Clip(
        id=name,
        speaker_id=f"ravdess_{actor}",
        media=next(media[kind, name] for kind in order if (kind, name) in media),
        face=face,
        labels={"emotion": _EMOTIONS[emotion]},
        attributes={
            "sex": "male" if int(actor) % 2 else "female",
            "intensity": _INTENSITIES[intensity],
            "sentence": statement,
        },
    )


def _by_utterance(files: dict[str, Path]) -> dict[tuple[str, str], Path]:
    """(modality, rest of the name) -> file, speech only."""
    matches = ((_NAME.fullmatch(stem), path) for stem, path in files.items())
    return {(match[1], match[2]): path for match, path in matches if match}
