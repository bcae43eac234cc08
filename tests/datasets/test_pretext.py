import sys

import numpy as np
import pytest

from sersl_jax import datasets
from sersl_jax.datasets.preparation import prepare
from sersl_jax.features import audio, llds, openface, segments
from sersl_jax.pretext import action_units, energy, landmarks
from tests.datasets.examples import read_all


@pytest.fixture(scope="module")
def prepared(faces, tmp_path_factory):
    return prepare(
        "pretext/folder",
        faces,
        tmp_path_factory.mktemp("data"),
        features=["llds", "waveform"],
        workers=1,  # signatures are checked in this process only
    )


@pytest.fixture(scope="module")
def examples(prepared):
    return read_all(prepared)


def test_every_window_is_there_once(faces, examples):
    expected = [
        (path.stem, start)
        for path in sorted((faces / "media").iterdir())
        for start, _ in segments.windows(audio.read(path).size / audio.SAMPLE_RATE)
    ]
    assert [(e["clip"].decode(), e["start"]) for e in examples] == expected


def test_features_are_those_of_the_window(faces, examples):
    example = examples[1]
    waveform = audio.read(faces / "media" / f"{example['clip'].decode()}.wav")
    window = waveform[round(example["start"] * 16_000) :][:32_000]
    np.testing.assert_array_equal(example["llds"], llds.extract(window))
    np.testing.assert_allclose(example["waveform"] / 32767, window, atol=2e-5)
    assert example["num_frames"] == 124
    assert example["scores"]["energy"] == pytest.approx(energy.rms_energy(window))


def test_scores_are_those_of_the_face(faces, examples):
    example = examples[-1]
    track = openface.read(faces / "openface" / f"{example['clip'].decode()}.csv")
    window = track.window(example["start"], example["start"] + 2)
    for region in landmarks.REGIONS:
        score = landmarks.movement(window.landmarks, window.success, region)
        assert example["scores"][region] == pytest.approx(score, nan_ok=True)
    proportions = action_units.proportions(window.action_units, window.success)
    np.testing.assert_allclose(example["scores"]["action_units"], proportions, rtol=1e-6)


def test_labels_are_scores_above_their_mean(prepared, examples):
    thresholds = prepared.info.metadata["thresholds"]
    for task, threshold in thresholds.items():
        scores = np.array([example["scores"][task] for example in examples])
        assert threshold == pytest.approx(np.nanmean(scores), rel=1e-5)
        labels = np.array([example["labels"][task] for example in examples])
        np.testing.assert_array_equal(labels == 1, scores > threshold)
        np.testing.assert_array_equal(labels == -1, np.isnan(scores))


def test_metadata_tells_how_it_was_made(prepared, examples):
    metadata = prepared.info.metadata
    assert metadata["label_names"]["action_units"] == list(action_units.EMOTIONS)
    assert metadata["features"] == ["llds", "waveform"]
    assert metadata["options"]["pitch_window"] == 0.06
    assert (metadata["face_backend"], metadata["approximate"]) == ("openface", False)
    assert {"opensmile", "numpy"} <= {*metadata["versions"]}
    for task, counts in metadata["class_balance"].items():
        assert sum(counts.values()) == len(examples), task


def test_tensorflow_is_not_needed(prepared):
    assert [*prepared.info.splits] == ["train"]
    assert "tensorflow" not in sys.modules


def test_a_dataset_that_is_not_there_is_refused_with_the_command(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"sersl_jax.prepare --dataset=pretext/folder"):
        datasets.load("pretext/folder", tmp_path)


@pytest.mark.parametrize("name", ["folder", "pretext", "video/folder", "pretext/a/b", "pretext/"])
def test_a_malformed_name_is_refused(name):
    with pytest.raises(ValueError, match="not of the form pretext/CORPUS"):
        datasets.parse_name(name)
