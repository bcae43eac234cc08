"""Tiny files for made-up corpora."""

import av
import numpy as np
import soundfile


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def write_text(path, text, encoding="utf-8"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding)
    return path


def speak(path, hertz=200.0, rate=16_000, seconds=0.5):
    """A tone, each of another pitch: no two files are the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = 0.3 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)
    soundfile.write(path, sound, rate)
    return path


def film(path, codec, hertz=200.0, rate=48_000):
    """Half a second of sound in a video container (mp4 with aac, avi with pcm_s16le)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    sound = 0.3 * np.sin(2 * np.pi * hertz * np.arange(rate // 2) / rate)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        samples = np.round(32_767 * sound[None]).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.rate = rate
        container.mux([*stream.encode(frame), *stream.encode(None)])
    return path
