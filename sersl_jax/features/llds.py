"""Acoustic features: the 65 ComParE low-level descriptors of Interspeech 2013 and their deltas.

Sec. 4.2; openSMILE computes the descriptors, at 32 ms windows every 16 ms. Its configuration is
made at run time from the installed package's own: openSMILE's licence allows no copy here.
"""

import re
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from sersl_jax.features.audio import SAMPLE_RATE

if TYPE_CHECKING:  # importing it takes half a second, which training on prepared data need not pay
    from opensmile.core.lib import OpenSMILE

FRAME_SIZE = 0.032  # s
FRAME_STEP = 0.016  # s
PITCH_WINDOWS = (FRAME_SIZE, 1.0)  # s

_LLDS = (
    "F0final",
    "voicingFinalUnclipped",
    "jitterLocal",
    "jitterDDP",
    "shimmerLocal",
    "logHNR",
    "audspec_lengthL1norm",
    "audspecRasta_lengthL1norm",
    "pcm_RMSenergy",
    "pcm_zcr",
    *(f"audSpec_Rfilt[{band}]" for band in range(26)),
    *(f"pcm_fftMag_fband{band}" for band in ("250-650", "1000-4000")),
    *(f"pcm_fftMag_spectralRollOff{percent}.0" for percent in (25, 50, 75, 90)),
    *(f"pcm_fftMag_spectral{name}" for name in ("Flux", "Centroid", "Entropy", "Variance")),
    *(f"pcm_fftMag_spectral{name}" for name in ("Skewness", "Kurtosis", "Slope")),
    "pcm_fftMag_psySharpness",
    "pcm_fftMag_spectralHarmonicity",
    *(f"mfcc[{coefficient}]" for coefficient in range(1, 15)),
)


def _smoothed(name: str, suffix: str) -> str:
    stem, bracket, index = name.partition("[")
    return stem + suffix + bracket + index


NAMES = tuple(_smoothed(name, suffix) for suffix in ("_sma", "_sma_de") for name in _LLDS)
NUM_LLDS = len(NAMES)  # 130

# The smoothers treat the input's last frames apart: openSMILE gets a few more, cut off afterwards.
_SPARE_FRAMES = 3
_POOL: dict[float, list["OpenSMILE"]] = defaultdict(list)


