import csv
import io
import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

import sersl_jax
from sersl_jax import predict
from tests.trained_run import CLASSES, babble, trained_run, write_wav


@pytest.fixture
def folder(tmp_path):
    for name, seconds in (("b", 3.0), ("a", 1.0)):
        write_wav(tmp_path / f"{name}.wav", babble(seconds))
    (tmp_path / "text.wav").write_text("hello")
    (tmp_path / "silent.wav").write_bytes(
        write_wav(tmp_path / "s.wav", np.zeros(9000)).read_bytes()
    )
    (tmp_path / "s.wav").unlink()
    return tmp_path


@pytest.fixture
def run(capsys):
    """Runs the command; gives exit code, stdout, stderr."""

    def call(*files, **options):
        chosen = predict.Options(str(trained_run()), **options)
        code = predict.run([*map(str, files)], chosen)
        return code, *capsys.readouterr()

    return call


def test_json_is_a_list_of_file_label_probabilities(run, folder):
    code, out, err = run(folder / "a.wav", folder / "b.wav", format="json")
    found = json.loads(out)
    assert (code, err) == (0, "")
    assert [list(row) for row in found] == [["file", "label", "probabilities"]] * 2
    expected = sersl_jax.load(trained_run()).predict(folder / "b.wav")
    assert found[1]["file"] == str(folder / "b.wav")
    assert found[1]["label"] == expected.label
    assert found[1]["probabilities"] == pytest.approx(expected.probabilities, abs=1e-6)


def test_rows_divided_over_four_cores_give_the_same(run, folder):
    files = [str(folder / "b.wav")] * 3 + [str(folder / "a.wav")]
    _, expected, _ = run(*files, format="json")
    program = f"""
import os
os.sched_getaffinity = lambda _: range(4)
import jax
from sersl_jax import predict, sharding
from sersl_jax.inference import ensemble
sharding.use_cores(ensemble.MAX_ROWS)
predict.run({files}, predict.Options({str(trained_run())!r}, format="json"))
raise SystemExit(jax.device_count())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    for ours, theirs in zip(json.loads(done.stdout), json.loads(expected), strict=True):
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-6)


def test_a_bad_file_is_a_line_and_exit_code_1_after_the_rest(run, folder):
    code, out, err = run(folder, folder / "none.wav", format="csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 1
    assert [row["file"].rpartition("/")[2] for row in rows] == ["a.wav", "b.wav", "silent.wav"]
    assert list(rows[0]) == ["file", "label", *(f"p_{name}" for name in CLASSES)]
    lines = sorted(err.strip().splitlines())
    assert lines[0].startswith(f"error: {folder}/none.wav: no such file")
    assert lines[1].startswith(f"error: {folder}/text.wav: not readable as sound")
    assert lines[2] == f"note: {folder}/silent.wav: silent"


def test_timeline_table_and_embeddings(run, folder):
    path = folder / "out.npz"
    code, out, _ = run(folder / "b.wav", timeline=True, hop=0.5, embeddings=str(path))
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert lines[0][:3] == ["start", "end", "label"]
    assert [line[:2] for line in lines[1:]] == [
        ["0.00", "2.00"],
        ["0.50", "2.50"],
        ["1.00", "3.00"],
    ]
    with np.load(path) as arrays:
        assert list(arrays["start"]) == [0.0, 0.5, 1.0]
        assert arrays["embeddings"].shape == (3, 20)
        assert set(arrays["files"]) == {str(folder / "b.wav")}


def test_below_abstain_there_is_no_label(run, folder):
    assert json.loads(run(folder / "a.wav", format="json", abstain=1.0)[1])[0]["label"] is None
    assert run(folder / "a.wav", format="csv", abstain=1.0)[1].splitlines()[1].split(",")[1] == ""


def test_stdin_is_a_sound(run, folder, monkeypatch):
    for name, code in (("a.wav", 0), ("text.wav", 1)):
        sound = SimpleNamespace(buffer=io.BytesIO((folder / name).read_bytes()))
        monkeypatch.setattr(sys, "stdin", sound)
        found = run("-", format="json")
        assert found[0] == code
        assert [row["file"] for row in json.loads(found[1])] == ["-"] * (1 - code)
        assert not code or found[2].startswith("error: -: not readable")


def test_arguments_are_files_folders_and_globs(folder):
    a, b = str(folder / "a.wav"), str(folder / "b.wav")
    assert list(predict.expand([b, "-", f"{folder}/[ab].wav"])) == [b, "-", a, b]
    assert list(predict.expand([str(folder)]))[:2] == [a, b]
    assert list(predict.expand(["no*thing"])) == ["no*thing"]
    (folder / "[ab].wav").touch()
    assert list(predict.expand([f"{folder}/[ab].wav"])) == [f"{folder}/[ab].wav"]
    (folder / "inner").mkdir()
    with pytest.raises(ValueError, match="inner holds no sound or video"):
        list(predict.expand([str(folder / "inner")]))


def test_mistakes_are_one_line_and_exit_code_2(folder):
    command = [sys.executable, "-m", "sersl_jax.predict"]
    for arguments, message in (
        ([], "error: name the files: "),
        ([f"--checkpoint={folder}", "a.wav"], f"error: {folder} holds no run; "),
    ):
        done = subprocess.run([*command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert done.stderr.startswith(message)
        assert done.stderr.count("\n") == 1
