import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sersl_jax.features import audio, llds


def voice(seconds: float = 2.0, pitch: float = 120.0, seed: int = 0) -> np.ndarray:
    """A pulse train through a decaying resonance, with breaks and a little noise."""
    time, rng = np.arange(round(seconds * 16_000)) / 16_000, np.random.default_rng(seed)
    pulses = np.diff(np.floor(pitch * time), prepend=0.0) * (np.sin(2 * np.pi * time) > -0.5)
    ring = np.exp(-np.arange(400) / 60) * np.sin(2 * np.pi * 700 * np.arange(400) / 16_000)
    sound = 0.5 * np.convolve(pulses, ring)[: time.size] + 1e-3 * rng.normal(size=time.size)
    return sound.astype(np.float32)


def reference_deltas(values: np.ndarray) -> np.ndarray:
    """The HTK Book's formula, term by term."""
    last, result = len(values) - 1, np.zeros_like(values)
    for t in range(len(values)):
        for k in (1, 2):
            result[t] += k * (values[min(t + k, last)] - values[max(t - k, 0)]) / 10
    return result


def test_names_are_the_ones_of_opensmile_in_its_order():
    assert len(set(llds.NAMES)) == llds.NUM_LLDS == 130
    smile = llds._create(0.060)  # raises where openSMILE names them otherwise
    smile.free()
    assert llds.NAMES[0] == "F0final_sma"
    assert llds.NAMES[64:66] == ("mfcc_sma[14]", "F0final_sma_de")
    assert llds.NAMES[-1] == "mfcc_sma_de[14]"


@pytest.mark.parametrize(
    ("samples", "frames"), [(0, 0), (511, 0), (512, 1), (767, 1), (768, 2), (32_000, 124)]
)
def test_num_frames_counts_whole_frames(samples, frames):
    assert llds.num_frames(samples) == frames


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 8_000), st.sampled_from([0.032, 0.060]))
def test_rows_are_num_frames_exactly(samples, pitch_window):
    features = llds.extract(voice()[:samples], pitch_window)
    assert features.shape == (llds.num_frames(samples), 130)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(0, 2**32 - 1))
def test_deltas_are_htks(frames, seed):
    values = np.random.default_rng(seed).normal(size=(frames, 3))
    np.testing.assert_allclose(llds.deltas(values), reference_deltas(values), atol=1e-12)


def test_second_half_is_the_deltas_of_the_first():
    features = llds.extract(voice())
    np.testing.assert_array_equal(features[:, 65:], llds.deltas(features[:, :65]))


def test_deltas_do_not_fade_with_the_position():
    """openSMILE's own do: its accumulator for the voicing columns is never reset."""
    features = llds.extract(np.tile(voice(1.024), 20))  # periods of 64 frames
    early, late = features[64:128, 65:71], features[1024:1088, 65:71]
    np.testing.assert_allclose(late, early, rtol=0.3, atol=0.02 * np.abs(early).max())


def test_a_pulse_train_is_voiced_at_its_pitch():
    pitch = llds.extract(voice(pitch=150.0))[:, llds.NAMES.index("F0final_sma")]
    assert 0.4 < (pitch > 0).mean() < 0.9
    assert np.median(pitch[pitch > 0]) == pytest.approx(150, rel=0.05)


def test_what_comes_later_does_not_change_earlier_frames():
    """But for what looks ahead: smoothing, deltas, the Viterbi search for the pitch."""
    whole, half = llds.extract(voice(4.0)), llds.extract(voice(4.0)[:32_000])
    spectral = slice(llds.NAMES.index("audspec_lengthL1norm_sma"), 65)
    zcr = llds.NAMES.index("pcm_zcr_sma") - spectral.start  # 60 ms wide
    same, other = (each[:120, spectral].copy() for each in (whole, half))
    same[:, zcr] = other[:, zcr] = 0
    np.testing.assert_array_equal(same, other)


def test_a_window_does_not_depend_on_the_one_before():
    first = llds.extract(voice(seed=1))
    llds.extract(voice(3.0, pitch=220.0, seed=2))
    np.testing.assert_array_equal(llds.extract(voice(seed=1)), first)


def test_threads_give_what_one_thread_gives():
    windows = [voice(pitch=100.0 + 10 * i, seed=i) for i in range(12)]
    alone = [llds.extract(window) for window in windows]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(llds.extract, windows * 2))
    for one, other in zip(alone * 2, together, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_gil_is_released():
    ticks, stop = [], threading.Event()

    def tick() -> None:
        while not stop.wait(0.001):
            ticks.append(1)

    thread = threading.Thread(target=tick)
    thread.start()
    llds.extract(voice(10.0))
    stop.set()
    thread.join()
    assert len(ticks) > 10


def test_full_scale_does_not_wrap():
    """openSMILE's wrapper turns +1.0 into -1.0."""
    square = np.where(np.arange(32_000) % 160 < 80, 1.0, -1.0).astype(np.float32)
    np.testing.assert_array_equal(
        llds.extract(square), llds.extract(np.clip(square, -1, 32767 / 32768))
    )
    np.testing.assert_array_equal(llds.extract(3 * square), llds.extract(square))


def test_silence_is_finite_and_not_finite_input_is_refused():
    assert np.isfinite(llds.extract(np.zeros(32_000, np.float32))).all()
    with pytest.raises(ValueError, match="not finite"):
        llds.extract(np.full(32_000, np.nan, np.float32))


def test_real_speech_is_voiced_at_a_pitch_window_of_60_ms(shared_data):
    clips = sorted((shared_data / "crema_d" / "AudioOpus").glob("10*_IEO_*_HI.opus"))[:10]
    waveforms = [audio.read(clip) for clip in clips]
    voiced = {
        window: np.mean(np.concatenate([llds.extract(w, window)[:, 0] > 0 for w in waveforms]))
        for window in (0.032, 0.060)
    }
    assert voiced[0.060] > 0.15
    assert voiced[0.060] > 2 * voiced[0.032]


@pytest.mark.parametrize("pitch_window", [-1.0, 0.0, 0.01, 60.0, float("nan")])
def test_a_pitch_window_in_other_units_is_refused(pitch_window):
    with pytest.raises(ValueError, match=r"is not within 0\.032 to 1\.0 s"):
        llds.extract(voice(), pitch_window)


@pytest.mark.parametrize("pitch_window", llds.PITCH_WINDOWS)
def test_the_widest_and_narrowest_pitch_window_work(pitch_window):
    assert llds.extract(voice(), pitch_window).shape == (124, 130)
