import json
import shutil

import pandas as pd
import pytest

from sersl_jax.evaluation import runs as finished
from sersl_jax.evaluation.comparison import compare


@pytest.fixture
def altered(runs, tmp_path):
    """A copy of a run to spoil: `altered(results=change)` or `altered(predictions=change)`."""

    def alter(results=None, predictions=None):
        path = tmp_path / "altered"
        shutil.copytree(runs["wav2vec2"], path)
        if results:
            saved = json.loads((path / "results.json").read_text())
            results(saved)
            (path / "results.json").write_text(json.dumps(saved))
        if predictions:
            table = predictions(pd.read_csv(path / "predictions.csv"))
            table.to_csv(path / "predictions.csv", index=False)
        return path

    return alter


def spoil_speakers(saved):
    split = saved["splits"][2]
    split["speakers"]["train"][0] = "zoe"
    split["hash"] = "other"


def relabel(table):
    return table.assign(label=table["label"].where(table.index != 0, "fear"))


@pytest.mark.parametrize(
    ("results", "predictions", "message"),
    [
        (lambda saved: saved.update(protocol="hicmae"), None, "protocol paper against hicmae"),
        (
            lambda saved: saved["label_rule"].update(ties="drop"),
            None,
            "label rule ties=random against ties=drop",
        ),
        (spoil_speakers, None, "split 2: train speakers .*zoe in one only"),
        (None, lambda table: table[table["split"] < 4], "altered has no split 4, 5"),
        (None, lambda table: table.drop(index=0), "clip .* is tested in one only .1 clips"),
        (
            None,
            lambda table: table.assign(speaker_id="actor" + table["speaker_id"].astype(str)),
            "is spoken by .* against actor",
        ),
        (None, relabel, "is labelled .* against fear .1 labels differ"),
        (None, lambda table: table.drop(columns="label"), "predictions.csv has no column label"),
        (None, lambda table: table.assign(prediction="joy"), "has the class joy, which is none of"),
        (None, lambda table: pd.concat([table, table[:1]]), "stands twice in split 0"),
    ],
)
def test_what_differs_is_refused_and_named(runs, altered, results, predictions, message):
    with pytest.raises(ValueError, match=message):
        finished.read_all([runs["ssl1"], altered(results, predictions)])


def test_an_unfinished_run_is_named(runs, tmp_path):
    (tmp_path / "predictions.csv").write_text("")
    with pytest.raises(FileNotFoundError, match=r"results.json does not exist: .* not finished"):
        finished.read_all([runs["ssl1"], tmp_path])
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist: name a finished run"):
        finished.read_all([tmp_path / "nowhere"])


def test_predictions_of_other_software(runs, tmp_path):
    """The four columns are enough; the speakers come from the run beside it."""
    table = pd.read_csv(runs["wav2vec2"] / "predictions.csv")
    foreign = tmp_path / "other.csv"
    columns = ["label", "prediction", "clip", "split"]
    table.sample(frac=1, random_state=0)[columns].to_csv(foreign, index=False)
    read = finished.read_all([foreign, runs["ssl1"]])
    assert read[0].classes == read[1].classes
    assert read[0].name == "other"
    ours = compare(read, metric="uar").contests[0]
    direct = compare(finished.read_all([runs["wav2vec2"], runs["ssl1"]]), metric="uar").contests[0]
    assert ours.difference == pytest.approx(direct.difference)
    assert ours.interval == pytest.approx(direct.interval)
    assert ours.corrected_t == pytest.approx(direct.corrected_t)


def test_scores_from_predictions_are_those_of_results_json(runs):
    run = finished.read(runs["ssl1"])
    for position, name in enumerate(run.splits):
        entry = next(e for e in run.results["splits"] if str(e["seed"]) == name)
        for metric, value in entry["metrics"].items():
            assert run.scores[metric][position] == pytest.approx(value)
