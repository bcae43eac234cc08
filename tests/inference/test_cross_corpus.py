# ruff: noqa: F811 (a fixture and the argument that asks for it have one name)
"""A run tested on another corpus."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as sklearn_metrics

import sersl_jax
from sersl_jax import compare
from sersl_jax.datasets import identity, preparation
from sersl_jax.datasets.dataset import read_dataset
from sersl_jax.evaluation import baselines
from sersl_jax.evaluation.metrics import METRICS
from sersl_jax.evaluation.protocol import LeakError
from sersl_jax.inference import learnt, matrix, members
from sersl_jax.inference.cross_corpus import evaluate
from sersl_jax.inference.ensemble import Ensemble
from sersl_jax.inference.target import Model, Target, read_model
from tests.evaluation.made_up_runs import corpus, runs  # noqa: F401
from tests.trained_run import (
    CLASSES,
    MEMBERS,
    babble,
    config,
    trained_run,
    write_info,
    write_run,
    write_wav,
)

THERE = ("anger", "calm", "cross", "glad")  # the runs know anger, calm and joy


def write_corpus(root: Path, speakers, classes, clips_each: int = 3, first: int = 0) -> Path:
    """Clips of `speakers`, of all classes in turn; `first` numbers the voices."""
    (root / "media").mkdir(parents=True)
    rows = []
    for number in range(len(speakers) * clips_each):
        name, label = f"{root.name}{number:02d}", classes[number % len(classes)]
        sound = babble(0.7 + 0.05 * (number % 6), first + number)
        write_wav(root / "media" / f"{name}.wav", sound)
        rows.append((name, label, speakers[number // clips_each]))
    table = pd.DataFrame(rows, columns=["clip", "label", "speaker_id"])
    table.to_csv(root / "labels.csv", index=False)
    return root


@pytest.fixture(scope="module")
def there(tmp_path_factory) -> Target:
    """Another corpus, prepared by the first test that asks for it."""
    root = tmp_path_factory.mktemp("there")
    corpus = write_corpus(root / "there", ("b0", "b1", "b2", "b3"), THERE, first=50)
    preparation.prepare("speech/folder", corpus, root / "data", features=("llds", "waveform"))
    return Target("speech/folder", data_dir=str(root / "data"), trained_data_dir="nowhere")


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A run as if it were trained on a corpus of which it says who was on which side."""
    root = tmp_path_factory.mktemp("here")
    people = tuple(f"a{number}" for number in range(5))
    corpus = write_corpus(root / "corpus", people, CLASSES)
    preparation.prepare("speech/folder", corpus, root / "data", features=("llds", "waveform"))
    chosen = config()
    chosen.data.data_dir = str(root / "data")
    run = write_run(root / "run", chosen, MEMBERS)
    (file,) = run.glob("finetune/0-1/*/info/metadata")
    info = json.loads(file.read_text())
    prepared = identity.read_metadata(root / "data" / "speech" / "folder" / "1.0.0")
    info["dataset"] |= {"name": "speech/folder", "fingerprint": prepared["fingerprint"]}
    orders = (people, people[::-1])
    info["speakers"] = [{"train": list(p[:3]), "validation": [p[3]]} for p in orders]
    write_info(file, **info)
    values = dict.fromkeys(METRICS, 0.5)
    own = {"config": {"name": "mine"}, "mean": values, "sd": values, "classes": CLASSES}
    (run / "results.json").write_text(json.dumps(own))
    (run / "config.json").write_text("{}")
    return root


def model_of(path: Path) -> Model:
    return read_model(str(path))


def probabilities_in(rows: pd.DataFrame, names) -> np.ndarray:
    return rows[[f"p_{name}" for name in names]].to_numpy()


