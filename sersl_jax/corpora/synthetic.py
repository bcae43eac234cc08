"""The embedded corpus: made-up people who babble with emotions, as real wav and OpenFace files.

Its two parts, `pretext` (talking faces) and `speech` (labelled utterances of other speakers), are
laid out like any folder and read by the same reader. The same arguments give the same files.
"""

import csv
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import soundfile

from sersl_jax import files
from sersl_jax.corpora import crema_d, folder, synthetic_face, synthetic_voice
from sersl_jax.features import openface

CLASSES = crema_d.CLASSES
VERSION = 3  # raise it when the same arguments give other files

SCALES = {"arousal": (1.0, 7.0), "valence": (1.0, 7.0)}
# Of each emotion; how vigorously it is babbled adds to arousal, and a made-up rater's whim to both.
_AROUSAL = {"anger": 5.6, "disgust": 3.8, "fear": 5.0, "happiness": 5.2, "neutral": 3.4,
            "sadness": 2.4}  # fmt: skip
_VALENCE = {"anger": 2.2, "disgust": 2.6, "fear": 2.8, "happiness": 6.0, "neutral": 4.2,
            "sadness": 2.4}  # fmt: skip

clips = folder.clips


def write_pretext(
    directory: Path, num_speakers: int = 24, clips_per_speaker: int = 4, seed: int = 0
) -> Path:
    """Writes talking faces of 5 to 11 s: `media/*.wav`, `openface/*.csv`, `speakers.csv`.

    The default gives 96 clips and about 430 windows.
    """

    def write(root: Path, speaker: int, clip: int) -> list[str]:
        rng = np.random.default_rng((seed, 1, speaker, clip))
        emotion = tuple(synthetic_face.SHOWN)[(speaker + clip) % 5]
        sound, vigour = _talk(_voice(seed, 1, speaker), emotion, rng)
        name = f"talk{speaker:03d}_{clip:02d}"
        soundfile.write(root / "media" / f"{name}.wav", sound, synthetic_voice.SAMPLE_RATE)
        track = synthetic_face.perform(sound, emotion, vigour, rng)
        openface.write(root / "openface" / f"{name}.csv", track)
        return [name, f"talk{speaker:03d}"]

    rows = ((speaker, clip) for speaker in range(num_speakers) for clip in range(clips_per_speaker))
    return _write(directory, write, rows, "speakers.csv", ("clip", "speaker_id"))


def write_speech(
    directory: Path, num_speakers: int = 13, clips_per_speaker: int = 24, seed: int = 0
) -> Path:
    """Writes utterances of 1.5 to 3 s of six emotions in turn: `media/*.wav`, `labels.csv`.

    Beside the emotion stand made-up ratings of arousal and valence.
    """

    def write(root: Path, speaker: int, clip: int) -> list[str]:
        rng = np.random.default_rng((seed, 2, speaker, clip))
        emotion = CLASSES[clip % len(CLASSES)]
        duration, vigour = rng.uniform(1.5, 3.0), rng.normal(0, 0.35)
        manner = synthetic_voice.MANNERS[emotion]
        sound = synthetic_voice.babble(_voice(seed, 2, speaker), manner, duration, vigour, rng)
        name = f"say{speaker:03d}_{clip:02d}"
        soundfile.write(root / "media" / f"{name}.wav", sound, synthetic_voice.SAMPLE_RATE)
        return [name, emotion, f"say{speaker:03d}", *_ratings(emotion, vigour, rng)]

    rows = ((speaker, clip) for speaker in range(num_speakers) for clip in range(clips_per_speaker))
    return _write(directory, write, rows, "labels.csv", ("clip", "label", "speaker_id", *SCALES))


def _ratings(emotion: str, vigour: float, rng: np.random.Generator) -> list[str]:
    """Arousal and valence, from 1 to 7."""
    whims = rng.normal(0, 0.4, 2)
    means = (_AROUSAL[emotion] + 1.5 * vigour, _VALENCE[emotion])
    return [f"{np.clip(mean + whim, 1, 7):.2f}" for mean, whim in zip(means, whims, strict=True)]


def _voice(seed: int, part: int, speaker: int) -> synthetic_voice.Voice:
    return synthetic_voice.Voice.draw(np.random.default_rng((seed, part, speaker)))


def _talk(
    voice: synthetic_voice.Voice, emotion: str, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Sound and vigour per sample of a clip of two or three phrases, each of its own vigour."""
    durations = rng.uniform(2.6, 3.6, rng.integers(2, 4))
    vigour = rng.normal(0, 0.8, durations.size)
    manner = synthetic_voice.MANNERS[emotion]
    phrases = [
        synthetic_voice.babble(voice, manner, duration, force, rng)
        for duration, force in zip(durations, vigour, strict=True)
    ]
    sizes = [phrase.size for phrase in phrases]
    return np.concatenate(phrases), np.repeat(vigour, sizes)


def _write(
    directory: Path,
    write: Callable[[Path, int, int], list[str]],
    clips: Iterable[tuple[int, int]],
    table: str,
    columns: Sequence[str],
) -> Path:
    """Writes every clip and the table into a new folder that is renamed when it is whole."""
    directory = Path(directory)
    if directory.is_dir():
        return directory
    unfinished = files.beside(directory)
    for name in ("media", "openface"):
        (unfinished / name).mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        rows = list(pool.map(lambda clip: write(unfinished, *clip), clips))
    with open(unfinished / table, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    try:
        unfinished.rename(directory)
    except OSError:  # another process was faster, with the same files
        shutil.rmtree(unfinished)
    return directory
