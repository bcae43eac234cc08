"""Speech energy, the unimodal pretext task (Sec. 3.1)."""

import librosa
import numpy as np
from jaxtyping import Float


def rms_energy(waveform: Float[np.ndarray, " samples"]) -> float:
    """Mean over frames of librosa's RMS, taken from the magnitude STFT (2048 samples, hop 512).

    In units of full scale. Raises ValueError where `waveform` is empty.
    """
    if not waveform.size:
        raise ValueError("the energy of an empty waveform is not defined")
    magnitude = np.abs(librosa.stft(waveform))
    return float(librosa.feature.rms(S=magnitude).mean())
