"""Any media file to a mono 16 kHz waveform (Sec. 3.1: "converted into mono")."""

import math
import re
from fractions import Fraction
from pathlib import Path

import av
import av.container
import numpy as np
import soundfile
import soxr
from jaxtyping import Float

from sersl_jax.features import media

SAMPLE_RATE = 16_000  # Hz

_MARGIN = 1  # s decoded on either side of a cut, for filters and codecs to settle
_WAV_DATA = re.compile(r"^data : (\d+) \(should be \d+\)", re.MULTILINE)
_STREAMED = 0x7FFFF000  # sizes from here on are what programs write that cannot know the length
_COMPRESSED, _SHORTFALL = ("OGG", "MP3"), 0.1  # s
_BLOCK = 1 << 24  # samples
_HIGHEST_RATE = 384_000  # Hz; a small file of more could fill the memory
_OGG_HEADER, _OGG_PAGE = 27, 27 + 255 + 255 * 255  # bytes, the latter of the largest page


class AudioError(ValueError):
    """A file that gives no usable sound; the message names the file and the reason."""


def read(
    path: str | Path,
    start: float = 0.0,
    end: float | None = None,
    notes: list[str] | None = None,
) -> Float[np.ndarray, " samples"]:
    """Reads `path` from `start` to `end` (s) as mono float32 at 16 kHz.

    Sound files (wav, flac, mp3, ogg, opus) go through libsndfile, everything else (mp4, mkv, avi,
    ...) through FFmpeg; channels are averaged. A cut equals the same piece of the whole file (in
    mkv to its timestamps' 1 ms). An `end` beyond the file's gives what there is. A compressed sound
    may end 0.1 s before its header says so; that, an Ogg file that does not mark its end, and a
    sampling rate below 16 kHz are added to `notes`.

    Raises:
        AudioError: no audio stream, not a media file, empty, truncated, not finite, sampled at
            more than 384 kHz, or nothing between `start` and `end`.
        OSError: `path` cannot be opened.
    """
    path, notes = Path(path), [] if notes is None else notes
    if path.stat().st_size == 0:
        raise AudioError(f"{path}: empty file (0 bytes)")
    # Whole seconds, so that the cut falls on the same 16 kHz grid whatever the file's rate.
    first = max(math.floor(start) - _MARGIN, 0)
    last = None if end is None else math.ceil(end) + _MARGIN
    try:
        samples, rate = _read_sound(path, first, last, notes)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: taken for headerless by its name
        samples, rate = _read_media(path, first, last)
    if last is None or len(samples) < (last - first) * rate:
        notes += _check_ogg(path)
    if rate < SAMPLE_RATE:
        notes.append(f"sampled at {rate} Hz: holds nothing above {rate // 2} Hz")
    waveform = soxr.resample(samples, rate, SAMPLE_RATE)
    stop = None if end is None else round((end - first) * SAMPLE_RATE)
    waveform = waveform[round((start - first) * SAMPLE_RATE) : stop]
    if not waveform.size:
        raise AudioError(f"{path}: no sound from {start} s to {end} s")
    if not np.isfinite(waveform).all():
        raise AudioError(f"{path}: holds samples that are not finite")
    return waveform


def _read_sound(
    path: Path, first: int, last: int | None, notes: list[str]
) -> tuple[Float[np.ndarray, " samples"], int]:
    with soundfile.SoundFile(path) as sound:
        rate = _checked_rate(path, sound.samplerate)
        begin = min(first * rate, sound.frames)
        stop = sound.frames if last is None else min(last * rate, sound.frames)
        if begin:  # a codec starts anew after any seek
            sound.seek(begin)
        samples = _read_frames(sound, stop - begin)
        size = _WAV_DATA.search(sound.extra_info)
        missing = (stop - begin - len(samples)) / rate
        allowed = _SHORTFALL if sound.format in _COMPRESSED else 0.0
    if missing > allowed or (size and int(size[1]) < _STREAMED):
        raise AudioError(f"{path}: truncated, its header promises more sound than it holds")
    if missing:
        notes.append(f"ends {missing:.2f} s before its header says")
    return samples, rate


