import numpy as np
import pytest

from sersl_jax.pretext import energy


def test_constant_tone_has_the_rms_of_a_sine():
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(32_000) / 16_000)
    # librosa takes the RMS of Hann-windowed frames: sqrt(3/8) of the plain one.
    assert energy.rms_energy(tone) == pytest.approx(0.5 / 2**0.5 * (3 / 8) ** 0.5, rel=0.03)


def test_scales_with_the_waveform_and_is_zero_for_silence():
    waveform = np.random.default_rng(0).normal(size=32_000).astype(np.float32)
    assert energy.rms_energy(0.25 * waveform) == pytest.approx(0.25 * energy.rms_energy(waveform))
    assert energy.rms_energy(np.zeros(32_000, np.float32)) == 0.0


def test_empty_waveform_is_refused():
    with pytest.raises(ValueError, match="empty"):
        energy.rms_energy(np.zeros(0, np.float32))