@pytest.mark.parametrize(
    ("embed", "scope"), [("llds", "speaker"), ("llds", "utterance"), ("waveform", "train")]
)
def test_a_dataset_is_predicted_as_its_files(there, tmp_path, embed, scope):
    chosen = config()
    chosen.model.embed, chosen.model.wav2vec2.conv_widths = embed, (8,) * 7
    chosen.data.normalise, chosen.stages = scope, ("finetune",)
    recognizer = sersl_jax.load(write_run(tmp_path / "run", chosen, MEMBERS))
    dataset = read_dataset("speech/folder", there.data_dir, embed)
    p = members.answers(recognizer.ensemble, dataset, np.arange(4))
    media = Path(there.data_dir).parent / "there" / "media"
    clips = [media / f"{clip}.wav" for clip in dataset.examples["clip"]]
    for number, name in enumerate(recognizer.members):
        speaker = dataset.speaker_ids
        normalisers = None
        if scope == "speaker":
            normalisers = [
                recognizer.speaker_normaliser([clips[i] for i in np.flatnonzero(speaker == one)])
                for one in speaker[:4]
            ]
        found = recognizer.predict_all(clips[:4], None, name, normalisers)
        expected = [list(one.probabilities.values()) for one in found]
        np.testing.assert_allclose(p[number], expected, atol=1e-5)


def test_the_seeds_of_a_split_are_tested_together(there, tmp_path):
    run = write_run(tmp_path / "run", config(), ("3", "3#1", "8"))
    out = tmp_path / "out"
    evaluate(model_of(run), replace(there, renamed={"cross": "anger"}), out)
    saved = json.loads((out / "results.json").read_text())
    assert [entry["seed"] for entry in saved["splits"]] == ["3", "8"]
    ensemble = sersl_jax.load(run).ensemble
    dataset = read_dataset("speech/folder", there.data_dir, "llds")
    both, _ = members.answers(ensemble, dataset, np.arange(4))
    pair = replace(ensemble, names=("3", "4", "8"))
    first, second, _ = members.answers(pair, dataset, np.arange(4))
    np.testing.assert_allclose(both, (first + second) / 2, atol=1e-5)
    assert np.abs(first - second).max() > 1e-3


@pytest.fixture(scope="module")
def tested(there, tmp_path_factory) -> Path:
    """What `evaluate` leaves, in the default setting."""
    out = tmp_path_factory.mktemp("out") / "tiny_there"
    evaluate(model_of(trained_run()), replace(there, renamed={"cross": "anger"}), out)
    return out


def test_results_are_those_of_the_predictions(tested):
    saved = json.loads((tested / "results.json").read_text())
    rows = pd.read_csv(tested / "predictions.csv", dtype={"split": str})
    assert saved["classes"] == ["anger", "calm", "glad"]
    assert saved["evaluated"]["answers"] == ["anger", "calm", "glad", "joy"]
    assert [entry["seed"] for entry in saved["splits"]] == ["3", "8"]
    assert not rows.duplicated(["split", "clip"]).any()
    assert set(rows["own_label"]) == set(THERE)
    assert set(rows[rows["own_label"] == "cross"]["label"]) == {"anger"}
    for entry in saved["splits"]:
        own = rows[rows["split"] == entry["seed"]]
        assert len(own) == np.sum(entry["confusion"]) == 12
        options = {"labels": saved["classes"], "average": "macro", "zero_division": 0}
        recall = sklearn_metrics.recall_score(own["label"], own["prediction"], **options)
        assert entry["metrics"]["uar"] == pytest.approx(recall)
        assert np.array(entry["confusion"]).sum(axis=1).tolist() == [6, 3, 3]
        assert (own["prediction"] == "glad").sum() == 0
    for name in ("uar", "macro_f1"):
        values = [entry["metrics"][name] for entry in saved["splits"]]
        assert saved["mean"][name] == pytest.approx(np.mean(values))
        assert saved["sd"][name] == pytest.approx(np.std(values, ddof=1))
    assert saved["baselines"]["majority"]["mean"]["uar"] == pytest.approx(1 / 3)
    notes = " ".join(saved["evaluated"]["notes"])
    assert "only speech/folder has glad: every clip of them counts as an error" in notes
    assert "only the model has joy: an error wherever it is predicted" in notes
    assert "left out: the reference lines, and the search for byte-identical clips" in notes


