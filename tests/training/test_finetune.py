import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sersl_jax import checksums
from sersl_jax.config import create
from sersl_jax.datasets.preparation import prepare
from sersl_jax.evaluation import results
from sersl_jax.evaluation.protocol import LeakError
from sersl_jax.evaluation.splits import Split
from sersl_jax.training import (
    checkpoint,
    experiment,
    finetune,
    init_from,
    inputs,
    lineage,
    testing,
)
from sersl_jax.training.normaliser import speaker_statistics
from sersl_jax.training.targets import apply_label_rule, create_targets
from tests import made_up
from tests.trained_run import config as trained_run_config
from tests.trained_run import trained_run, write_info


def test_groups_that_were_begun_stay_as_they_are(tmp_path):
    splits = [Split(number, ("a",), ("b",), ("c",)) for number in range(7)]

    def sizes():
        begun = testing.begun_groups(tmp_path, len(splits))
        groups = testing.plan_groups(splits, begun, 2, tmp_path)
        assert [split for group in groups for split in group.splits] == splits
        return [len(group.splits) for group in groups]

    assert sizes() == [2, 2, 2, 1]
    (tmp_path / "0-2").mkdir()  # ran out of memory before it saved
    assert sizes() == [2, 2, 2, 1]
    (tmp_path / "0-2" / "14" / "model").mkdir(parents=True)  # on a machine with room for three
    assert sizes() == [3, 2, 2]
    (tmp_path / "4-5").mkdir()
    (tmp_path / "4-5" / "predictions.csv").touch()  # the one between them was deleted
    assert sizes() == [3, 1, 2, 1]


def test_an_unfinished_model_is_no_start(tmp_path):
    run = shutil.copytree(trained_run(), tmp_path / "run")
    config = made_up.config()
    config.finetune.init_from = str(run)
    assert init_from.read_start(create(config), tmp_path, "tiny").lineage == lineage.Lineage()
    (file,) = run.glob("pretrain/*/info/metadata")
    write_info(file, finished=False)
    with pytest.raises(ValueError, match="is not trained to its end yet"):
        init_from.read_start(create(config), tmp_path, "tiny")


def test_emotions_of_test_speakers_must_not_have_been_learnt():
    corpus = made_up.corpus()
    tested = np.flatnonzero(corpus.speaker_ids == "speaker1")
    speakers = lineage.full_ids(corpus.name, ["speaker0", "speaker1"])
    known = init_from.Start({}, "runs/x", lineage.Lineage(speakers=frozenset(speakers)))
    with pytest.raises(LeakError, match=r"runs/x has learnt the emotions of .*: speaker1"):
        known.check(corpus, tested, allowed=False)
    assert "speaker1" in known.check(corpus, tested, allowed=True)[0]
    assert known.check(corpus, np.flatnonzero(corpus.speaker_ids == "speaker2"), False) == []
    assert known.check(replace(corpus, name="speech/other"), tested, False) == []


def test_another_pitch_window_than_the_datasets_is_refused(monkeypatch):
    corpus = replace(made_up.corpus(), metadata={"options": {"pitch_window": 0.032}})
    monkeypatch.setattr(inputs, "read_dataset", lambda *_: corpus)
    config = made_up.config()
    config.finetune.dataset = "speech/crema_d"
    with pytest.raises(ValueError, match=r"pitch_window=0.032, not config.data.pitch_window=0.06"):
        inputs.open_dataset(create(config), create(config).finetune)
    config.data.pitch_window = 0.032
    assert inputs.open_dataset(create(config), create(config).finetune) is corpus


def test_features_that_are_prepared_already_are_enough(tmp_path, utterances):
    """`prepare` makes llds alone by default; a command with the source prepares both."""
    prepare("speech/folder", utterances, tmp_path)
    config = made_up.config()
    config.data.data_dir = str(tmp_path)
    config.finetune.update({"dataset": "speech/folder", "source": str(utterances)})
    dataset = inputs.open_dataset(create(config), create(config).finetune)
    assert dataset.metadata["features"] == ["llds"]


def test_what_int32_cannot_count_is_streamed():
    corpus = made_up.corpus()
    statistics = speaker_statistics(corpus)
    long = replace(corpus, lengths=np.full(len(corpus.lengths), 2**26, np.int32))
    config = made_up.config()
    config.data.residency = "device"
    with pytest.raises(ValueError, match=r"longer than 2\^31 samples"):
        inputs.create_inputs(create(config), long, statistics)
    config.data.residency = "auto"
    assert inputs.create_inputs(create(config), long, statistics)[1] is None
    assert inputs.create_inputs(create(config), corpus, statistics)[1] is not None


