"""A changed byte, a lost tail and a swapped file are found and named, never computed with."""

import errno
import json
import shutil
from pathlib import Path

import pytest

import sersl_jax
from sersl_jax import checksums, export
from sersl_jax.datasets import measure
from sersl_jax.datasets.dataset import read_dataset
from sersl_jax.datasets.preparation import prepare
from sersl_jax.evaluation import runs
from sersl_jax.training import checkpoint, export_folder
from tests.trained_run import trained_run


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def lose(path: Path) -> None:
    path.unlink()


DAMAGES = pytest.mark.parametrize("damage", [flip, cut, lose])


@pytest.fixture(scope="module")
def prepared(utterances, tmp_path_factory):
    data_dir = tmp_path_factory.mktemp("prepared")
    prepare("speech/folder", utterances, data_dir, workers=1)
    return data_dir


@pytest.fixture
def data_dir(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "data")


def only(folder: Path, pattern: str) -> Path:
    [path] = folder.rglob(pattern)
    return path


@DAMAGES
def test_a_damaged_shard_is_named(data_dir, damage):
    shard = only(data_dir, "*.array_record-*")
    damage(shard)
    with pytest.raises(ValueError, match=rf"{shard.name} is (damaged|missing).*--overwrite"):
        read_dataset("speech/folder", str(data_dir), "llds")


def test_another_datasets_shard_is_named(data_dir, utterances, tmp_path):
    prepare("speech/folder", utterances, tmp_path / "other", workers=1, pitch_window=0.05)
    shard = only(data_dir, "*.array_record-*")
    shutil.copy(only(tmp_path / "other", "*.array_record-*"), shard)
    with pytest.raises(ValueError, match=rf"{shard.name} is damaged"):
        read_dataset("speech/folder", str(data_dir), "llds")


def test_a_damaged_dataset_is_made_anew(data_dir, utterances, monkeypatch):
    shard = only(data_dir, "*.array_record-*")
    whole = shard.read_bytes()
    flip(shard)
    monkeypatch.setattr(measure, "_measure", lambda *_: pytest.fail("measured again"))
    prepare("speech/folder", utterances, data_dir, workers=1, overwrite=True)
    assert shard.read_bytes() == whole


def test_a_dataset_without_checksums_is_read(data_dir):
    only(data_dir / "speech", checksums.NAME).unlink()
    assert len(read_dataset("speech/folder", str(data_dir), "llds").lengths) == 12


@DAMAGES
def test_what_was_measured_and_is_damaged_is_measured_again(data_dir, utterances, damage):
    shard = only(data_dir, "*.array_record-*")
    whole = shard.read_bytes()
    damage(min(data_dir.rglob("*.npz")))
    prepare("speech/folder", utterances, data_dir, workers=1, overwrite=True)
    assert shard.read_bytes() == whole


def test_measurements_that_cannot_be_kept_are_no_fault_of_a_clip(utterances, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(measure.files, "write_atomically", full)
    with pytest.raises(OSError, match="takes no measurements"):
        prepare("speech/folder", utterances, tmp_path, workers=1)


@DAMAGES
def test_a_damaged_checkpoint_is_named(tmp_path, damage):
    group = shutil.copytree(trained_run() / "finetune" / "0-1", tmp_path / "group")
    data = max((group / "1" / "model" / "d").iterdir(), key=lambda path: path.stat().st_size)
    damage(data)
    with pytest.raises(ValueError, match=rf"{data.name} is (damaged|missing).*trains it again"):
        checkpoint.read_model(group)


def test_a_checkpoint_that_says_something_else_is_named(tmp_path):
    group = shutil.copytree(trained_run() / "finetune" / "0-1", tmp_path / "group")
    info = group / "1" / "info" / "metadata"
    info.write_text(info.read_text().replace('"anger"', '"ANGER"'))
    with pytest.raises(ValueError, match=r"info/metadata is damaged"):
        checkpoint.is_finished(group)


def test_a_checkpoint_without_checksums_is_read(tmp_path):
    group = shutil.copytree(trained_run() / "finetune" / "0-1", tmp_path / "group")
    (group / "1" / checksums.NAME).unlink()
    assert checkpoint.read_model(group).info["names"] == ["3", "8"]


@pytest.mark.parametrize("name", [export_folder.MODEL, "config.json"])
@DAMAGES
def test_a_damaged_export_is_named(tmp_path, name, damage):
    export.run(str(trained_run()), "safetensors", tmp_path)
    damage(tmp_path / name)
    with pytest.raises(ValueError, match=rf"{name} is (damaged|missing)|holds no"):
        sersl_jax.load(tmp_path)


def test_predictions_that_have_changed_are_named(tmp_path):
    table = "split,clip,label,prediction\n0,a,x,x\n"
    (tmp_path / "predictions.csv").write_text(table)
    saved = {"predictions_sha256": checksums.digest(tmp_path / "predictions.csv")}
    (tmp_path / "results.json").write_text(json.dumps(saved))
    assert runs.read(tmp_path).splits == ["0"]
    (tmp_path / "predictions.csv").write_text(table.replace("x,x", "x,y"))
    with pytest.raises(ValueError, match=r"predictions.csv is not as it was"):
        runs.read(tmp_path)
