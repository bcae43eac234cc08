"""First pass: everything about one clip, measured once and kept in a cache.

A cache entry is one file, named by the content of the clip's media and face files and by the
options, and written whole or not at all: a run that was killed goes on where it was. Scores of
tasks that were declared since are added to it.
"""

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Float, Shaped

from sersl_jax import files
from sersl_jax.corpora import Clip
from sersl_jax.datasets import measure_face, scores
from sersl_jax.datasets.ledger import Entry
from sersl_jax.datasets.options import MEASURE_VERSION, PretextOptions, SpeechOptions
from sersl_jax.features import audio, llds, segments
from sersl_jax.pretext.registry import PretextTask

_SILENCE = 1e-4  # RMS, -80 dB
_FULL_SCALE, _CLIPPED = 0.999, 0.01  # notes a clip with 1 % of its samples at full scale


@dataclass(frozen=True)
class Measured:
    """A measured clip in memory: its scores; its features stay on disk, in `path`."""

    clip: Clip
    path: Path | None = None  # None: the clip can't be used, `lines` say why
    sha256: str = ""
    seconds: float = 0.0
    nbytes: int = 0
    starts: Float[np.ndarray, " segments"] = field(default_factory=lambda: np.zeros(0))
    scores: Mapping[str, Shaped[np.ndarray, "segments ..."]] = field(default_factory=dict)
    mean_face: Float[np.ndarray, "68 2"] | None = None
    lines: tuple[Entry, ...] = ()


class CacheError(OSError):
    """What was measured cannot be kept: that is no fault of the clip."""


class _UnusableError(Exception):
    """The clip can't be used; args are the ledger's stage and reason."""


def measure(
    clip: Clip, options: SpeechOptions, cache: Path, tasks: Sequence[PretextTask] = ()
) -> Measured:
    """Measures `clip`, or reads what an earlier run measured; never raises for a bad clip."""
    try:
        path = _entry(clip, options, cache)
        if not path.exists() or _is_damaged(path):
            _save(path, _measure(clip, options, tasks))
        elif missing := _unscored(path, tasks):
            _save(path, _add_scores(path, clip, options, missing))
        return _load(clip, path, tasks)
    except _UnusableError as error:
        stage, reason = error.args
    except CacheError:
        raise
    except OSError as error:
        stage, reason = "corpus", f"{error.strerror or error}"
    except Exception as error:  # a broken file may break a decoder in any way; the rest goes on
        stage, reason = "audio", f"{type(error).__name__}: {error}"
    return Measured(clip, lines=(Entry(clip.id, stage, _plain(reason, clip)),))


def read(path: Path, features: tuple[str, ...]) -> dict[str, Shaped[np.ndarray, "segments ..."]]:
    """The stored features of a measured clip, one row per segment."""
    with np.load(path) as arrays:
        return {name: arrays[name] for name in features}


def _is_damaged(path: Path) -> bool:
    """Whether a cache entry is not as it was written; ZIP keeps a CRC of every array."""
    try:
        with zipfile.ZipFile(path) as entry:
            return entry.testzip() is not None
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, EOFError):
        return True


def _measure(
    clip: Clip, options: SpeechOptions, tasks: Sequence[PretextTask]
) -> dict[str, np.ndarray]:
    waveform, spans, notes = _read(clip, options)
    pieces = _cut(waveform, spans)
    arrays = {
        "sha256": np.array(hashlib.sha256(waveform.tobytes()).hexdigest()),
        "seconds": np.array(waveform.size / audio.SAMPLE_RATE),
        "starts": np.array([start for start, _ in spans], np.float32),
        "llds": np.stack([llds.extract(piece, options.pitch_window) for piece in pieces]),
    }
    if "waveform" in options.features:
        arrays["waveform"] = np.round(np.clip(pieces, -1, 1) * 32767).astype(np.int16)
    lines = [("note", note) for note in notes + _notes(waveform)]
    if isinstance(options, PretextOptions):
        more, lost = _scores(clip, waveform, spans, options, tasks)
        arrays, lines = arrays | more, lines + lost
    return arrays | {"lines": np.array(json.dumps(lines))}


def _read(
    clip: Clip, options: SpeechOptions
) -> tuple[Float[np.ndarray, " samples"], list[tuple[float, float]], list[str]]:
    """The clip's sound, the spans (s) of its segments, notes; raises where there are none."""
    notes: list[str] = []
    try:
        waveform = audio.read(clip.media, clip.start, clip.end, notes)
    except audio.AudioError as error:
        raise _UnusableError("audio", str(error)) from error
    pretext = isinstance(options, PretextOptions)
    if pretext and "silent" in _notes(waveform):
        raise _UnusableError("audio", "silent")
    seconds = waveform.size / audio.SAMPLE_RATE
    spans = segments.windows(seconds, options.window, options.hop) if pretext else [(0.0, seconds)]
    if not spans or not llds.num_frames(waveform.size):
        raise _UnusableError("segments", f"too short: {seconds:.2f} s")
    return waveform, spans, notes