def test_the_page_shows_rows_of_the_target_and_columns_of_both(tested):
    page = (tested / "report.html").read_text()
    assert "<h1>tiny on speech/folder</h1>" in page
    assert "Trained on speech/made_up" in page
    assert "tested on speech/folder, cross as anger" in page
    heat = page.split('class="heat"')[1].split("</table>")[0]
    assert heat.count("<tr>") == 1 + 3
    assert heat.count('scope="col"') == 4
    hardest = page.split("Hardest clips")[1]
    assert "glad" not in hardest.split("</table>")[0]  # none of its clips could be right


def test_the_average_is_what_predict_gives(tested, there):
    recognizer = sersl_jax.load(trained_run())
    rows = pd.read_csv(tested / "predictions.csv").drop_duplicates("clip")
    media = Path(there.data_dir).parent / "there" / "media"
    found = list(recognizer.predict_all(media / f"{clip}.wav" for clip in rows["clip"]))
    right = [one.label == label for one, label in zip(found, rows["label"], strict=True)]
    saved = json.loads((tested / "results.json").read_text())
    assert saved["evaluated"]["averaged"]["micro_f1"] == pytest.approx(np.mean(right))


def test_only_shared_classes_are_tested(there, tmp_path):
    saved = evaluate(model_of(trained_run()), replace(there, only_shared=True), tmp_path)
    rows = pd.read_csv(tmp_path / "predictions.csv")
    assert saved["classes"] == ["anger", "calm"] == sorted({*rows["label"]})
    assert {*rows["prediction"]} <= {"anger", "calm"}
    assert [c for c in rows if c.startswith("p_")] == ["p_anger", "p_calm"]
    np.testing.assert_allclose(probabilities_in(rows, ("anger", "calm")).sum(axis=1), 1, atol=1e-5)
    notes = saved["evaluated"]["notes"]
    assert "only speech/folder has cross, glad: left out" in notes
    assert "only the model has joy: left out" in notes


def test_compare_takes_results_of_one_target_and_setting(there, here, runs, tmp_path, capsys):
    run, trained = model_of(here / "run"), str(here / "data")
    mapped = replace(there, renamed={"cross": "anger"}, trained_data_dir=trained)
    other = tmp_path / "other"
    evaluate(run, mapped, other)
    assert (other / "report.html").exists()
    shutil.copytree(other, tmp_path / "again")
    compare.run([str(other), str(tmp_path / "again")], out=str(tmp_path))
    assert "SVM, balanced" in capsys.readouterr().out
    evaluate(run, replace(mapped, only_shared=True), tmp_path / "shared")
    paths = [str(other), str(tmp_path / "shared"), str(runs["ssl1"])]
    compare.run(paths, out=str(tmp_path))
    said = capsys.readouterr().out
    assert "tested on speech/folder, cross as anger against speech/folder, cross as" in said
    assert "label rule source=corpus against source=intended" in said


def test_runs_of_different_origins_and_classes_are_compared(tested, there, here, tmp_path, capsys):
    """The SVM, which learnt from one's training data, is beside neither."""
    trained = str(here / "data")
    mapped = replace(there, renamed={"cross": "anger"}, trained_data_dir=trained)
    evaluate(model_of(here / "run"), mapped, tmp_path / "mine")
    file = tmp_path / "mine" / "results.json"
    saved = json.loads(file.read_text())
    saved["evaluated"]["answers"].append("awe")
    file.write_text(json.dumps(saved))
    compare.run([str(tested), str(tmp_path / "mine")], out=str(tmp_path))
    said = capsys.readouterr().out
    assert "Majority class" in said
    assert "SVM" not in said
    assert "shown apart" not in said