def num_frames(num_samples: int) -> int:
    """Frames in `num_samples` of 16 kHz: those that lie wholly inside (2 s give 124)."""
    size, step = round(FRAME_SIZE * SAMPLE_RATE), round(FRAME_STEP * SAMPLE_RATE)
    return max((num_samples - size) // step + 1, 0)


def check_pitch_window(seconds: float) -> None:
    """Raises ValueError for one beyond `PITCH_WINDOWS`."""
    low, high = PITCH_WINDOWS
    if not low <= seconds <= high:
        raise ValueError(f"pitch_window={seconds} s is not within {low} to {high} s")


def extract(
    waveform: Float[np.ndarray, " samples"], pitch_window: float = 0.060
) -> Float[np.ndarray, "frames 130"]:
    """Descriptors and deltas of a 16 kHz waveform, in the order of `NAMES`, float32.

    Voicing, pitch and zero crossings use a longer window, `pitch_window` s from the frame's start:
    in 32 ms openSMILE finds almost no voiced frames in men's voices. Beyond the end the waveform is
    mirrored. Safe in threads; the GIL is released while openSMILE works.

    Raises:
        ValueError: `waveform` holds values that are not finite, or `pitch_window` is not within
            `PITCH_WINDOWS`, beyond which openSMILE may crash.
    """
    check_pitch_window(pitch_window)
    if not np.isfinite(waveform).all():
        raise ValueError("waveform holds samples that are not finite")
    frames = num_frames(waveform.size)
    if not frames:
        return np.zeros((0, NUM_LLDS), np.float32)
    spare = pitch_window - FRAME_SIZE + _SPARE_FRAMES * FRAME_STEP
    padded = np.pad(waveform, (0, round(spare * SAMPLE_RATE)), mode="reflect")
    llds = np.nan_to_num(_run(padded, pitch_window)[:frames], posinf=0.0, neginf=0.0)
    if len(llds) < frames:
        raise RuntimeError(f"openSMILE gave {len(llds)} frames of {frames}")
    return np.concatenate([llds, deltas(llds)], axis=1)


def deltas(llds: Float[np.ndarray, "frames dim"]) -> Float[np.ndarray, "frames dim"]:
    """HTK's regression over two frames on either side, edges repeated (HTK Book, eq. 5.16).

    openSMILE's own deltas of the voicing features fade with the position in the file.
    """
    padded = np.pad(llds, ((2, 2), (0, 0)), mode="edge")
    near, far = padded[3:-1] - padded[1:-3], padded[4:] - padded[:-4]
    return (near + 2 * far) / 10


def _run(waveform: Float[np.ndarray, " samples"], pitch_window: float) -> np.ndarray:
    # The int16 range ends below +1.0, which would wrap around to the most negative sample.
    pcm = np.clip(np.round(waveform * 32768), -32768, 32767).astype(np.int16)
    rows = []
    with _borrow(pitch_window) as smile:
        smile.external_sink_set_callback("extsink", lambda row: rows.append(row.copy()))
        if not smile.external_audio_source_write_data("extsource", pcm.tobytes()):
            raise RuntimeError(f"openSMILE took no buffer of {pcm.size} samples")
        smile.external_audio_source_set_eoi("extsource")
        smile.run()
    return np.stack(rows) if rows else np.zeros((0, len(_LLDS)), np.float32)


@contextmanager
def _borrow(pitch_window: float) -> Iterator["OpenSMILE"]:
    """Lends a configured extractor to one thread at a time, as configuring one takes up to 2 s."""
    try:
        smile = _POOL[pitch_window].pop()
    except IndexError:
        smile = _create(pitch_window)
    try:
        yield smile
    except BaseException:
        smile.free()
        raise
    smile.reset()
    smile._callbacks.clear()  # see `_create`: the package keeps every callback it was ever given
    _POOL[pitch_window].append(smile)


def _create(pitch_window: float) -> "OpenSMILE":
    from opensmile.core.lib import OpenSMILE

    smile = OpenSMILE()
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "llds.conf")
        path.write_text(_configuration(pitch_window))
        smile.initialize(str(path), {"sinkLevel": "lld"})
    if not isinstance(getattr(smile, "_callbacks", None), list):
        raise RuntimeError("openSMILE keeps its callbacks elsewhere; pin opensmile>=2.5,<3")
    count = smile.external_sink_get_num_elements("extsink")
    names = tuple(smile.external_sink_get_element_name("extsink", i) for i in range(count))
    if names != NAMES[: len(_LLDS)]:
        raise RuntimeError("openSMILE names other features than it used to; pin opensmile>=2.5,<3")
    return smile


def _configuration(pitch_window: float) -> str:
    """The installed IS13 ComParE descriptors with our frames, deltas dropped, as one level."""
    import opensmile

    root = Path(opensmile.__path__[0]) / "core" / "config"
    core = (root / "is09-13" / "IS13_ComParE_core.lld.conf.inc").read_text()
    core = core.partition(";;;;;;;;; deltas")[0].replace("../shared/", f"{root}/shared/")
    for framer, size in (("is13_frame60", pitch_window), ("is13_frame25", FRAME_SIZE)):
        pattern = rf"(?s)(\[{framer}:cFramer\].*?frameSize = )\S+(\s+frameStep = )\S+"
        core, count = re.subn(pattern, rf"\g<1>{size}\g<2>{FRAME_STEP}", core)
        if count != 1:
            raise RuntimeError(f"{framer} not found in openSMILE's files; pin opensmile>=2.5,<3")
    return f"""
[componentInstances:cComponentManager]
instance[dataMemory].type=cDataMemory
instance[concat].type=cVectorConcat
printLevelStats=0
\\{{{root}/shared/standard_external_wave_input.conf.inc}}
{core}
[concat:cVectorConcat]
reader.dmLevel = is13_lld_nzsmo;is13_lldA_smo;is13_lldB_smo
writer.dmLevel = lld
includeSingleElementFields = 1
\\{{{root}/shared/standard_external_data_output_single.conf.inc}}
"""
