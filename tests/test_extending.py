"""Does what docs/extending.md says, with the code that stands there."""

import json
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from sersl_jax.config import create
from sersl_jax.datasets import ledger, measure
from sersl_jax.datasets.preparation import prepare
from sersl_jax.features import llds, openface
from sersl_jax.features.face_track import FaceTrack
from sersl_jax.pretext import registry, threshold
from sersl_jax.pretext.registry import PretextTask
from sersl_jax.reports import label_card
from sersl_jax.training import experiment
from tests.conftest import REPOSITORY
from tests.datasets.examples import read_all

PAGE = (REPOSITORY / "docs" / "extending.md").read_text()


def on_the_page(name: str) -> str:
    [code] = re.findall(rf"<!-- test: {name} -->\n```python\n(.*?)```", PAGE, re.DOTALL)
    return code


@pytest.fixture(scope="module")
def task():
    head_pose = ModuleType("head_pose")
    exec(on_the_page("score"), head_pose.__dict__)
    names = {"PretextTask": PretextTask, "threshold": threshold, "head_pose": head_pose}
    return eval(on_the_page("task"), names)


@pytest.fixture
def declared(task, monkeypatch):
    monkeypatch.setitem(registry.TASKS, task.name, task)
    return task


def tiny_config(data_dir, source):
    names = {}
    exec(on_the_page("config"), names)
    config = names["get_config"]()
    config.stages = ("pretrain",)
    config.model.update({"dim": 20, "num_heads": 2, "ffn_dim": 40, "num_layers": 1})
    config.data.data_dir = str(data_dir)
    config.pretrain.update({"dataset": "pretext/folder", "steps": 1, "epochs": 1})
    config.pretrain.update({"source": str(source), "validation_fraction": 0.5})
    return create(config)


def test_a_task_of_ones_own_trains(declared, faces, tmp_path):
    experiment.run(tiny_config(tmp_path / "data", faces), tmp_path / "run")
    [row] = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    for name in ("train/loss_head_pose", "validation/loss_head_pose", "train/loss_energy"):
        assert np.isfinite(row[name])
    card = (tmp_path / "data/pretext/folder/1.0.0" / label_card.NAME).read_text()
    assert "Rotation of the head" in card
    assert "variance, radians^2" in card


def test_its_score_is_the_variance_of_the_columns_and_its_label_above_the_mean(
    declared, faces, tmp_path
):
    builder = prepare("pretext/folder", faces, tmp_path)  # in processes that don't know the task
    examples = read_all(builder)
    tables = {path.stem: pd.read_csv(path) for path in (faces / "openface").iterdir()}
    for example in examples:
        rows = tables[example["clip"].decode()]
        inside = (rows["timestamp"] >= example["start"]) & (
            rows["timestamp"] < example["start"] + 2
        )
        rows = rows[inside & (rows["success"] == 1)]
        expected = sum(rows[f"pose_R{axis}"].var(ddof=0) for axis in "xyz")
        assert example["scores"]["head_pose"] == pytest.approx(expected, rel=1e-5)
    scores = np.array([example["scores"]["head_pose"] for example in examples])
    labels = np.array([example["labels"]["head_pose"] for example in examples])
    np.testing.assert_array_equal(labels, scores > scores.mean())
    assert {*labels} == {0, 1}


def test_without_pose_columns_its_label_alone_is_unknown(declared, faces, tmp_path):
    (tmp_path / "faces" / "openface").mkdir(parents=True)
    (tmp_path / "faces" / "media").symlink_to(faces / "media")
    for path in (faces / "openface").iterdir():
        table = pd.read_csv(path)
        table = table.drop(columns=[name for name in table if name.startswith("pose_R")])
        table.to_csv(tmp_path / "faces" / "openface" / path.name, index=False)
    builder = prepare("pretext/folder", tmp_path / "faces", tmp_path / "data", workers=1)
    labels = [example["labels"] for example in read_all(builder)]
    assert {each["head_pose"] for each in labels} == {-1}
    assert all(each["whole_face"] >= 0 for each in labels)
    reasons = {line.reason for line in ledger.read(builder.data_path / ledger.NAME)}
    assert reasons == {"no pose in the track: head_pose unknown"}