@pytest.mark.parametrize("only_shared", [False, True])
def test_the_svm_learns_from_each_members_training_speakers(
    here, there, tmp_path, monkeypatch, only_shared
):
    seen = []

    def fitted(features, table, splits):
        seen.append((features, table, splits))
        return real(features, table, splits)

    real = baselines.svm_predictions
    monkeypatch.setattr(baselines, "svm_predictions", fitted)
    monkeypatch.setattr(members, "_BLOCK", 5)
    target = replace(there, trained_data_dir=str(here / "data"), only_shared=only_shared)
    saved = evaluate(model_of(here / "run"), target, tmp_path)
    assert {*saved["baselines"]} == {"svm", "svm_unweighted", "majority"}
    assert not any("reference lines" in note for note in saved["evaluated"]["notes"])
    tables = [np.sum(s["confusion"]) for s in saved["baselines"]["svm"]["splits"]]
    assert tables == [6 if only_shared else 12] * 2  # each clip once, in blocks
    for features, table, splits in seen:
        learnt_rows = table[table["speaker_id"].str.startswith("speech/folder/a")]
        assert {*learnt_rows["label"]} == ({"anger", "calm"} if only_shared else {*CLASSES})
        assert len(features) == len(table)
        assert splits[0].train == ("speech/folder/a0", "speech/folder/a1", "speech/folder/a2")
        assert splits[1].validation == ("speech/folder/a1",)
        assert all("/b" in speaker for speaker in splits[0].test)


def test_speakers_that_were_learnt_are_refused(here, there, tmp_path):
    own = replace(there, data_dir=str(here / "data"))
    with pytest.raises(LeakError, match=r"run has learnt the emotions of speakers of .*: a0, a1"):
        evaluate(model_of(here / "run"), own, tmp_path)


def test_copies_of_clips_that_were_learnt_are_refused(here, there, tmp_path):
    corpus = write_corpus(tmp_path / "copies", ("c0", "c1"), ("anger", "joy"), first=90)
    shutil.copy(here / "corpus" / "media" / "corpus00.wav", corpus / "media" / "copies03.wav")
    target = replace(there, source=str(corpus), data_dir=str(tmp_path / "data"))
    found = replace(target, trained_data_dir=str(here / "data"))
    with pytest.raises(LeakError, match=r"trained on clips of .* byte-identical to copies03$"):
        evaluate(model_of(here / "run"), found, tmp_path / "out")
    assert evaluate(model_of(here / "run"), target, tmp_path / "out")


