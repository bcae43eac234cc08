"""Tracks faces in many videos, several at a time; skips those that have a CSV."""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from sersl_jax.features import face_mediapipe, openface

BACKENDS = {"openface": openface.run, "mediapipe": face_mediapipe.run}


def track_all(
    videos: Sequence[Path], out_dir: Path, backend: str = "openface", workers: int = 1
) -> Iterator[tuple[Path, str]]:
    """Tracks every video whose `out_dir/<stem>.csv` isn't there yet, `workers` at a time.

    Yields each video as it is done, with "" or the reason why it gave no CSV. The CSVs appear whole
    or not at all, so that the same call after an interruption goes on where it was. Raises
    ValueError for an unknown backend.
    """
    if backend not in BACKENDS:
        raise ValueError(f"unknown face backend {backend!r}: choose from {', '.join(BACKENDS)}")
    stems = Counter(video.stem for video in dict.fromkeys(videos))
    with ThreadPoolExecutor(workers) as pool:
        futures = {}
        for video in dict.fromkeys(videos):
            if stems[video.stem] > 1:
                yield video, f"{video}: another video has the stem {video.stem}"
            elif (out_dir / f"{video.stem}.csv").is_file():
                yield video, ""
            else:
                futures[pool.submit(BACKENDS[backend], video, out_dir)] = video
        try:
            for future in as_completed(futures):
                yield futures[future], _reason(future.exception())
        finally:  # an interruption ends what is running, too
            pool.shutdown(wait=False, cancel_futures=True)
            openface.stop()


def _reason(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, openface.FaceError | OSError):
        return str(error)
    if isinstance(error, Exception):  # MediaPipe has many
        return f"{type(error).__name__}: {error}"
    raise error
