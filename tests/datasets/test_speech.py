import hashlib
import json

import numpy as np
import pytest

from sersl_jax.datasets import ledger
from sersl_jax.datasets.dataset import read_dataset
from sersl_jax.datasets.preparation import prepare
from sersl_jax.features import audio, llds
from tests.datasets.examples import read_all


def test_utterances_keep_their_length_label_and_speaker(utterances, tmp_path):
    builder = prepare("speech/folder", utterances, tmp_path)
    examples = read_all(builder)
    classes = builder.info.metadata["classes"]
    assert classes == sorted(classes)
    assert len(examples) == 12
    for example in examples:
        waveform = audio.read(utterances / "media" / f"{example['clip'].decode()}.wav")
        np.testing.assert_array_equal(example["llds"], llds.extract(waveform))
        assert example["num_frames"] == len(example["llds"])
        assert example["sha256"].decode() == hashlib.sha256(waveform.tobytes()).hexdigest()
        assert example["clip"].startswith(example["speaker_id"])
    assert builder.info.metadata["class_balance"]["emotion"] == {
        **dict.fromkeys(classes, 2),
        "unknown": 0,
    }


def test_a_corpus_keeps_its_order_of_classes(utterances, tmp_path):
    builder = prepare("speech/synthetic", utterances, tmp_path)
    assert builder.info.metadata["classes"][:2] == ["anger", "disgust"]


def test_clips_without_label_or_sound_land_in_the_ledger(utterances, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "media").symlink_to(utterances / "media")
    rows = (utterances / "labels.csv").read_text().splitlines()
    rows = [row for row in rows if not row.startswith("say000_03")]
    (source / "labels.csv").write_text("\n".join([*rows, "ghost,anger,say000"]))
    builder = prepare("speech/folder", source, tmp_path / "data")
    lines = {line.clip: line for line in ledger.read(builder.data_path / ledger.NAME)}
    assert (lines["say000_03"].stage, lines["say000_03"].reason) == (
        "corpus",
        "no label",
    )
    assert lines["ghost"].reason == "No such file or directory"
    assert len(read_all(builder)) == 11


def test_a_folder_may_hold_numbers_alone(utterances, tmp_path):
    (tmp_path / "media").symlink_to(utterances / "media")
    (tmp_path / "labels.csv").write_text("clip,arousal\nsay000_00,3.5\nsay000_01,1\n")
    prepare("speech/folder", tmp_path, tmp_path / "data")
    found = read_dataset("speech/folder", str(tmp_path / "data"), "llds")
    assert found.metadata["scales"] == {"arousal": [1.0, 4.0]}
    assert found.label_names == {"emotion": ()}
    assert found.labels["emotion"].tolist() == [-1, -1]
    assert [json.loads(text) for text in found.examples["attributes"]] == [
        {"arousal": "3.5"},
        {"arousal": "1"},
    ]


def test_a_label_that_the_corpus_does_not_know_is_named(utterances, tmp_path):
    (tmp_path / "media").symlink_to(utterances / "media")
    (tmp_path / "labels.csv").write_text("clip,label\nsay000_00,anger\nsay000_01,boredom\n")
    builder = prepare("speech/synthetic", tmp_path, tmp_path / "data")
    reasons = [line.reason for line in ledger.read(builder.data_path / ledger.NAME)]
    assert "unknown label 'boredom'" in reasons


def test_real_clips_of_crema_d(shared_data, tmp_path):
    builder = prepare("speech/crema_d", shared_data / "crema_d", tmp_path, limit=3)
    example = read_all(builder)[0]
    assert example["votes"].shape == (3, 6)
    assert example["votes"].sum(axis=1).min() >= 1
    assert json.loads(example["attributes"])["sex"] in ("male", "female")


def test_silence_and_doubles_are_noted_and_kept(utterances, tmp_path):
    import shutil

    import soundfile

    source = tmp_path / "source"
    shutil.copytree(utterances, source)
    soundfile.write(source / "media" / "say000_00.wav", np.zeros(32_000), 16_000)
    shutil.copy(source / "media" / "say000_01.wav", source / "media" / "say000_02.wav")
    builder = prepare("speech/folder", source, tmp_path / "data")
    lines = ledger.read(builder.data_path / ledger.NAME)
    assert [(line.clip, line.stage, line.reason) for line in lines] == [
        ("say000_00", "note", "silent"),
        ("say000_02", "note", "same sound as say000_01"),
    ]
    assert len(read_all(builder)) == 12


@pytest.mark.parametrize("name", ["window", "match"])
def test_an_option_of_pretext_datasets_is_refused(utterances, tmp_path, name):
    with pytest.raises(ValueError, match=f"--{name} is no option"):
        prepare("speech/folder", utterances, tmp_path, **{name: 1})
