import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from sersl_jax import files
from sersl_jax.evaluation import results
from sersl_jax.evaluation.label_rule import LabelRule
from sersl_jax.evaluation.metrics import METRICS
from sersl_jax.evaluation.protocol import Split
from sersl_jax.reports import text


def write_tiny(tmp_path, **columns):
    frame = pd.DataFrame(
        {"split": 0, "clip": ["c1", "c2"], "speaker_id": "c", "label": ["sad", "joy"]}
        | {"prediction": ["sad", "sad"]}
        | columns
    )
    corpus = pd.DataFrame({"clip": ["c1", "c2"], "speaker_id": "c", "label": ["sad", "joy"]})
    split = Split(0, ("a",), ("b",), ("c",))
    return results.write(tmp_path, frame, [split], {}, "paper", {}, {}, corpus=corpus)


def test_scikit_learn_finds_the_figures_of_results_json_in_predictions_csv(runs):
    saved = json.loads((runs["ssl1"] / "results.json").read_text())
    frame = pd.read_csv(runs["ssl1"] / "predictions.csv", dtype={"split": str})
    rows = []
    for entry in saved["splits"]:
        part = frame[frame["split"] == str(entry["seed"])]
        assert sorted(set(part["speaker_id"].astype(str))) == entry["speakers"]["test"]
        label, prediction, classes = part["label"], part["prediction"], saved["classes"]
        np.testing.assert_array_equal(
            entry["confusion"], confusion_matrix(label, prediction, labels=classes)
        )
        for average in ("macro", "micro"):
            reference = precision_recall_fscore_support(
                label, prediction, labels=classes, average=average, zero_division=0
            )
            ours = [entry["metrics"][f"{average}_{m}"] for m in ("precision", "recall", "f1")]
            assert ours == pytest.approx(reference[:3])
        rows.append(entry["metrics"])
    for name in METRICS:
        assert saved["mean"][name] == pytest.approx(np.mean([row[name] for row in rows]))
        assert saved["sd"][name] == pytest.approx(np.std([row[name] for row in rows], ddof=1))


def test_every_result_says_what_it_is(runs, corpus):
    saved = json.loads((runs["ssl1"] / "results.json").read_text())
    assert saved["protocol"] == "paper"
    assert saved["label_rule"]["source"] == "intended"
    for entry, split in zip(saved["splits"], corpus.splits, strict=True):
        assert entry["hash"] == split.hash
        counted = sum(sum(side.values()) for side in entry["num_clips"].values())
        assert counted == len(corpus.clips)
    assert list(pd.read_csv(runs["ssl1"] / "predictions.csv").columns)[:5] == list(results.COLUMNS)


def test_the_table_shows_the_papers_figures(runs):
    printed = text.table(json.loads((runs["ssl1"] / "results.json").read_text()))
    assert "6 splits" in printed
    assert [line.split("  ")[0] for line in printed.splitlines()[-3:-1]] == [
        "SVM, balanced", "SVM, unweighted",
    ]  # fmt: skip
    paper_row = next(line for line in printed.splitlines() if line.startswith("paper"))
    assert paper_row.split()[1:] == ["59.7", "57.9", "57.0", "57.7", "57.7", "57.7", "57.9"]


def test_the_papers_figures_stand_beside_its_own_corpus_alone(runs):
    saved = json.loads((runs["ssl1"] / "results.json").read_text())
    saved["config"]["finetune"]["dataset"] = "speech/folder"
    assert not [line for line in text.table(saved).splitlines() if line.startswith("paper")]


@pytest.mark.parametrize("source", ["multimodal", "voice"])
def test_beside_another_label_a_line_says_where_the_papers_figures_are(runs, source):
    saved = json.loads((runs["ssl1"] / "results.json").read_text())
    assert "left out" not in text.table(saved)
    saved["label_rule"] = LabelRule(source).stamp()
    lines = text.table(saved).splitlines()
    assert not [line for line in lines if line.startswith("paper")]
    assert lines[-1].startswith("the paper's figures are left out: they belong to the intended")
    assert lines[-1].endswith(f"this is the {source} label")
    saved["config"]["name"] = "mine"
    assert "left out" not in text.table(saved)


def test_the_scope_of_normalisation_is_stamped(runs):
    saved = json.loads((runs["ssl1"] / "results.json").read_text())
    assert "LLDs z-normalised by the training speakers" in text.table(saved)
    saved["config"]["data"] = {"normalise": "speaker"}
    assert "LLDs z-normalised by each speaker's own clips" in text.table(saved)
    saved["config"]["model"]["embed"] = "waveform"
    assert "LLDs" not in text.table(saved)


def test_one_split_has_no_sd_and_the_table_says_so(tmp_path):
    written = write_tiny(tmp_path)
    assert written["sd"]["macro_f1"] is None
    assert json.loads((tmp_path / "results.json").read_text()) == written
    sd_row = next(line for line in text.table(written).splitlines() if line.startswith("sd"))
    assert sd_row.split()[1:] == ["-"] * 7


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"clip": ["c1", "c1"]}, "split 0: clip c1 was scored twice"),
        ({"clip": ["c1", "c3"]}, "split 0: 2 clips, c2 among them"),
        ({"split": 7}, r"splits \['7'\], not \[0\]"),
    ],
)
def test_every_test_clip_is_scored_exactly_once(tmp_path, columns, message):
    with pytest.raises(ValueError, match=message):
        write_tiny(tmp_path, **columns)
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")

    def half(temporary):
        temporary.write_text("ne")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        files.write_atomically(path, half)
    assert path.read_text() == "old"
