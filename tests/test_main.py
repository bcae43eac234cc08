import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, precision_score, recall_score

from configs import ssl1, supervised, table3, wav2vec2
from sersl_jax.config import create
from sersl_jax.corpora import synthetic
from sersl_jax.training import experiment

REPOSITORY = Path(__file__).parents[1]
ONE_LENGTH = {"llds": 200, "waveform": 48_000}  # of all clips: compiles less


def shrink(config, data_dir):
    """A tiny network, few epochs and fewer made-up people."""
    config.model.update({"dim": 20, "num_heads": 2, "ffn_dim": 40, "num_layers": 1})
    config.data.update({"data_dir": str(data_dir), "bucket": ONE_LENGTH})
    config.pretrain.update({"epochs": 2, "source": str(data_dir / "talking")})
    config.finetune.update({"epochs": 2, "num_splits": 2, "source": str(data_dir / "speech")})
    return config


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    made = tmp_path_factory.mktemp("data")
    synthetic.write_pretext(made / "talking", num_speakers=10, clips_per_speaker=2)
    synthetic.write_speech(made / "speech", num_speakers=8, clips_per_speaker=12)
    return made


@pytest.fixture(scope="module")
def programs():
    """The names of what is compiled while `run` runs."""
    return []


@pytest.fixture(scope="module")
def run(tmp_path_factory, data_dir, programs):
    def listen(event, _, fun_name="", **__):
        if event.endswith("backend_compile_duration"):
            programs.append(fun_name)

    workdir = tmp_path_factory.mktemp("runs") / "ssl1"
    config = create(shrink(ssl1.get_config(), data_dir))
    jax.clear_caches()  # of other tests
    jax.monitoring.register_event_duration_secs_listener(listen)
    experiment.run(config, workdir)
    jax.monitoring.unregister_event_duration_listener(listen)
    return workdir


def test_a_run_leaves_its_files(run):
    names = {path.name for path in run.iterdir()}
    wanted = {"config.json", "metrics.jsonl", "predictions.csv", "results.json", "report.html"}
    assert wanted | {"pretrain", "finetune", "events"} <= names


def test_a_run_compiles_few_programs(run, programs):
    """Pre-training and two groups of splits; a program for each further length of clips."""
    assert 3 <= len(programs) <= 24, sorted(programs)  # 22 were measured


def test_scoring_predictions_with_scikit_learn_gives_the_results(run):
    results = json.loads((run / "results.json").read_text())
    rows = pd.read_csv(run / "predictions.csv")
    for entry in results["splits"]:
        own = rows[rows["split"] == entry["seed"]]
        for average in ("macro", "micro"):
            options = {"average": average, "labels": results["classes"], "zero_division": 0}
            scores = [precision_score, recall_score, f1_score]
            found = [score(own["label"], own["prediction"], **options) for score in scores]
            expected = [entry["metrics"][f"{average}_{m}"] for m in ("precision", "recall", "f1")]
            np.testing.assert_allclose(found, expected, atol=1e-9)


def test_every_test_clip_is_scored_once_and_no_speaker_is_on_two_sides(run):
    rows = pd.read_csv(run / "predictions.csv")
    assert not rows.duplicated(["split", "clip"]).any()
    for entry in json.loads((run / "results.json").read_text())["splits"]:
        sides = [set(names) for names in entry["speakers"].values()]
        assert len(set.union(*sides)) == sum(map(len, sides))
        tested = set(rows[rows["split"] == entry["seed"]]["speaker_id"])
        assert tested == set(entry["speakers"]["test"])
        probabilities = rows[[c for c in rows if c.startswith("p_")]].to_numpy()
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)


def test_a_finished_run_is_not_done_again(run, data_dir, capsys):
    before = (run / "results.json").stat().st_mtime_ns
    (run / "report.html").unlink()  # as if killed before it was written
    experiment.run(create(shrink(ssl1.get_config(), data_dir)), run)
    assert (run / "results.json").stat().st_mtime_ns == before
    assert (run / "report.html").exists()
    assert "ssl1: protocol paper, 2 splits" in capsys.readouterr().out


def test_another_config_in_the_same_directory_is_refused(run, data_dir):
    config = shrink(ssl1.get_config(), data_dir)
    config.pretrain.optimizer.learning_rate = 1.0
    with pytest.raises(ValueError, match=r"other pretrain.optimizer.learning_rate \(0.0003\)"):
        experiment.run(create(config), run)


