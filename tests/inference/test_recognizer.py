import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

import sersl_jax
from sersl_jax.config import create
from sersl_jax.features import audio, llds, segments
from sersl_jax.inference.windows import Cutter
from sersl_jax.models.build import create_network
from sersl_jax.tasks import Task
from sersl_jax.training import checkpoint
from tests.trained_run import CLASSES, MEMBERS, babble, trained_run, write_info, write_wav


@pytest.fixture(scope="module")
def recognizer():
    return sersl_jax.load(trained_run())


def values(prediction):
    return np.array(list(prediction.probabilities.values()))


def expected(waveform, member):
    """By the network as it is: one member, one clip, no padding."""
    found = checkpoint.read_model(trained_run() / "finetune" / "0-1")
    model = create(found.info["config"]).model
    network = create_network(model, (Task("emotion", CLASSES),), "float32")
    params = jax.tree.map(lambda leaf: leaf[member], found.params)
    x = (llds.extract(waveform) - found.mean[member]) / found.std[member]
    inputs = (jnp.asarray(x)[None], jnp.array([len(x)]), None)
    logits = network.apply({"params": params}, *inputs)["emotion"][0]
    return scipy.special.softmax(logits / (0.5, 2.0)[member])


def test_a_member_is_the_network_normalised_and_calibrated(recognizer, tmp_path):
    path = write_wav(tmp_path / "a.wav", babble(2.3))
    both = [expected(babble(2.3), member) for member in (0, 1)]
    for member, p in zip(MEMBERS, both, strict=True):
        np.testing.assert_allclose(values(recognizer.predict(path, members=member)), p, atol=1e-6)
    found = recognizer.predict(path)
    np.testing.assert_allclose(values(found), np.mean(both, axis=0), atol=1e-6)
    assert found.label == CLASSES[np.mean(both, axis=0).argmax()]
    assert (found.start, found.end, found.notes) == (0.0, 2.3, ())


def test_members_go_by_split_or_by_number(recognizer):
    sound = babble(1.0)
    by_name = values(recognizer.predict(sound, 16_000, members="8"))
    np.testing.assert_allclose(values(recognizer.predict(sound, 16_000, members=1)), by_name)
    np.testing.assert_allclose(values(recognizer.predict(sound, 16_000, members=[8])), by_name)
    with pytest.raises(ValueError, match="no member 5: there are 3, 8"):
        recognizer.predict(sound, 16_000, members="5")


def test_batches_of_any_lengths_equal_one_after_the_other_in_order(recognizer):
    lengths = (0.3, 4.1, 1.0, 2.5, 0.9, 1.0)
    sounds = [babble(4.1, seed)[: int(16_000 * seconds)] for seed, seconds in enumerate(lengths)]
    together = list(recognizer.predict_all(sounds, 16_000))
    for sound, found in zip(sounds, together, strict=True):
        alone = recognizer.predict(sound, 16_000)
        np.testing.assert_allclose(values(found), values(alone), atol=1e-6)
        np.testing.assert_allclose(found.embedding, recognizer.embed(sound, 16_000), atol=1e-5)
        assert found.end == len(sound) / 16_000


def test_waveforms_are_taken_as_other_programs_give_them(recognizer, tmp_path):
    sound = np.clip(babble(2.0), -0.9, 0.9)
    integers = np.round(sound * 32768).astype(np.int16)
    reference = values(recognizer.predict(integers / np.float32(32768), 16_000))
    for other in (integers, np.stack([integers, integers], axis=1)):
        np.testing.assert_allclose(values(recognizer.predict(other, 16_000)), reference, atol=1e-6)
    coarse = np.floor(sound * 128) / 128
    bytes_ = (coarse * 128 + 128).astype(np.uint8)  # as scipy reads a wav of 8 bits
    ours, theirs = (recognizer.predict(x, 16_000) for x in (bytes_, coarse))
    np.testing.assert_allclose(values(ours), values(theirs), atol=1e-6)
    path = write_wav(tmp_path / "telephone.wav", sound[::2], 8000)
    read, rate = soundfile.read(path)
    got, file = recognizer.predict(read, rate), recognizer.predict(path)
    np.testing.assert_allclose(values(got), values(file), atol=1e-4)


@pytest.mark.parametrize(
    ("samples", "sample_rate", "message"),
    [
        (np.zeros(8000), None, "needs its sample_rate"),
        (np.zeros(8000), -16_000, "needs its sample_rate"),
        (np.zeros((2, 3, 4)), 16_000, "not \\(2, 3, 4\\)"),
        (np.zeros(0), 16_000, "0 samples at 16000 Hz are none"),
        (np.zeros(2), 96_000, "2 samples at 96000 Hz are none"),
        (np.full(8000, np.nan), 16_000, "not finite"),
        (np.zeros(500), 16_000, "too short: 0.031 s"),
    ],
)
def test_what_is_no_sound_is_an_error(recognizer, samples, sample_rate, message):
    with pytest.raises(ValueError, match=message):
        recognizer.predict(samples, sample_rate)


def test_doubtful_sound_is_noted(recognizer):
    silent, clipped = np.zeros(16_000), np.clip(100 * babble(2.0), -1, 1)
    assert recognizer.predict(silent, 16_000).notes == ("silent",)
    assert recognizer.predict(clipped, 16_000).notes == ("clipped",)
    assert recognizer.predict(babble(2.0)[:4800], 16_000).notes == ("very short",)


