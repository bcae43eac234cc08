"""MSP-IMPROV (Busso et al., 2017): `Evalution.txt` (so spelt) and the wavs of six sessions.

"MSP-IMPROV-S08A-F02-P-MF07.wav" is sentence and its emotion, who talks (the woman of session 2),
how it was recorded, and the turn. The labels call it "UTD-IMPROV-S08A-F02-P-MF07.avi".
"""

import re
from pathlib import Path

from sersl_jax.corpora import NUMBERS, Clip, _files, _labels

CLASSES = ("anger", "happiness", "neutral", "other", "sadness")
SCALES = dict.fromkeys(NUMBERS, (1.0, 5.0))
_TABLES = ("Evalution.txt", "Evaluation.txt", "Labels/Evalution.txt", "Labels/Evaluation.txt")
_SCENES = {"P": "natural", "R": "read", "S": "improvised", "T": "target"}
_LINE = re.compile(
    r"^(?:UTD|MSP)-IMPROV-((S\d\d[AHNS])-(([FM])(\d\d))-([PRST])-\w+)\.avi;\s*(\w)\s*;"
    r"\s*A:([^;\s]*)\s*;\s*V:([^;\s]*)\s*;\s*D:([^;\s]*)",
    re.MULTILINE,
)


def clips(source: Path) -> list[Clip]:
    """The turns, sorted by name; those without agreement ("X") have attributes but no emotion.

    Attributes are the raters' means from 1 to 5, as released. Raises FileNotFoundError without
    the labels and ValueError where they hold no turn.
    """
    path = _files.first(Path(source), _TABLES, "MSP-IMPROV")
    lines = list(_LINE.finditer(path.read_text(encoding="utf-8", errors="replace")))
    if not lines:
        raise ValueError(
            f"{path} holds no line like 'UTD-IMPROV-S01A-F01-P-FM01.avi; H; A:2.5 ...'"
        )
    media = _files.by_stem(Path(source), (".wav", ".avi"))
    return sorted((_clip(line, media, Path(source)) for line in lines), key=lambda clip: clip.id)


def _clip(line: re.Match, media: dict[str, Path], source: Path) -> Clip:
    name, sentence, speaker, letter, pair, scene, emotion, arousal, valence, dominance = (
        line.groups()
    )
    id_ = f"MSP-IMPROV-{name}"
    absent = source / f"session{int(pair)}" / sentence / scene / f"{id_}.wav"
    names = [each for each in (id_, f"UTD-IMPROV-{name}") if each in media]
    return Clip(
        id=id_,
        speaker_id=f"msp_improv_{speaker}",
        media=media[names[0]] if names else absent,
        labels=_labels.emotion(_labels.MSP_EMOTIONS.get(emotion)),
        attributes={
            **_labels.sex(letter),
            "session": str(int(pair)),
            "scene": _SCENES[scene],
            "sentence": sentence,
            **_labels.numbers(arousal=arousal, valence=valence, dominance=dominance),
        },
    )
