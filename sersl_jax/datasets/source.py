"""From a corpus's name and folder to its clips."""

import dataclasses
import inspect
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from tqdm import tqdm

from sersl_jax import corpora
from sersl_jax.corpora import Clip
from sersl_jax.datasets import classes
from sersl_jax.datasets.options import PretextOptions, SpeechOptions

_VIDEO = frozenset((".mp4", ".mkv", ".avi", ".mov", ".webm", ".mpg", ".mpeg"))


def read_clips(
    kind: str,
    corpus: str,
    source: str | Path | None,
    data_dir: Path,
    options: SpeechOptions,
    limit: int | None = None,
    tracking: int = 0,
) -> list[Clip]:
    """The first `limit` clips of a corpus; the embedded one is written to `data_dir` first.

    For `speech`, those with labels, where the corpus has a part without, and of `options.classes`.
    With `tracking`, that many videos at a time that have no tracked face are tracked. Raises
    ValueError and FileNotFoundError.
    """
    module = corpora.get(corpus)
    if corpus == "synthetic" and source is None:
        root = data_dir / f"synthetic_{module.VERSION}"
        write = module.write_pretext if kind == "pretext" else module.write_speech
        source = write(root / kind)
    if source is None:
        raise ValueError(f"--source is needed: the folder that holds the corpus {corpus}")
    source = Path(source).expanduser()
    if not source.is_dir():
        raise FileNotFoundError(f"--source={source} is no folder")
    backend = options.face_backend if isinstance(options, PretextOptions) else "openface"
    extra = {} if backend == "openface" else {"face_backend": backend}
    takes_backend = "face_backend" in inspect.signature(module.clips).parameters
    if extra and not takes_backend:
        raise ValueError(f"--face_backend={backend}: the corpus {corpus} has no videos of faces")
    if tracking and not takes_backend:
        raise ValueError(f"--track_faces: the corpus {corpus} is read without faces")
    clips = _chosen(module, kind, source, options, extra)[:limit]
    if not clips:
        raise FileNotFoundError(f"{source} holds no clip of the corpus {corpus}")
    if not tracking:
        if kind == "pretext" and takes_backend:
            _tell_untracked(clips)
        return clips
    failed = _track(clips, source / backend, backend, tracking)
    clips = _chosen(module, kind, source, options, extra)[:limit]
    return [dataclasses.replace(clip, untracked=failed.get(clip.media, "")) for clip in clips]


def _untracked(clips: list[Clip]) -> list[Path]:
    return [c.media for c in clips if c.face is None and c.media.suffix.lower() in _VIDEO]


def _tell_untracked(clips: list[Clip]) -> None:
    """Says, on stderr, how many videos give no face labels, and which flag would help."""
    number = sum(path.is_file() for path in {*_untracked(clips)})
    if number:
        print(
            f"{number} video{'s' * (number > 1)} without a CSV of the tracked face: no face "
            "labels; --track_faces tracks them first",
            file=sys.stderr,
        )


def _chosen(
    module: ModuleType, kind: str, source: Path, options: SpeechOptions, extra: dict[str, str]
) -> list[Clip]:
    read = getattr(module, "labelled_clips", module.clips) if kind == "speech" else module.clips
    clips = list(read(source, **extra))
    if options.classes is None:
        return clips
    return classes.select(clips, _emotions(module, clips), options.classes)


def _emotions(module: ModuleType, clips: Sequence[Clip]) -> tuple[str, ...]:
    """The corpus's own order of classes; of a corpus without one, its labels, sorted."""
    found = sorted({clip.labels["emotion"] for clip in clips if "emotion" in clip.labels})
    return getattr(module, "CLASSES", tuple(found))


def _track(clips: list[Clip], out_dir: Path, backend: str, workers: int) -> dict[Path, str]:
    """Tracks faces in the videos without a track; returns the videos that failed, and why."""
    from sersl_jax.features.tracking import track_all

    stems = Counter(path.stem for path in {clip.media for clip in clips})
    videos = dict.fromkeys(_untracked(clips))
    shared = {v: f"{v}: another recording has its name" for v in videos if stems[v.stem] > 1}
    chosen = [video for video in videos if video not in shared]
    out_dir.mkdir(parents=True, exist_ok=True)
    done = track_all(chosen, out_dir, backend, workers)
    tracked = tqdm(done, "track", len(chosen), unit="video", disable=None)
    return shared | {video: reason for video, reason in tracked if reason}
