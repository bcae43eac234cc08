"""Who speaks in which file, for a run that normalises all clips of a speaker together."""

import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from sersl_jax.inference.recognizer import Recognizer
from sersl_jax.training.normaliser import Normaliser


def normalisers(
    recognizer: Recognizer, paths: Sequence[str], told: str | None
) -> list[Normaliser | None]:
    """Each file's speaker's normaliser; None where the run needs none, or nobody tells who speaks.

    `told`: files of one `folder` are one speaker's, or each `file` is another's. None also stands
    for a speaker of whom no file is usable: predicting each of them gives its error. Too little
    said, or something without effect, is told on stderr.
    """
    note = _note(recognizer.scope, told)
    if note:
        tqdm.write(f"note: {note}", sys.stderr)
    if recognizer.scope != "speaker" or told is None:
        return [None] * len(paths)
    speakers = [str(Path(p).absolute().parent) if told == "folder" else p for p in paths]
    clips: dict[str, list[str]] = {}
    for speaker, path in zip(speakers, paths, strict=True):
        clips.setdefault(speaker, []).append(path)
    found = {speaker: _normaliser(recognizer, of_speaker) for speaker, of_speaker in clips.items()}
    return [found[speaker] for speaker in speakers]


def _normaliser(recognizer: Recognizer, clips: Sequence[str]) -> Normaliser | None:
    try:
        return recognizer.speaker_normaliser(clips)
    except ValueError:
        return None


def _note(scope: str, told: str | None) -> str | None:
    if scope == "speaker" and told is None:
        return (
            "this run normalises all clips of a speaker together; without --speaker_from=folder or "
            "file each sound is normalised by itself"
        )
    if scope != "speaker" and told is not None:
        return "--speaker_from changes nothing: this run does not normalise by speaker"
    return None
