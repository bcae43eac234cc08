"""SAVEE (Haq & Jackson, 2009): four men; "DC/sa03.wav" is speaker, emotion, sentence.

Some copies have all files in one folder, as "DC_sa03.wav".
"""

import re
from pathlib import Path

from sersl_jax.corpora import Clip, _files

CLASSES = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
_EMOTIONS = dict(zip(("a", "d", "f", "h", "n", "sa", "su"), CLASSES, strict=True))
_NAME = re.compile(r"(DC|JE|JK|KL)[/_](sa|su|[adfhn])(\d\d?)")


def clips(source: Path) -> list[Clip]:
    """The utterances below `source`, sorted; raises FileNotFoundError where there is none."""
    found = {}
    for path in _files.find(Path(source), (".wav", ".avi")):
        name = path.stem if "_" in path.stem else f"{path.parent.name}/{path.stem}"
        match = _NAME.fullmatch(name)
        clip = _clip(match, path) if match else None
        if clip:
            found.setdefault(clip.id, clip)
    if not found:
        raise FileNotFoundError(f"{source} holds no SAVEE utterance (DC/a01.wav, ...)")
    return [found[id_] for id_ in sorted(found)]


def _clip(name: re.Match, media: Path) -> Clip:
    speaker, letters, number = name.groups()
    return Clip(
        id=f"{speaker}_{letters}{int(number):02d}",
        speaker_id=f"savee_{speaker}",
        media=media,
        labels={"emotion": _EMOTIONS[letters]},
        attributes={"sex": "male", "sentence": f"{letters}{int(number):02d}"},
    )