@pytest.mark.parametrize("dataset", ["speech/crema_d", "speech/synthetic"])
def test_the_corpus_of_the_training_is_refused_by_its_name(tmp_path, dataset):
    model = read_model(None)
    if dataset != "speech/crema_d":
        info = dict(model.ensemble.info)
        info["config"] = {**info["config"], "data": {**info["config"]["data"]}}
        info["dataset"] = {**info["dataset"], "name": f"speech/emodb,{dataset}"}
        model = Model(replace(model.ensemble, info=info), None)
    with pytest.raises(LeakError, match=f"package has learnt the emotions of {dataset}'s speakers"):
        evaluate(model, Target(dataset, str(tmp_path)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_the_run_was_tuned_from_counts(tmp_path):
    tuned = {
        "config": {"finetune": {"init_from": "default"}},
        "dataset": {"name": "speech/emodb"},
        "speakers": [{"train": ["emodb_03"], "validation": ["emodb_08"]}],
    }
    known = learnt.of(tuned, "runs/mine").lineage
    assert known.datasets == {"speech/emodb", "speech/crema_d"}
    assert {"speech/emodb/emodb_08", "speech/crema_d/1001"} <= known.speakers
    tuned["config"]["finetune"]["init_from"] = str(tmp_path / "gone")
    assert learnt.of(tuned, "runs/mine").lineage.gone == (str(tmp_path / "gone"),)
    for none in ("", "pretrain", "base.safetensors", str(trained_run())):
        tuned["config"]["finetune"]["init_from"] = none
        assert learnt.of(tuned, "runs/mine").lineage.datasets == {"speech/emodb"}


def test_features_unlike_the_runs_are_refused(there, tmp_path):
    chosen = config()
    chosen.data.pitch_window = 0.032
    run = write_run(tmp_path / "run", chosen, MEMBERS)
    with pytest.raises(ValueError, match=r"pitch_window=0.06, not config.data.pitch_window=0.032"):
        evaluate(model_of(run), there, tmp_path / "out")
    model = model_of(trained_run())
    info = dict(model.ensemble.info)
    info["dataset"] = {**info["dataset"], "measure_version": 1}
    old = Model(replace(model.ensemble, info=info), model.directory)
    with pytest.raises(ValueError, match="was measured by version 2 of the features, the run's"):
        evaluate(old, there, tmp_path / "out")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dataset": "speech/nothing"}, "no corpus is called 'nothing'"),
        ({"dataset": "pretext/folder"}, "has no emotions"),
        (
            {"dataset": "speech/emodb"},
            r"no prepared dataset .*sersl_jax.prepare --dataset=speech/e",
        ),
        ({"renamed": {"cross": "furious"}}, "names furious as ours: the model knows anger, calm"),
    ],
)
def test_bad_input_is_told(there, tmp_path, changes, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        evaluate(model_of(trained_run()), replace(there, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_runs_own_files_are_not_replaced(there, here):
    before = (here / "run" / "results.json").read_text()
    with pytest.raises(ValueError, match="holds a run, whose files would be replaced"):
        evaluate(model_of(here / "run"), there, here / "run")
    assert (here / "run" / "results.json").read_text() == before


def test_few_inputs_are_in_memory_at_a_time(there, monkeypatch):
    monkeypatch.setattr(members, "_CHUNK", 2)
    dataset = read_dataset("speech/folder", there.data_dir, "llds")
    read, done, waiting = [], [], []
    monkeypatch.setattr(
        Ensemble, "normalise", lambda self, x, speaker=None: read.append(len(x)) or x
    )

    def run(self, features):
        if self.names == ("3",):
            done.extend(features)
            waiting.append(len(read) - len(done))
        return np.full((len(features), 3), 1 / 3, np.float32), None

    monkeypatch.setattr(Ensemble, "run", run)
    ensemble = model_of(trained_run()).ensemble
    p = members.answers(ensemble, dataset, np.arange(12))
    assert p.shape == (2, 12, 3)
    assert len(waiting) == 6
    assert max(waiting) <= 4


def test_runs_on_corpora_make_a_table(here, there, tmp_path, capsys):
    other = trained_run().parent / "tiny"
    own = replace(there, data_dir=str(here / "data"))
    targets = [own, replace(own, dataset="speech/savee")]
    assert matrix.run([str(other), str(here / "run")], targets, str(tmp_path)) == 1
    said = capsys.readouterr()
    assert "no prepared dataset speech/savee" in said.err
    table = pd.read_csv(tmp_path / "matrix.csv").query("line == 'run'").set_index("source")
    assert len(table) == 4
    (row,) = table.loc["run"].query("target == 'speech/folder'").to_dict("records")
    assert row["own_splits"]
    assert row["uar"] == 0.5
    saved = json.loads((tmp_path / "tiny_on_folder" / "results.json").read_text())
    (row,) = table.loc["tiny"].query("target == 'speech/folder'").to_dict("records")
    assert row["uar"] == pytest.approx(saved["mean"]["uar"], abs=1e-6)
    assert "| tiny (speech/made_up) | " in (tmp_path / "matrix.md").read_text()
    assert (tmp_path / "matrix.html").read_text().count('class="hit') == 1
    of_another = matrix._cell("run", model_of(here / "run"), there, tmp_path / "another")
    assert not of_another.own  # though it has the same name
    mapped = [replace(there, renamed={"cross": "anger", "wry": "joy"}), targets[1]]
    with pytest.raises(ValueError, match="--map names wry, which no test above has on both sides"):
        matrix.run([str(other), str(here / "run")], mapped, str(tmp_path / "mapped"))
    assert (tmp_path / "mapped" / "matrix.csv").is_file()  # what was tested is told
    with pytest.raises(ValueError, match="--out=DIR is missing"):
        matrix.run([str(other), str(here / "run")], targets, None)
