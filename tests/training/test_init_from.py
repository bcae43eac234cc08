"""What fine-tuning starts from: the model in the package, an export, a group of splits."""

import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest

from configs import best
from sersl_jax import export
from sersl_jax.config import create
from sersl_jax.corpora import synthetic
from sersl_jax.evaluation.protocol import LeakError
from sersl_jax.training import checkpoint, experiment, export_folder, init_from, lineage
from tests import made_up
from tests.trained_run import config as trained_run_config
from tests.trained_run import trained_run


def start(tmp_path, origin="default", config=None):
    chosen = config or best.get_config("paper")
    chosen.finetune.init_from = str(origin)
    return init_from.read_start(create(chosen), tmp_path, "mine")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    return start(tmp_path_factory.mktemp("run"))


def named(corpus, name, **columns):
    return replace(corpus, name=name, examples=corpus.examples.assign(**columns))


def first(params, name):
    return params["embed"]["conv_0"]["kernel"] if name == "embed" else params["head_emotion"]


def test_split_k_starts_from_member_k_and_every_head_is_fresh(shipped):
    members = shipped.params
    assert len(first(members, "embed")) == 5
    fresh = jax.tree.map(lambda leaf: np.full_like(leaf[:3], 7.0), members)
    found = shipped.with_fresh_heads(fresh, (1, 4, 6))
    np.testing.assert_array_equal(first(found, "embed"), first(members, "embed")[[1, 4, 1]])
    assert {float(leaf.min()) for leaf in jax.tree.leaves(first(found, "head"))} == {7.0}


def test_the_model_in_the_package_may_not_be_tested_on_what_it_has_heard(shipped):
    corpus, tested = made_up.corpus(), np.arange(4)
    assert shipped.check(corpus, tested, False) == []
    same = named(corpus, "speech/crema_d", speaker_id="1001")
    joined = named(corpus, "speech/crema_d,speech/emodb", speaker_id="speech/crema_d/1001")
    copied = named(corpus, "speech/folder", clip="1001_DFA_ANG_XX")
    for known in (same, joined, copied):
        with pytest.raises(LeakError, match="the model in the package has learnt the emotions of"):
            shipped.check(known, tested, False)
        assert len(shipped.check(known, tested, True)) == 1
    assert shipped.check(named(corpus, "speech/folder", speaker_id="1001"), tested, False) == []


def test_what_the_start_itself_started_from_counts(tmp_path):
    info = {
        "config": {"finetune": {"init_from": "default"}}, "dataset": {"name": "speech/folder"},
        "speakers": [{"train": ["ann"], "validation": ["bob"]}], "clips": ["a1", "b1"],
    }  # fmt: skip
    tuned = init_from.Start({}, "runs/mine", lineage.trace(info))
    corpus, tested = made_up.corpus(), np.arange(4)
    for known in ({"speaker_id": "1001"}, {"clip": "1001_DFA_ANG_XX"}):
        with pytest.raises(LeakError, match="runs/mine has learnt the emotions of test speakers"):
            tuned.check(named(corpus, "speech/crema_d", **known), tested, False)
    assert tuned.check(corpus, tested, False) == []
    info["config"]["finetune"]["init_from"] = str(tmp_path / "gone")
    orphan = init_from.Start({}, "runs/mine", lineage.trace(info))
    (said,) = orphan.check(corpus, tested, False)
    assert said.startswith(f"runs/mine was fine-tuned from {tmp_path}/gone, which is not there")


def test_another_network_than_the_exports_is_told(tmp_path):
    config = best.get_config("paper")
    config.model.conv.center = False  # of the same shapes
    with pytest.raises(ValueError, match=r"is another network \(config.model.conv=.*configs/best"):
        start(tmp_path, config=config)
    config = best.get_config("paper")
    config.data.normalise = "speaker"
    with pytest.raises(ValueError, match=r"package was trained with config\.data\.normalise=train"):
        start(tmp_path, config=config)
    config = best.get_config("paper")
    config.model.dropout.head = 0.5  # may differ
    assert start(tmp_path, config=config).origin == "the model in the package"


def test_an_export_and_its_run_are_the_same_start(tmp_path):
    run = shutil.copytree(trained_run(), tmp_path / "run")
    export.run(str(run), out=tmp_path / "exported")
    group = start(tmp_path, run / "finetune" / "0-1", trained_run_config())
    exported = start(tmp_path, tmp_path / "exported", trained_run_config())
    jax.tree.map(np.testing.assert_array_equal, group.params, exported.params)
    assert group.lineage.datasets == exported.lineage.datasets == {"speech/made_up"}
    assert group.lineage == exported.lineage
    shutil.rmtree(run / "pretrain")
    with pytest.raises(ValueError, match="run has no pre-training: name a group of splits, as"):
        start(tmp_path, run, trained_run_config())


def test_export_without_a_run_takes_the_model_in_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export.run(None, dtype="float16")
    weights, config = export_folder.read(tmp_path / "export_safetensors")
    expected, there = export_folder.read(export_folder.DEFAULT)
    jax.tree.map(np.testing.assert_array_equal, weights, expected)
    assert config["training"]["speakers"] == there["training"]["speakers"]


def test_a_folder_is_fine_tuned_from_the_model_in_the_package(tmp_path, capsys):
    source = synthetic.write_speech(tmp_path / "mine", num_speakers=4, clips_per_speaker=6)
    config = best.get_config("paper")
    config.data.update({"data_dir": str(tmp_path / "data"), "bucket": {"llds": 200}})
    config.finetune.update({"dataset": "speech/folder", "source": str(source)})
    config.finetune.update({"init_from": "default", "num_splits": 2, "steps": 1, "seeds": 2})
    config.finetune.parallel_members = 1
    experiment.run(create(config), tmp_path / "run")
    assert "initialised from the model in the package" in capsys.readouterr().err
    before, _ = export_folder.read(export_folder.DEFAULT)
    for split in (0, 1):  # each is a group, both trainings of which start from its own member
        tuned = checkpoint.read_model(tmp_path / "run" / "finetune" / f"{split}-{split}")
        assert tuned.info["names"] == [f"{split}", f"{split}#1"]
        change = first(tuned.params, "embed") - first(before["params"], "embed")[split]
        assert 0 < np.abs(change).max() < 2e-3  # one step
    assert len(tuned.info["clips"]) == 18  # of the three speakers that are not tested
