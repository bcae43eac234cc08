"""Media files through FFmpeg, whatever their names and tags."""

from pathlib import Path
from typing import Any

import av
import av.container
import av.error

UNREADABLE = av.error.FFmpegError

# From PyAV 19 on tags that are no UTF-8 are no error, and the option is gone.
_LENIENT: dict[str, Any] = (
    {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}
)


def open_container(path: Path) -> av.container.InputContainer:
    """Opens `path` for reading; raises `UNREADABLE` where it is no sound or video."""
    return av.open(f"file:{path}", **_LENIENT)  # "file:": "a:b.mp4" is no protocol


def video_length(path: Path) -> float | None:
    """Seconds of the video in `path`, None where it has no video stream; raises `UNREADABLE`."""
    with open_container(path) as container:
        stream = next(iter(container.streams.video), None)
        if stream is None:
            return None
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return (container.duration or 0) / av.time_base