def test_timeline_predicts_each_window_as_a_clip(recognizer, tmp_path):
    path = write_wav(tmp_path / "a.wav", babble(4.2))
    timeline = recognizer.timeline(path, window=2.0, hop=0.5)
    assert [(f.start, f.end) for f in timeline] == segments.windows(4.2, 2.0, 0.5)
    cut = recognizer.predict(audio.read(path, 1.0, 3.0), 16_000)
    np.testing.assert_allclose(values(timeline[2]), values(cut), atol=1e-6)
    assert [(f.start, f.end) for f in recognizer.timeline(path, window=9.0)] == [(0.0, 4.2)]
    with pytest.raises(ValueError, match=r"hop=0.0 s at least a sample"):
        recognizer.timeline(path, hop=0.0)
    with pytest.raises(ValueError, match=r"window=inf s"):
        recognizer.timeline(path, window=np.inf)


def test_beyond_30_s_the_mean_over_windows_counts(recognizer, tmp_path):
    sound = np.concatenate([babble(3.0, seed) for seed in range(11)])
    path = write_wav(tmp_path / "long.wav", sound)
    found = recognizer.predict(path)
    timeline = recognizer.timeline(path, window=2.0, hop=2.0)
    assert (len(timeline), found.end) == (16, 32.0)
    np.testing.assert_allclose(values(found), np.mean([*map(values, timeline)], axis=0), atol=1e-6)
    from_memory = recognizer.predict(sound, 16_000)
    np.testing.assert_allclose(values(from_memory), values(found), atol=1e-6)


def test_a_stream_equals_the_timeline_once_its_window_is_full(recognizer):
    sound, random = babble(5.0), np.random.default_rng(0)
    timeline = recognizer.timeline(sound, 16_000, window=1.0, hop=0.4)
    stream, live = recognizer.stream(window=1.0, hop=0.4), []
    while len(sound):
        size = int(random.integers(0, 9000))
        live += stream.push(sound[:size])
        sound = sound[size:]
    early = [found for found in live if found.end - found.start < 0.99]
    assert [round(found.end, 3) for found in early] == [0.2, 0.6]
    assert [f.end for f in live[len(early) :]] == [f.end for f in timeline]
    for now, later in zip(live[len(early) :], timeline, strict=True):
        np.testing.assert_allclose(values(now), values(later), atol=1e-6)


def test_a_stream_of_another_rate_is_resampled(recognizer):
    sound = np.repeat(babble(2.5), 3)
    stream = recognizer.stream(48_000, window=1.0, hop=0.5)
    live = [found for part in np.array_split(sound, 7) for found in stream.push(part)]
    assert [found.end for found in live] == [0.5, 1.0, 1.5, 2.0]
    offline = recognizer.timeline(sound, 48_000, window=1.0, hop=0.5)
    np.testing.assert_allclose(values(live[2]), values(offline[1]), atol=0.02)


def test_a_stream_takes_channels_and_leaves_out_what_is_not_finite(recognizer):
    sound = babble(1.0)
    (mono,) = recognizer.stream(window=1.0, hop=1.0).push(sound)
    stream = recognizer.stream(window=1.0, hop=1.0)
    assert stream.push(np.stack([sound[:9000], sound[:9000]], axis=1)) == []
    with pytest.raises(ValueError, match="not finite"):
        stream.push(np.full(9000, np.nan))
    with pytest.raises(ValueError, match=r"\[samples, channels\], not \(2, 2, 2\)"):
        stream.push(np.zeros((2, 2, 2)))
    (found,) = stream.push(np.stack([sound[9000:], sound[9000:]], axis=1))
    np.testing.assert_allclose(values(found), values(mono), atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(0, 5000), max_size=12),
    window=st.floats(0.04, 0.5),
    hop=st.floats(0.01, 0.7),
)
def test_windows_do_not_depend_on_the_chunks(sizes, window, hop):
    sound = np.arange(sum(sizes), dtype=np.float32)
    cutter = Cutter(window, hop)
    chunks = np.split(sound, np.cumsum(sizes)[:-1]) if sizes else []
    pieces = [piece for chunk in chunks for piece in cutter.push(chunk)]
    assert [(p.start, p.end) for p in pieces] == segments.windows(len(sound) / 16_000, window, hop)
    for piece in pieces:
        begin = round(piece.start * 16_000)
        np.testing.assert_array_equal(piece.waveform, sound[begin : round(piece.end * 16_000)])


def test_errors_stand_in_their_place(recognizer, tmp_path):
    good = write_wav(tmp_path / "good.wav", babble(1.0))
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "empty.wav").touch()
    files = [tmp_path / "text.wav", good, tmp_path / "empty.wav", tmp_path / "none.wav", good]
    found = list(recognizer.predict_all(files))
    kinds = [type(f).__name__ for f in found]
    assert kinds == ["AudioError", "Prediction", "AudioError", "FileNotFoundError", "Prediction"]
    np.testing.assert_array_equal(values(found[1]), values(found[4]))


def test_a_folder_that_is_no_run_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="none is no folder"):
        sersl_jax.load(tmp_path / "none")
    with pytest.raises(ValueError, match=r"holds no run; give a run's directory"):
        sersl_jax.load(tmp_path)
    with pytest.raises(ValueError, match=r"several runs: give one of .*tiny"):
        sersl_jax.load(trained_run().parent)
    shutil.copytree(trained_run(), tmp_path / "run")
    info = tmp_path / "run" / "finetune" / "0-1" / "1" / "info" / "metadata"
    write_info(info, version=7)
    with pytest.raises(ValueError, match=f"checkpoint version 7, not {checkpoint.VERSION}"):
        sersl_jax.load(tmp_path / "run")
    (tmp_path / "run" / "finetune" / "0-1" / "temperatures.json").unlink()
    with pytest.raises(ValueError, match="not fine-tuned to its end yet"):
        sersl_jax.load(tmp_path / "run")


def test_importing_the_package_is_light():
    code = "import sys, sersl_jax; sys.exit(bool({'jax', 'numpy', 'flax'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = sersl_jax.lod
