from dataclasses import replace

import numpy as np
import pytest

from sersl_jax.training import checkpoint
from sersl_jax.training.best import Best
from tests import made_up
from tests.trained_run import trained_run


@pytest.mark.parametrize("changed", ["dataset", "speakers"])
def test_a_checkpoint_of_other_data_is_not_gone_on_with(changed):
    checkpoints = checkpoint.Checkpoints(trained_run() / "pretrain")
    info = {**checkpoint.read_model(trained_run() / "pretrain").info, changed: "other"}
    training = replace(made_up.training((0,)), names=info["names"], info=info)
    with pytest.raises(ValueError, match=f"was started on another {changed}: "):
        checkpoints.restore(None, None, training)


def test_a_training_of_another_version_is_not_gone_on_with():
    directory = trained_run() / "pretrain"
    info = checkpoint.read_model(directory).info
    training = replace(made_up.training((0,)), names=info["names"], info=info)
    best = Best({"other": np.zeros(2)}, np.zeros(1), np.zeros(1, np.int32))
    with pytest.raises(ValueError, match=r"does not fit this program: another version"):
        checkpoint.Checkpoints(directory).restore({"other": np.zeros(2)}, best, training)


def test_a_checkpoint_of_another_format_is_not_gone_on_with(monkeypatch):
    monkeypatch.setattr(checkpoint, "VERSION", checkpoint.VERSION + 1)
    checkpoints = checkpoint.Checkpoints(trained_run() / "pretrain")
    with pytest.raises(ValueError, match=r"does not fit this program: another version"):
        checkpoints.restore(None, None, made_up.training((0,)))


def test_transfer_misfit_names_the_keys():
    fresh = {"embed": {"a": np.zeros(2)}, "head_x": {"b": np.zeros(1)}}
    with pytest.raises(ValueError, match=r"embed/a \(\(3,\) there, \(2,\) here\)"):
        checkpoint.transfer(fresh, {"embed": {"a": np.zeros(3)}}, "runs/x")
    with pytest.raises(ValueError, match=r"embed/a \(missing there\), embed/c \(unknown here\)"):
        checkpoint.transfer(fresh, {"embed": {"c": np.zeros(3)}}, "runs/x")
    params, table = checkpoint.transfer(fresh, {"embed": {"a": np.ones(2)}, "head_y": 1}, "runs/x")
    assert params["embed"]["a"].tolist() == [1, 1]
    assert params["head_x"]["b"].tolist() == [0]
    assert [line.split()[0] for line in table] == ["loaded", "fresh", "left"]


def test_a_folder_without_checkpoint_is_named(tmp_path):
    with pytest.raises(ValueError, match="holds no checkpoint"):
        checkpoint.read_model(tmp_path)
