"""IEMOCAP (Busso et al., 2008): five sessions, in each of which a woman and a man talk.

Labels are those of `Session?/dialog/EmoEvaluation/*.txt`, one line an utterance; the sound is
`Session?/sentences/wav/<dialogue>/<utterance>.wav`. `dialog/wav/` holds whole dialogues with both
speakers and is not read. "Ses01F" in a name says who wore the markers; who talks is the letter of
the last part ("Ses01F_impro01_M013": the man of session 1).

`votes` are the lines below it, "C-E2: Anger; Frustration; (...)": raters who saw and heard the
clip, a vote for each class that one names. The actors' own ratings (C-F1, C-M1) are not counted.
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
CONSENSUS = True
SCALES = dict.fromkeys(NUMBERS, (1.0, 5.0))
_LINE = re.compile(
    r"\[[\d.]+ - [\d.]+\]\s+((Ses0(\d))[FM]_(impro|script)\S*_([FM])\d+)\s+(\w+)"
    r"\s+\[([\d.]+),\s*([\d.]+),\s*([\d.]+)\]"
)
_RATING = re.compile(r"^C-E\d+:([^(\n]*)", re.MULTILINE)


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
    text = evaluation.read_text(encoding="utf-8", errors="replace")
    matches = list(_LINE.finditer(text))
    ends = [match.start() for match in matches[1:]] + [len(text)]
    for match, end in zip(matches, ends, strict=True):
        id_, pair, number, scene, letter, emotion, valence, arousal, dominance = match.groups()
        yield Clip(
            id=id_,
            speaker_id=f"iemocap_{pair}{letter}",
            media=session / "sentences" / "wav" / evaluation.stem / f"{id_}.wav",
            labels=_labels.emotion(_EMOTIONS.get(emotion)),
            votes={"multimodal": _votes(text[match.end() : end])},
            attributes={
                **_labels.sex(letter),
                "session": number,
                "scene": "improvised" if scene == "impro" else "scripted",
                **_labels.numbers(arousal=arousal, valence=valence, dominance=dominance),
            },
        )


def _votes(lines: str) -> tuple[int, ...]:
    """Raters who named each class; "Happiness" is known by its first three letters."""
    named = [
        name.strip()[:3].lower() for line in _RATING.findall(lines) for name in line.split(";")
    ]
    return tuple(named.count(code) for code in _EMOTIONS)
