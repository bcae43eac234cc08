"""IEMOCAP (Busso et al., 2008): five sessions, in each of which a woman and a man talk.

Labels are those of `Session?/dialog/EmoEvaluation/*.txt`, one line an utterance; the sound is
`Session?/sentences/wav/<dialogue>/<utterance>.wav`. `dialog/wav/` holds whole dialogues with both
speakers and is not read. "Ses01F" in a name says who wore the markers; who talks is the letter of
the last part ("Ses01F_impro01_M013": the man of session 1).
"""

import re
from collections.abc import Iterator
from pathlib import Path

from sersl_jax.corpora import NUMBERS, Clip, _labels

_EMOTIONS = {
    "ang": "anger",
    "dis": "disgust",
    "exc": "excited",
    "fea": "fear",
    "fru": "frustration",
    "hap": "happiness",
    "neu": "neutral",
    "oth": "other",
    "sad": "sadness",
    "sur": "surprise",
}  # "xxx": the raters did not agree, no label
CLASSES = tuple(_EMOTIONS.values())
SCALES = dict.fromkeys(NUMBERS, (1.0, 5.0))
_LINE = re.compile(
    r"\[[\d.]+ - [\d.]+\]\s+((Ses0(\d))[FM]_(impro|script)\S*_([FM])\d+)\s+(\w+)"
    r"\s+\[([\d.]+),\s*([\d.]+),\s*([\d.]+)\]"
)


def clips(source: Path) -> list[Clip]:
    """The utterances, sorted; those without agreement (`xxx`) have attributes but no emotion.

    Attributes are the raters' means from 1 to 5: valence, arousal (the corpus's "activation") and
    dominance. Raises FileNotFoundError where there is no evaluation.
    """
    evaluations = sorted(Path(source).glob("Session*/dialog/EmoEvaluation/Ses*.txt"))
    if not evaluations:
        raise FileNotFoundError(
            f"{source}/Session1/dialog/EmoEvaluation/Ses*.txt is missing: --source is the folder "
            "IEMOCAP_full_release"
        )
    return sorted((c for path in evaluations for c in _clips(path)), key=lambda clip: clip.id)


def _clips(evaluation: Path) -> Iterator[Clip]:
    session = evaluation.parents[2]
    for match in _LINE.finditer(evaluation.read_text(encoding="utf-8", errors="replace")):
        id_, pair, number, scene, letter, emotion, valence, arousal, dominance = match.groups()
        yield Clip(
            id=id_,
            speaker_id=f"iemocap_{pair}{letter}",
            media=session / "sentences" / "wav" / evaluation.stem / f"{id_}.wav",
            labels=_labels.emotion(_EMOTIONS.get(emotion)),
            attributes={
                **_labels.sex(letter),
                "session": number,
                "scene": "improvised" if scene == "impro" else "scripted",
                **_labels.numbers(arousal=arousal, valence=valence, dominance=dominance),
            },
        )