def _scores(
    clip: Clip,
    waveform: Float[np.ndarray, " samples"],
    spans: list[tuple[float, float]],
    options: PretextOptions,
    tasks: Sequence[PretextTask],
) -> tuple[dict[str, np.ndarray], list[tuple[str, str]]]:
    """Scores of these tasks and the mean face, and lines for the ledger."""
    seconds = waveform.size / audio.SAMPLE_RATE
    faces, mean_face, lost = measure_face.windows(clip, spans, seconds)
    lost += scores.lacking(tasks, faces) if faces else []
    try:
        found = scores.measure(tasks, _cut(waveform, spans), faces, options)
    except scores.ScoreError as error:
        raise _UnusableError("segments", str(error)) from error
    arrays = {f"scores/{key}": values for key, values in found.items()}
    arrays |= {} if mean_face is None else {"mean_face": mean_face}
    return arrays, [("face", _plain(reason, clip)) for reason in lost]


def _unscored(path: Path, tasks: Sequence[PretextTask]) -> list[PretextTask]:
    """Tasks that were declared, or changed, after `path` was measured."""
    with np.load(path) as arrays:
        return [task for task in tasks if f"scores/{task.key}" not in arrays.files]


def _add_scores(
    path: Path, clip: Clip, options: SpeechOptions, tasks: Sequence[PretextTask]
) -> dict[str, np.ndarray]:
    """What `path` holds, and the scores of these tasks."""
    assert isinstance(options, PretextOptions)
    with np.load(path) as stored:
        arrays = dict(stored)
    waveform, spans, _ = _read(clip, options)
    more, lost = _scores(clip, waveform, spans, options, tasks)
    lines = [tuple(line) for line in json.loads(str(arrays["lines"]))]
    lines += [line for line in lost if line not in lines]
    return arrays | more | {"lines": np.array(json.dumps(lines))}


def _notes(waveform: Float[np.ndarray, " samples"]) -> list[str]:
    if np.sqrt(np.mean(waveform**2)) < _SILENCE:
        return ["silent"]
    clipped = np.mean(np.abs(waveform) >= _FULL_SCALE)
    return [f"clipped: {clipped:.0%} of samples at full scale"] if clipped >= _CLIPPED else []


def _cut(
    waveform: Float[np.ndarray, " samples"], spans: list[tuple[float, float]]
) -> Float[np.ndarray, "segments window"]:
    bounds = np.round(np.array(spans) * audio.SAMPLE_RATE).astype(int)
    return np.stack([waveform[start:end] for start, end in bounds])


def _plain(reason: str, clip: Clip) -> str:
    """The reason without folders, so that it's the same wherever the corpus lies."""
    for path in (clip.media, clip.face):
        reason = reason.replace(f"{path}", path.name) if path else reason
    return reason


def _entry(clip: Clip, options: SpeechOptions, cache: Path) -> Path:
    """The cache file of this content under these options; raises OSError for a missing file."""
    face = clip.face if isinstance(options, PretextOptions) else None
    identity = {
        "version": MEASURE_VERSION,
        "options": options.measured() | {"kind": type(options).__name__},
        "media": _digest(clip.media, *_stamp(clip.media)),
        "face": _digest(face, *_stamp(face)) if face else clip.untracked or None,
        "span": (clip.start, clip.end),
    }
    key = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    return cache / key[:2] / f"{key}.npz"


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=256)  # clips may share a file
def _digest(path: Path, size: int, mtime: int) -> str:
    del size, mtime  # part of the cache's key: a file that was written anew is read anew
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    content = io.BytesIO()
    # NumPy declares `allow_pickle` beside the arrays: a name that no array here has.
    np.savez(content, **arrays)  # pyright: ignore[reportArgumentType]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomically(path, lambda temporary: temporary.write_bytes(content.getbuffer()))
    except OSError as error:
        said = f"{path.parent} takes no measurements ({error.strerror}): mend that, then give the "
        raise CacheError(f"{said}same command again") from error


def _load(clip: Clip, path: Path, tasks: Sequence[PretextTask]) -> Measured:
    with np.load(path) as arrays:
        lines = json.loads(str(arrays["lines"]))
        return Measured(
            clip=clip,
            path=path,
            sha256=str(arrays["sha256"]),
            seconds=float(arrays["seconds"]),
            nbytes=path.stat().st_size,
            starts=arrays["starts"],
            scores={task.name: arrays[f"scores/{task.key}"] for task in tasks},
            mean_face=arrays.get("mean_face", None),
            lines=tuple(Entry(clip.id, stage, reason) for stage, reason in lines),
        )