def _checked_rate(path: Path, rate: int) -> int:
    if rate > _HIGHEST_RATE:
        raise AudioError(f"{path}: sampled at {rate} Hz, more than {_HIGHEST_RATE} Hz")
    return rate


def _read_frames(sound: soundfile.SoundFile, number: int) -> Float[np.ndarray, " samples"]:
    """The mean of the channels, up to `number` frames, in blocks.

    A broken header may promise terabytes.
    """
    size = max(_BLOCK // sound.channels, 1)
    blocks = [sound.read(min(size, number), dtype="float32", always_2d=True).mean(axis=1)]
    while len(blocks[-1]) == size and (left := number - size * len(blocks)):
        blocks.append(sound.read(min(size, left), dtype="float32", always_2d=True).mean(axis=1))
    return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)


def _check_ogg(path: Path) -> list[str]:
    """A note where an Ogg file's last page is not marked as such (RFC 3533, sec. 6).

    Decoders take the sound of a file that was cut for the whole: raises AudioError where it stops
    inside a page.
    """
    with path.open("rb") as file:
        if file.read(4) != b"OggS":
            return []
        file.seek(max(path.stat().st_size - _OGG_PAGE, 0))
        tail = file.read()
    page = tail[max(tail.rfind(b"OggS"), 0) :]
    number = page[26] if len(page) >= _OGG_HEADER else 0
    if len(page) < _OGG_HEADER + number + sum(page[_OGG_HEADER : _OGG_HEADER + number]):
        raise AudioError(f"{path}: truncated, it stops inside a page")
    return [] if page[5] & 4 else ["its end is not marked: it may have been cut"]


def _read_media(
    path: Path, first: int, last: int | None
) -> tuple[Float[np.ndarray, " samples"], int]:
    try:
        with media.open_container(path) as container:
            if not container.streams.audio:
                raise AudioError(f"{path}: no audio stream")
            return _decode(path, container, first, last)
    except media.UNREADABLE as error:
        raise AudioError(f"{path}: not readable as sound or video ({error.strerror})") from None


def _decode(
    path: Path, container: av.container.InputContainer, first: int, last: int | None
) -> tuple[Float[np.ndarray, " samples"], int]:
    """Decodes the first audio stream, channels averaged; time 0 is its own first sample."""
    stream = container.streams.audio[0]
    if stream.codec_context is None:
        raise AudioError(f"{path}: not readable as sound or video (of an unknown codec)")
    rate, tick = _checked_rate(path, stream.rate), stream.time_base or Fraction(1, stream.rate)
    origin = (stream.start_time or 0) * tick
    # A seek in .mpg ends inside a frame, and times after it are off by one: read from the start.
    if first > _MARGIN and container.format.name != "mpeg":
        container.seek(int((first - _MARGIN + origin) / tick), stream=stream, backward=True)
    frames = []
    for frame in container.decode(stream):
        frames.append(frame)
        if last is not None and (frame.pts or 0) * tick - origin >= last:
            break
    if not frames:
        raise AudioError(f"{path}: its audio stream holds no sound")
    to_planar = av.AudioResampler(format="fltp")
    parts = [part for frame in frames for part in to_planar.resample(frame)]
    samples = np.concatenate([part.to_ndarray().mean(axis=0) for part in parts])
    offset = round(((frames[0].pts or 0) * tick - origin) * rate)
    if last is None or offset + len(samples) < last * rate:
        _check_length(path, stream, (offset + len(samples)) / rate)
    stop = None if last is None else last * rate - offset
    return samples[max(first * rate - offset, 0) : stop], rate


def _check_length(path: Path, stream: av.AudioStream, seconds: float) -> None:
    """Raises AudioError where decoding ended well before the stream's declared length."""
    declared = float((stream.duration or 0) * (stream.time_base or 0))
    if seconds < declared - max(0.5, 0.05 * declared):
        raise AudioError(f"{path}: truncated, {seconds:.2f} s of {declared:.2f} s decode")
