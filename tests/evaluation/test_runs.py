import json
import shutil

import pandas as pd
import pytest

from sersl_jax import checksums
from sersl_jax.evaluation import comparable
from sersl_jax.evaluation import runs as finished
from sersl_jax.evaluation.comparison import compare


@pytest.fixture
def altered(runs, tmp_path):
    """A copy of a run to spoil: `altered(results=change)` or `altered(predictions=change)`."""

    def alter(results=None, predictions=None):
        path = tmp_path / "altered"
        shutil.copytree(runs["wav2vec2"], path)
        saved = json.loads((path / "results.json").read_text())
        if results:
            results(saved)
        if predictions:
            table = predictions(pd.read_csv(path / "predictions.csv"))
            table.to_csv(path / "predictions.csv", index=False)
            saved["predictions_sha256"] = checksums.digest(path / "predictions.csv")
        (path / "results.json").write_text(json.dumps(saved))
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
            lambda saved: saved["label_rule"].update(source="multimodal"),
            None,
            "label rule source=intended against source=multimodal",
        ),
        (
            lambda saved: saved["config"].update(data={"normalise": "speaker"}),
            None,
            "data.normalise=train against speaker",
        ),
        (spoil_speakers, None, "split 2: train speakers .*zoe in one only"),
        (None, lambda table: table.assign(split=table["split"] + 9), "have no split in common"),
        (None, lambda table: table.drop(index=0), "clip .* is tested in one only .1 clips"),
        (
            None,
            lambda table: table.assign(speaker_id="actor" + table["speaker_id"].astype(str)),
            "is spoken by .* against actor",
        ),
        (None, relabel, "is labelled .* against fear .1 labels differ"),
        (None, lambda table: table.drop(columns="label"), "predictions.csv has no column label"),
        (None, lambda table: table.assign(prediction="joy"), "joy: none of the classes"),
        (None, lambda table: pd.concat([table, table[:1]]), "stands twice in split 0"),
    ],
)
def test_what_differs_is_refused_and_named(runs, altered, results, predictions, message):
    with pytest.raises(ValueError, match=message):
        comparable.read_all([runs["ssl1"], altered(results, predictions)])


def test_an_unfinished_run_is_named(runs, tmp_path):
    (tmp_path / "predictions.csv").write_text("")
    with pytest.raises(FileNotFoundError, match=r"results.json does not exist: .* not finished"):
        comparable.read_all([runs["ssl1"], tmp_path])
    (tmp_path / "results.json").write_text("[]")
    with pytest.raises(ValueError, match=r"results.json is no results.json of a run"):
        comparable.read_all([runs["ssl1"], tmp_path])
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist: name a finished run"):
        comparable.read_all([tmp_path / "nowhere"])


def test_predictions_of_other_software(runs, tmp_path):
    """The four columns are enough; the speakers come from the run beside it."""
    table = pd.read_csv(runs["wav2vec2"] / "predictions.csv")
    foreign = tmp_path / "other.csv"
    columns = ["label", "prediction", "clip", "split"]
    table.sample(frac=1, random_state=0)[columns].to_csv(foreign, index=False)
    read = comparable.read_all([foreign, runs["ssl1"]])
    assert read[0].classes == read[1].classes
    assert read[0].name == "other"
    ours = compare(read, metric="uar").contests[0]
    direct = compare(comparable.read_all([runs["wav2vec2"], runs["ssl1"]]), metric="uar").contests[
        0
    ]
    assert ours.difference == pytest.approx(direct.difference)
    assert ours.interval == pytest.approx(direct.interval)
    assert ours.corrected_t == pytest.approx(direct.corrected_t)


def test_the_splits_that_all_runs_have_are_compared(runs, altered):
    """As if the longer run had ended where the shorter one is: its reference lines, too."""
    path = altered(first_splits, lambda table: table[table["split"] < 4])
    long, short = comparable.read_all([runs["ssl1"], path])
    assert long.splits == short.splits == ["0", "1", "2", "3"]
    assert (long.left_out, short.left_out) == (2, 0)
    whole = finished.read(runs["ssl1"])
    assert long.scores["macro_f1"] == pytest.approx(whole.scores["macro_f1"][:4])
    for name, line in long.results["baselines"].items():
        entries = whole.results["baselines"][name]["splits"][:4]
        mean = sum(entry["metrics"]["uar"] for entry in entries) / 4
        assert line["mean"]["uar"] == pytest.approx(mean)
    assert len(compare([long, short]).contests) == 1


def test_a_line_of_other_splits_does_not_stand_beside_common_ones(runs, altered):
    def spoil(saved):
        saved["baselines"]["svm"]["splits"].pop()

    short = altered(first_splits, lambda table: table[table["split"] < 4])
    long = short.rename(short.with_name("short"))
    spoilt = altered(spoil)
    lines = comparable.read_all([spoilt, long])[0].results["baselines"]
    assert list(lines) == ["svm_unweighted"]


def first_splits(saved):
    saved["splits"] = saved["splits"][:4]
    for line in saved["baselines"].values():
        line["splits"] = line["splits"][:4]


def test_runs_of_other_settings_are_in_groups_of_their_own(runs, altered):
    """Other software's predictions go where their labels fit."""

    def voted(saved):
        saved["label_rule"] = {"source": "multimodal"}

    other = altered(voted, relabel)
    foreign = other.with_name("foreign.csv")
    pd.read_csv(other / "predictions.csv").to_csv(foreign, index=False)
    groups = comparable.read_apart([foreign, runs["ssl1"], other, runs["supervised"]])
    assert [[run.path for run in group] for group in groups] == [
        [runs["ssl1"], runs["supervised"]],
        [foreign, other],
    ]


def test_a_seed_of_ties_does_not_tell_intended_emotions_apart(runs, altered):
    path = altered(lambda saved: saved["label_rule"].update(seed=7, ties="drop"))
    assert len(comparable.read_all([runs["ssl1"], path])) == 2


def test_scores_from_predictions_are_those_of_results_json(runs):
    run = finished.read(runs["ssl1"])
    for position, name in enumerate(run.splits):
        entry = next(e for e in run.results["splits"] if str(e["seed"]) == name)
        for metric, value in entry["metrics"].items():
            assert run.scores[metric][position] == pytest.approx(value)