def test_pretraining_that_is_finished_is_not_opened_again(tmp_path, monkeypatch):
    run = shutil.copytree(trained_run(), tmp_path / "run")
    (file,) = run.glob("pretrain/*/info/metadata")
    done, chosen = [], create(trained_run_config())
    monkeypatch.setattr(experiment, "pretrain", lambda *_: done.append("pretrain"))
    monkeypatch.setattr(experiment, "finetune", lambda *_: done.append("finetune"))
    (run / "pretrain" / "0" / "state").mkdir(parents=True)  # its deletion was cut off
    experiment.run(chosen, run)
    assert done == ["finetune"]
    assert [path.name for path in run.glob("pretrain/[0-9]*")] == ["1"]
    write_info(file, finished=False)
    experiment.run(chosen, run)
    assert done[1:] == ["pretrain", "finetune"]
    assert not checkpoint.is_finished(tmp_path / "nothing")


def test_reference_lines_that_an_older_run_lacks_are_added(tmp_path):
    made = made_up.corpus()
    table = made.examples.assign(attributes="{}", sha256=made.examples["clip"])
    corpus = replace(made, examples=table)
    clips = testing.clip_table(corpus, corpus.labels["emotion"])
    speakers = [f"speaker{k}" for k in range(6)]
    split = Split(0, tuple(speakers[:4]), (speakers[4],), (speakers[5],))
    group = testing.Group([split], tmp_path, done=True)
    made = create(made_up.config())
    recognition = finetune.Recognition(made, tmp_path, corpus, clips, (made_up.TASK,), {}, [group])
    recognition.add_lines(group)
    lines = testing.read_baselines([group])
    assert list(lines) == ["svm", "svm_unweighted"]
    assert set(lines["svm"]["speaker_id"]) == {"speaker5"}
    older = (tmp_path / "baseline_svm.csv").stat().st_mtime_ns
    recognition.add_lines(group)
    assert (tmp_path / "baseline_svm.csv").stat().st_mtime_ns == older
    (tmp_path / "baseline_svm_unweighted.csv").unlink()
    recognition.add_lines(group)
    assert group.has_lines(lines)


def test_checksums_that_a_kill_left_out_are_added(tmp_path):
    """Killed between a file and its checksum: the same checksums as without a kill."""
    group = testing.Group([], tmp_path, done=True)
    frame = pd.DataFrame({"clip": ["a"], "p_x": [0.5]})
    group.write(frame, [1.0])
    group.write_lines({"svm": frame})
    straight = (tmp_path / checksums.NAME).read_bytes()
    for left in ({}, {"baseline_svm.csv": None}):
        known = {n: v for n, v in json.loads(straight).items() if n in left}
        (tmp_path / checksums.NAME).write_text(json.dumps(known))
        group.add_checksums()
        assert (tmp_path / checksums.NAME).read_bytes() == straight
    (tmp_path / "predictions.csv").write_text("clip,p_x\na,0.6\n")
    group.add_checksums()
    with pytest.raises(ValueError, match=r"predictions.csv is damaged"):
        group.read()


def test_attributes_have_a_line_of_their_own(tmp_path):
    made = made_up.corpus()
    numbers = [json.dumps({"arousal": f"{1 + label}"}) for label in made.labels["emotion"]]
    table = made.examples.assign(attributes=numbers, sha256=made.examples["clip"])
    fields = made_up.config()
    fields.finetune.tasks = {"arousal": 1.0}
    fields.finetune.select = "ccc"
    facts = {"examples": table, "metadata": {"scales": {"arousal": [1.0, 3.0]}}}
    found = create_targets(replace(made, **facts), create(fields).finetune)
    clips = testing.clip_table(found.dataset, found.truth, found.labelled)
    speakers = [f"speaker{k}" for k in range(6)]
    split = Split(0, tuple(speakers[:4]), (speakers[4],), (speakers[5],))
    group = testing.Group([split], tmp_path, done=True)
    chosen = create(fields)
    finetune.Recognition(
        chosen, tmp_path, found.dataset, clips, found.tasks, found.rule, [group]
    ).add_lines(group)
    lines = testing.read_baselines([group])
    assert [*lines] == ["ridge"]
    score = results.score(lines["ridge"], [])["mean"]
    assert score["ccc_arousal"] > 0.5  # a class shifts some features


def test_votes_that_a_dataset_does_not_have_are_not_asked_for():
    corpus = made_up.corpus()
    label = create(made_up.config()).finetune.label
    assert apply_label_rule(corpus, label)[2] == {"source": "corpus"}
    for wrong in ({"source": "multimodal"}, {"source": "voice", "targets": "soft"}):
        with pytest.raises(ValueError, match=r"speech/made_up has no votes for config\.finetune"):
            apply_label_rule(corpus, replace(label, **wrong))
