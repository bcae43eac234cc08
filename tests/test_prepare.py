import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sersl_jax import datasets
from sersl_jax.corpora import Clip, synthetic
from sersl_jax.datasets import identity, ledger, measure, options, preparation
from sersl_jax.datasets.preparation import prepare
from sersl_jax.datasets.source import read_clips
from sersl_jax.datasets.workers import process_map
from sersl_jax.features import openface, tracking
from tests.datasets.examples import assert_same


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("corpus") / "faces"
    return synthetic.write_pretext(root, num_speakers=3, clips_per_speaker=1)


def run(*arguments, **kwargs):
    command = [sys.executable, "-m", "sersl_jax.prepare", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    return subprocess.run(command, capture_output=True, text=True, env=environment, **kwargs)


def test_the_command_says_what_it_made_and_returns_at_once_the_second_time(faces, tmp_path):
    arguments = ("--dataset=pretext/folder", f"--source={faces}", f"--data_dir={tmp_path}")
    first = run(*arguments)
    assert first.returncode == 0, first.stderr
    assert "3 clips of 3 speakers" in first.stderr
    (tmp_path / "measured").rename(tmp_path / "moved")  # so that nothing could be written anew
    start = time.monotonic()
    assert run(*arguments).returncode == 0
    assert time.monotonic() - start < 20  # 2 s on a machine that does nothing else
    assert not (tmp_path / "measured").exists()


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--dataset=pretext/folder",), "--source is needed"),
        (("--dataset=pretext/folder", "--source=/nowhere"), "--source=/nowhere is no folder"),
        (("--dataset=pretext/nothing",), "no corpus is called 'nothing'"),
        (("--dataset=folder",), "pretext/CORPUS"),
        (("--dataset=speech/folder", "--source=.", "--match=all"), "--match is no option"),
        (("--dataset=speech/folder", "--source=.", "--classes=a,a"), "name each emotion once"),
        (("--dataset=speech/folder,speech/foldr", "--source=."), "no corpus is called 'foldr'"),
        (("--dataset=speech/folder,speech/savee,speech/tess", "--source=a,b"), "2 folders for 3"),
        (("--dataset=",), "pretext/CORPUS"),
        (("--dataset=speech/folder,speech/folder", "--source=a,b"), "names a dataset twice"),
        (("--dataset=speech/folder", "--source=.", "--pitch_window=60"), "not within 0.032 to 1"),
        (("--dataset=pretext/folder", "--source=.", "--min_proportion=0"), "0 < min_proportion"),
        (("--dataset=pretext/folder", "--source=.", "--window=inf"), "are needed, not inf, 1.5"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(tmp_path, arguments, error):
    result = run(f"--data_dir={tmp_path}", *arguments)
    assert result.returncode == 2
    assert error in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_was_measured_is_not_measured_again(faces, tmp_path, monkeypatch):
    prepare("pretext/folder", faces, tmp_path)
    shutil.copytree(tmp_path, tmp_path / "copy")
    monkeypatch.setattr(measure, "_measure", lambda *_: pytest.fail("measured again"))
    again = prepare("pretext/folder", faces, tmp_path, overwrite=True, workers=1)
    assert_same(datasets.load("pretext/folder", tmp_path / "copy"), again)


def test_other_options_do_not_replace_a_dataset_unasked(faces, tmp_path, monkeypatch):
    prepare("pretext/folder", faces, tmp_path, limit=1)
    with pytest.raises(ValueError, match=r"pitch_window \(0.06 there, 0.032 wanted\).*--overwrite"):
        prepare("pretext/folder", faces, tmp_path, limit=1, pitch_window=0.032)
    with pytest.raises(ValueError, match=r"match .*--relabel"):
        prepare("pretext/folder", faces, tmp_path, limit=1, match="all")
    with pytest.raises(ValueError, match="files have changed"):
        prepare("pretext/folder", faces, tmp_path, limit=2)
    builder = prepare("pretext/folder", faces, tmp_path, limit=2, overwrite=True)
    assert builder.info.metadata["num_clips"] == 2
    monkeypatch.setattr(options, "MEASURE_VERSION", 1000)  # other code
    with pytest.raises(
        ValueError, match=r"measure_version \(\d+ there, 1000 wanted\).*--overwrite"
    ):
        prepare("pretext/folder", faces, tmp_path, limit=2)


def test_corrected_demographics_are_another_source(tmp_path):
    clip = Clip("a", "1001", tmp_path / "a.wav", attributes={"sex": "female"})
    corrected = replace(clip, attributes={"sex": "male"})
    assert identity.fingerprint([clip]) == identity.fingerprint([replace(clip)])
    assert identity.fingerprint([clip]) != identity.fingerprint([corrected])


def test_a_killed_run_goes_on_and_ends_with_the_same_dataset(faces, tmp_path):
    arguments = ("--dataset=pretext/folder", f"--source={faces}", f"--data_dir={tmp_path / 'a'}")
    rng = random.Random(0)
    for _ in range(3):
        with contextlib.suppress(subprocess.TimeoutExpired):  # which kills by SIGKILL
            run(*arguments, timeout=rng.uniform(1.5, 6))
    assert run(*arguments).returncode == 0
    left = list((tmp_path / "a" / "pretext").rglob("*incomplete*"))
    straight = prepare("pretext/folder", faces, tmp_path / "b")
    assert_same(datasets.load("pretext/folder", tmp_path / "a"), straight)
    assert not left


def test_a_dry_run_says_what_would_be_made_and_writes_nothing(faces, tmp_path):
    (tmp_path / "faces").symlink_to(faces)
    result = run(
        "--dataset=pretext/folder", f"--source={tmp_path / 'faces'}", "--dry_run",
        f"--data_dir={tmp_path / 'data'}",
    )  # fmt: skip
    windows = prepare("pretext/folder", faces, tmp_path / "real").info.splits["train"].num_examples
    assert "3 clips of 3 speakers; media: 0 missing, 0 unreadable" in result.stdout
    assert f" {windows} examples" in result.stdout
    assert "faces: 3 tracked, 0 missing" in result.stdout
    assert not (tmp_path / "data").exists()


def end_the_process(_):
    os._exit(1)


def test_a_worker_that_dies_is_one_line():
    clips = [Clip(id=name, speaker_id=name, media=Path(name)) for name in ("a", "b")]
    with pytest.raises(ValueError, match=r"process .* died, .*--workers=1"):
        process_map(2)(end_the_process, clips)


def test_the_number_of_workers_does_not_change_the_dataset(faces, tmp_path):
    one, three = (prepare("pretext/folder", faces, tmp_path / f"{n}", workers=n) for n in (1, 3))
    assert_same(one, three)


def test_strict_refuses_to_leave_a_clip_out(faces, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "openface").symlink_to(faces / "openface")
    (source / "media").mkdir()
    for path in (faces / "media").iterdir():
        (source / "media" / path.name).symlink_to(path)
    (source / "media" / "broken.wav").write_bytes(b"no sound")
    with pytest.raises(ValueError, match=r"1 of 4 clips .*--strict.*broken"):
        prepare("pretext/folder", source, tmp_path / "data", strict=True)
    assert "broken" in (tmp_path / "data/pretext/folder/ledger.csv").read_text()
    builder = prepare("pretext/folder", source, tmp_path / "data")
    assert builder.info.metadata["num_clips"] == 3

    with pytest.raises(ValueError, match=r"1 of 4 clips .*--strict"):
        prepare("pretext/folder", source, tmp_path / "data", strict=True, overwrite=True)
    builder = datasets.load("pretext/folder", tmp_path / "data")  # is as it was
    assert len(builder.as_data_source("train")) == builder.info.splits["train"].num_examples
    (source / "media" / "broken.wav").unlink()
    (source / "openface").unlink()
    builder = prepare("pretext/folder", source, tmp_path / "data", strict=True, overwrite=True)
    assert builder.info.metadata["num_clips"] == 3  # without faces, but none is lost
    assert not list((tmp_path / "data" / "pretext" / "folder").glob("*.previous"))


def test_who_waited_does_not_replace_what_another_made(utterances, tmp_path, monkeypatch):
    """Another process makes the dataset while this one still looks for clips."""

    def slow(*arguments):
        found = read_clips(*arguments)
        monkeypatch.undo()
        prepare("speech/folder", utterances, tmp_path, limit=2)
        return found

    monkeypatch.setattr(preparation, "read_clips", slow)
    with pytest.raises(ValueError, match=r"pitch_window \(0.06 there, 0.05 wanted\)"):
        prepare("speech/folder", utterances, tmp_path, limit=2, pitch_window=0.05)
    assert datasets.load("speech/folder", tmp_path).info.metadata["num_clips"] == 2


def test_a_face_track_is_nothing_to_a_speech_dataset(utterances, tmp_path):
    source = shutil.copytree(utterances, tmp_path / "source")
    prepare("speech/folder", source, tmp_path / "data", limit=2)
    (source / "openface").mkdir(exist_ok=True)
    for path in (source / "media").iterdir():
        (source / "openface" / f"{path.stem}.csv").touch()
    prepare("speech/folder", source, tmp_path / "data", limit=2)


def test_home_may_be_a_tilde(utterances, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    prepare("speech/folder", utterances, "~/data", limit=2)
    assert datasets.folder("speech/folder", "~/data") == tmp_path / "data/speech/folder/1.0.0"


def test_nothing_usable_is_an_error(tmp_path):
    (tmp_path / "media").mkdir()
    (tmp_path / "media" / "a.wav").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 1 clips .*empty"):
        prepare("pretext/folder", tmp_path, tmp_path / "data")


def test_why_a_video_gave_no_face_track_stands_in_the_ledger(faces, tmp_path, monkeypatch):
    def fail(video, _):
        raise openface.FaceError(f"{video}: wrote no CSV")

    (tmp_path / "media").mkdir()
    shutil.copy(min((faces / "media").iterdir()), tmp_path / "media" / "talk.mp4")
    monkeypatch.setitem(tracking.BACKENDS, "openface", fail)
    prepare("pretext/folder", tmp_path, tmp_path / "data", workers=1, track_faces=True)
    [line] = ledger.read(tmp_path / "data/pretext/folder/1.0.0/ledger.csv")
    assert (line.clip, line.stage) == ("talk", "face")
    assert "talk.mp4: wrote no CSV" in line.reason
    assert f"{tmp_path}" not in line.reason


def test_several_datasets_in_one_command(faces, utterances, tmp_path):
    arguments = (
        "--dataset=pretext/folder,speech/folder", f"--source={faces},{utterances}",
        f"--data_dir={tmp_path}", "--limit=2", "--workers=1",
    )  # fmt: skip
    first = run(*arguments)
    assert first.returncode == 0, first.stderr
    assert "1 of 2: pretext/folder" in first.stderr
    assert "2 of 2: speech/folder" in first.stderr
    assert datasets.find("pretext/folder", tmp_path)
    assert datasets.find("speech/folder", tmp_path)
    said = run(*arguments, "--dry_run").stdout
    assert said.count("2 clips of") == 2


def test_several_datasets_from_one_source(utterances, tmp_path):
    said = run(
        "--dataset=pretext/folder,speech/folder", f"--source={utterances}", "--dry_run",
        f"--data_dir={tmp_path}",
    ).stdout  # fmt: skip
    assert said.count("12 clips of 2 speakers") == 2


def test_one_that_cannot_be_made_does_not_stop_the_others(utterances, tmp_path):
    result = run(
        "--dataset=speech/savee,speech/folder", f"--source={utterances}", "--limit=1",
        f"--data_dir={tmp_path}", "--workers=1",
    )  # fmt: skip
    assert result.returncode == 2
    assert "error: 1 of 2 not made; speech/savee: " in result.stderr
    assert datasets.find("speech/folder", tmp_path)
