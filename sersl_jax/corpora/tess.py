"""TESS (Pichora-Fuller & Dupuis, 2010): "OAF_back_angry.wav" is speaker, word, emotion.

Two women only, an older and a younger: enough to train or to test on, not for speaker-independent
splits of its own.
"""

import re
from pathlib import Path

from sersl_jax.corpora import Clip, _files

CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
_EMOTIONS = dict(
    zip(("angry", "disgust", "fear", "happy", "neutral", "sad", "ps"), CLASSES, strict=True)
)
_NAME = re.compile(rf"(OA|YA)F?_(.+)_({'|'.join(_EMOTIONS)})", re.IGNORECASE)  # some lack the F


def clips(source: Path) -> list[Clip]:
    """The words below `source`, sorted; raises FileNotFoundError where there is none."""
    files = _files.by_stem(Path(source), (".wav",))
    matches = [(_NAME.fullmatch(stem), path) for stem, path in files.items()]
    found = [_clip(match, path) for match, path in matches if match]
    if not found:
        raise FileNotFoundError(f"{source} holds no TESS recording (OAF_back_angry.wav, ...)")
    return found


def _clip(name: re.Match, media: Path) -> Clip:
    speaker, word, emotion = name.groups()
    older = speaker.upper() == "OA"
    return Clip(
        id=name.string,
        speaker_id="tess_OAF" if older else "tess_YAF",
        media=media,
        labels={"emotion": _EMOTIONS[emotion.lower()]},
        attributes={"sex": "female", "age": "older" if older else "younger", "sentence": word},
    )