def test_fine_tuning_starts_from_another_runs_checkpoint(run, data_dir, tmp_path, capsys):
    config = shrink(ssl1.get_config(), data_dir)
    config.stages = ("finetune",)
    config.finetune.init_from = str(run)
    config.finetune.num_splits = 1
    experiment.run(create(config), tmp_path / "again")
    said = capsys.readouterr().err
    assert "initialised from" in said
    assert "loaded" in said
    assert "fresh" in said
    ours, theirs = (pd.read_csv(path / "predictions.csv") for path in (tmp_path / "again", run))
    theirs = theirs[theirs["split"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(ours, theirs)  # the same start, split and seeds


def test_a_checkpoint_of_another_network_is_refused(run, data_dir, tmp_path):
    config = shrink(supervised.get_config(), data_dir)
    config.model.dim = 26
    config.finetune.init_from = str(run)
    with pytest.raises(ValueError, match=r"does not fit this network: embed/projection/kernel"):
        experiment.run(create(config), tmp_path / "misfit")


def test_ablations_trained_together_are_runs_of_their_own(data_dir, tmp_path):
    config = shrink(table3.get_config(), data_dir)
    for name in ("ssl2", "ssl3", "ssl4"):
        del config.pretrain.members[name]
    config.pretrain.epochs = config.finetune.epochs = config.finetune.num_splits = 1
    experiment.run(create(config), tmp_path)
    for name in ("ssl1", "ssl5"):
        results = json.loads((tmp_path / name / "results.json").read_text())
        assert results["config"]["name"] == name


def test_wav2vec2_runs_through_the_same_stages(data_dir, tmp_path):
    config = shrink(wav2vec2.get_config(), data_dir)
    config.model.wav2vec2.update({"conv_widths": (8,) * 7, "entries": 8, "num_negatives": 5})
    config.pretrain.update({"steps": 3, "batch_size": 4})
    config.finetune.update({"steps": 2, "num_splits": 1, "batch_size": 4})
    experiment.run(create(config), tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert {"validation/accuracy_contrastive", "validation/codebook_perplexity_1"} <= set(rows[0])
    peak, warmup = (config.pretrain.optimizer[name] for name in ("learning_rate", "warmup_steps"))
    assert rows[0]["learning_rate"] == pytest.approx(peak * 3 / warmup)
    assert (tmp_path / "results.json").exists()


def test_data_may_move_before_a_run_is_gone_on_with(run, data_dir, tmp_path):
    moved = shutil.copytree(data_dir, tmp_path / "moved")
    again = shutil.copytree(run, tmp_path / "again")
    (again / "results.json").unlink()
    experiment.run(create(shrink(ssl1.get_config(), moved)), again)
    assert scored(again) == scored(run)


def test_another_corpus_is_not_added_to_a_run(run, data_dir, tmp_path):
    """Neither printed as if it were its own, nor trained beside it."""
    again = shutil.copytree(run, tmp_path / "again")
    config = shrink(ssl1.get_config(), data_dir)
    config.data.data_dir = str(tmp_path / "data")
    other = synthetic.write_speech(tmp_path / "other", num_speakers=6, clips_per_speaker=12)
    config.finetune.source = str(other)
    for number in (config.finetune.num_splits, config.finetune.num_splits + 1):
        config.finetune.num_splits = number
        with pytest.raises(ValueError, match=r"again holds results of another corpus \(split 0"):
            experiment.run(create(config), again)


def test_one_class_is_nothing_to_learn(data_dir, tmp_path):
    speech = shutil.copytree(data_dir / "speech", tmp_path / "speech")
    table = pd.read_csv(speech / "labels.csv")
    table.assign(label="joy").to_csv(speech / "labels.csv", index=False)
    config = shrink(supervised.get_config(), data_dir)
    config.data.data_dir, config.finetune.source = str(tmp_path / "data"), str(speech)
    config.finetune.dataset = "speech/folder"
    with pytest.raises(ValueError, match="dataset speech/folder has only the class joy"):
        experiment.run(create(config), tmp_path / "run")


def test_splits_may_be_asked_for_later(data_dir, tmp_path):
    config = shrink(supervised.get_config(), data_dir)
    config.finetune.update({"epochs": 1, "num_splits": 3})
    experiment.run(create(config), tmp_path / "three")
    config.finetune.num_splits = 1
    experiment.run(create(config), tmp_path / "grown")
    first = groups(tmp_path / "grown")
    assert len(scored(tmp_path / "grown")) == 1
    config.finetune.num_splits = 3
    experiment.run(create(config), tmp_path / "grown")
    assert groups(tmp_path / "grown").items() >= first.items()  # not trained again
    assert_same_splits(tmp_path / "three", tmp_path / "grown")
    config.finetune.num_splits = 1  # what is there is kept
    experiment.run(create(config), tmp_path / "grown")
    assert len(scored(tmp_path / "grown")) == 3


def test_growing_splits_killed_in_the_middle(data_dir, tmp_path):
    config = shrink(supervised.get_config(), data_dir)
    config.finetune.update({"epochs": 1, "num_splits": 3, "parallel_members": 1})
    experiment.run(create(config), tmp_path / "three")
    killed = tmp_path / "killed"
    shutil.copytree(tmp_path / "three" / "finetune" / "0-0", killed / "finetune" / "0-0")
    fields = {"finetune.epochs": 1, "finetune.num_splits": 3, "finetune.parallel_members": 1}
    process = start_main_on_its_own(data_dir, killed, fields)
    limit = time.monotonic() + 240
    while not (killed / "finetune" / "1-1").is_dir() and process.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.05)
    process.kill()
    assert process.wait() == -signal.SIGKILL, "it ended before"
    assert not (killed / "finetune" / "2-2" / "predictions.csv").exists()
    experiment.run(create(config), killed)
    assert_same_splits(tmp_path / "three", killed)


def scored(workdir):
    return json.loads((workdir / "results.json").read_text())["splits"]


def groups(workdir):
    """When each group of splits was tested."""
    return {path: path.stat().st_mtime_ns for path in workdir.glob("finetune/*/predictions.csv")}


def assert_same_splits(one, other):
    """The same answers; probabilities up to rounding: one matrix is multiplied otherwise than
    three at once (see tests/training/test_loop.py)."""
    for ours, theirs in zip(scored(one), scored(other), strict=True):
        assert (ours["seed"], ours["hash"]) == (theirs["seed"], theirs["hash"])
        assert ours["speakers"] == theirs["speakers"]
    ours, theirs = (pd.read_csv(path / "predictions.csv") for path in (one, other))
    assert ours[["split", "clip", "label"]].equals(theirs[["split", "clip", "label"]])
    names = [name for name in ours if name.startswith("p_")]
    np.testing.assert_allclose(ours[names], theirs[names], atol=2e-3)
    sure = np.ptp(np.sort(ours[names])[:, -2:], axis=1) > 4e-3
    assert (ours["prediction"] == theirs["prediction"])[sure].all()
    if ours["prediction"].equals(theirs["prediction"]):
        assert [s["metrics"] for s in scored(one)] == [s["metrics"] for s in scored(other)]


def start_main_on_its_own(data_dir, workdir, fields):
    tiny = {"model.dim": 20, "model.num_heads": 2, "model.ffn_dim": 40, "model.num_layers": 1}
    fields = fields | tiny | {"data.data_dir": data_dir, "finetune.source": data_dir / "speech"}
    fields |= {"pretrain.epochs": 2, "pretrain.source": data_dir / "talking"}
    fields |= {f"data.bucket.{name}": length for name, length in ONE_LENGTH.items()}
    whole = [sys.executable, "-m", "sersl_jax.main", "--config=configs/supervised.py"]
    whole += [f"--workdir={workdir}", *(f"--config.{k}={v}" for k, v in fields.items())]
    return subprocess.Popen(whole, cwd=REPOSITORY, stderr=subprocess.DEVNULL)


def test_local_multiprocess_as_it_stands(data_dir, tmp_path):
    tiny = {"model.dim": 20, "model.num_heads": 2, "model.ffn_dim": 40, "model.num_layers": 1}
    once = {"pretrain.epochs": 1, "finetune.epochs": 1, "finetune.num_splits": 2}
    sources = {"pretrain.source": data_dir / "talking", "finetune.source": data_dir / "speech"}
    fields = tiny | once | sources | {"data.bucket.llds": 200, "data.data_dir": data_dir}
    command = [REPOSITORY / "launch/local_multiprocess.sh", "--config=configs/ssl1.py"]
    command += [f"--workdir={tmp_path}", *(f"--config.{k}={v}" for k, v in fields.items())]
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads((tmp_path / "results.json").read_text())["environment"]["device"] == "2 x cpu"
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 3  # pre-training and two members, written by one process alone