def test_a_dataset_from_before_serves_its_own_tasks_and_says_what_it_lacks(
    task, faces, tmp_path, monkeypatch, capsys
):
    both = ["llds", "waveform"]  # as training asks for
    before = read_all(prepare("pretext/folder", faces, tmp_path / "data", features=both, workers=1))
    monkeypatch.setitem(registry.TASKS, task.name, task)
    old = prepare("pretext/folder", faces, tmp_path / "data", features=both)
    assert "pretext/folder was prepared before head_pose existed: give --overwrite" in (
        capsys.readouterr().err
    )
    assert "head_pose" not in read_all(old)[0]["labels"]
    with pytest.raises(ValueError, match=r"before task 'head_pose' existed .* --overwrite"):
        experiment.run(tiny_config(tmp_path / "data", faces), tmp_path / "run")

    relabelled = prepare("pretext/folder", None, tmp_path / "data", relabel=True, match="all")
    assert "head_pose" not in relabelled.info.metadata["label_names"]

    monkeypatch.setattr(llds, "extract", lambda *_: pytest.fail("extracted again"))
    new = prepare(
        "pretext/folder", faces, tmp_path / "data", features=both, overwrite=True, workers=1
    )
    for one, other in zip(before, read_all(new), strict=True):
        assert other["labels"].pop("head_pose") in (0, 1)
        del other["scores"]["head_pose"]
        np.testing.assert_equal(one, other)


def test_the_embedded_dataset_is_made_again_by_itself(task, faces, tmp_path, monkeypatch):
    prepare("pretext/synthetic", faces, tmp_path, workers=1)
    monkeypatch.setitem(registry.TASKS, task.name, task)
    builder = prepare("pretext/synthetic", faces, tmp_path, workers=1)
    assert "head_pose" in read_all(builder)[0]["labels"]


def test_a_task_that_is_declared_no_more_stays_in_the_dataset(task, faces, tmp_path, monkeypatch):
    with monkeypatch.context() as context:
        context.setitem(registry.TASKS, task.name, task)
        before = read_all(prepare("pretext/folder", faces, tmp_path, workers=1))
    assert "head_pose" not in registry.TASKS
    prepare("pretext/folder", faces, tmp_path)
    builder = prepare("pretext/folder", None, tmp_path, relabel=True, min_proportion=0.6)
    for one, other in zip(before, read_all(builder), strict=True):
        assert one["labels"]["head_pose"] == other["labels"]["head_pose"]
    assert builder.info.metadata["thresholds"]["head_pose"] > 0
    assert "head_pose" in label_card.write(Path(builder.data_path)).read_text()


def test_a_changed_score_is_asked_for_and_measured_alone(task, faces, tmp_path, monkeypatch):
    monkeypatch.setitem(registry.TASKS, task.name, task)
    before = read_all(prepare("pretext/folder", faces, tmp_path, workers=1))

    def doubled(*arrays):
        return 2 * task.score(*arrays)

    changed = PretextTask(**{**vars(task), "score": doubled, "version": 2})
    monkeypatch.setitem(registry.TASKS, task.name, changed)
    with pytest.raises(ValueError, match=r"head_pose \(version 1 there, 2 wanted\).*--overwrite"):
        prepare("pretext/folder", faces, tmp_path)
    monkeypatch.setattr(measure, "_measure", lambda *_: pytest.fail("measured again"))
    after = read_all(prepare("pretext/folder", faces, tmp_path, overwrite=True, workers=1))
    for one, other in zip(before, after, strict=True):
        assert other["scores"]["head_pose"] == pytest.approx(2 * one["scores"]["head_pose"])
        assert other["labels"] == one["labels"]


def test_a_score_function_that_fails_is_named(task, faces, tmp_path, monkeypatch):
    broken = PretextTask(**{**vars(task), "inputs": ("success", "pose")})  # the wrong order
    monkeypatch.setitem(registry.TASKS, task.name, broken)
    with pytest.raises(ValueError, match=r"score of head_pose: \w+Error"):
        prepare("pretext/folder", faces, tmp_path, workers=1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"inputs": ("poses",)}, "scored from poses: take some of waveform, "),
        ({"inputs": ()}, "scored from nothing"),
        ({"classes": ("left", "middle", "right")}, "needs two classes and one number a score, or"),
        ({"size": 2}, "needs two classes and one number a score, or"),
    ],
)
def test_a_wrong_declaration_is_refused(task, change, said):
    with pytest.raises(ValueError, match=f"pretext task head_pose .*{said}"):
        PretextTask(**{**vars(task), **change})


def test_two_tasks_of_one_name_are_refused(task):
    with pytest.raises(ValueError, match="the same name"):
        registry.by_name([task, task])


def test_scores_can_be_made_from_all_of_a_track():
    assert {"waveform", *FaceTrack.__dataclass_fields__} == {*registry.INPUTS}
    for name in registry.INPUTS:
        assert f"| `{name}` |" in PAGE


def test_the_embedded_faces_have_poses(faces):
    track = openface.read(min((faces / "openface").iterdir()))
    assert 0.001 < track.pose[track.success, 3:].std(axis=0).max() < 0.5
