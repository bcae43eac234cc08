"""Berlin EMO-DB (Burkhardt et al., 2005): "03a01Wa.wav" is speaker, text, emotion, version."""

import re
from pathlib import Path

from sersl_jax.corpora import Clip, _files

CLASSES = ("anger", "boredom", "disgust", "fear", "happiness", "neutral", "sadness")
_EMOTIONS = dict(zip("WLEAFNT", CLASSES, strict=True))  # the German words' initials
_MEN = frozenset({"03", "10", "11", "12", "15"})
_NAME = re.compile(r"(\d\d)([ab]\d\d)([WLEAFNT])[a-z]?")


def clips(source: Path) -> list[Clip]:
    """The utterances below `source`, sorted; raises FileNotFoundError where there is none."""
    files = _files.by_stem(Path(source), (".wav",))
    matches = [(_NAME.fullmatch(stem), path) for stem, path in files.items()]
    found = [_clip(match, path) for match, path in matches if match]
    if not found:
        raise FileNotFoundError(f"{source} holds no EMO-DB utterance (03a01Wa.wav, ...)")
    return found


def _clip(name: re.Match, media: Path) -> Clip:
    speaker, sentence, emotion = name.groups()
    return Clip(
        id=name.string,
        speaker_id=f"emodb_{speaker}",
        media=media,
        labels={"emotion": _EMOTIONS[emotion]},
        attributes={"sex": "male" if speaker in _MEN else "female", "sentence": sentence},
    )
