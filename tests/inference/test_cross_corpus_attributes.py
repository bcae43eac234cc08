"""A run that has learnt attributes, tested on a corpus of another scale."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import sersl_jax
from sersl_jax import compare
from sersl_jax.datasets import preparation
from sersl_jax.inference import matrix
from sersl_jax.inference.cross_corpus import evaluate
from sersl_jax.inference.target import Target, read_model
from sersl_jax.tasks import Attribute, Task
from tests.inference.test_cross_corpus import write_corpus
from tests.trained_run import CLASSES, config, write_info, write_run

EMOTION, AROUSAL = Task("emotion", CLASSES), Attribute("arousal", 1.0, 5.0)
VALENCE = Attribute("valence", -1.0, 1.0)
PEOPLE = ("b0", "b1", "b2", "b3")


def prepared(root, name, people, first, numbers) -> Target:
    """A folder of clips whose `labels.csv` has the columns `numbers` of each row."""
    corpus = write_corpus(root / name, people, CLASSES, first=first)
    table = pd.read_csv(corpus / "labels.csv")
    for column, values in numbers.items():
        table[column] = values[: len(table)]
    if "label" in numbers:
        table = table.drop(columns="label")
    table.to_csv(corpus / "labels.csv", index=False)
    preparation.prepare("speech/folder", corpus, root / "data", workers=1)
    return Target("speech/folder", data_dir=str(root / "data"), trained_data_dir="nowhere")


@pytest.fixture(scope="module")
def there(tmp_path_factory) -> Target:
    """From 0 to 6, which a folder's numbers span, one clip without a number."""
    arousal = ["0", "6", "", *"1234512345"]
    return prepared(tmp_path_factory.mktemp("there"), "there", PEOPLE, 50, {"arousal": arousal})


def run_of(tmp_path, *tasks, **changes):
    chosen = config()
    chosen.finetune.tasks = {task.name: 1.0 for task in tasks}
    chosen.finetune.update({"select": "loss", **changes})
    return write_run(tmp_path / "run", chosen, ("3", "8"), tasks)


def test_predictions_are_mapped_from_scale_to_scale(there, tmp_path):
    run = run_of(tmp_path, EMOTION, AROUSAL, VALENCE, select="ccc")
    saved = evaluate(read_model(str(run)), there, tmp_path / "out")
    assert saved["attributes"] == {
        "arousal": {"scale": [0.0, 6.0], "loss": "ccc", "trained_scale": [1.0, 5.0]}
    }
    assert saved["classes"] == list(CLASSES)
    rows = pd.read_csv(tmp_path / "out" / "predictions.csv", dtype={"split": str})
    assert [*rows.columns[:9]] == [
        "split", "clip", "speaker_id", "label", "prediction", *(f"p_{c}" for c in CLASSES),
        "predicted_arousal",
    ]  # fmt: skip
    recognizer = sersl_jax.load(run)
    media = f"{there.data_dir}/../there/media"
    (found,) = recognizer.predict_all([f"{media}/there03.wav"], members="8")
    (row,) = rows[(rows["clip"] == "there03") & (rows["split"] == "8")].to_dict("records")
    own = found.attributes["arousal"]
    assert row["predicted_arousal"] == pytest.approx(6 * (own - 1) / 4, abs=1e-4)
    known = rows[(rows["split"] == "3") & rows["arousal"].notna()]
    assert len(known) == 11
    y, x = known["arousal"].to_numpy(), known["predicted_arousal"].to_numpy()
    metrics = saved["splits"][0]["metrics"]
    assert metrics["mae_arousal"] == pytest.approx(np.abs(x - y).mean(), abs=1e-5)
    assert metrics["pearson_arousal"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-5)
    said = saved["evaluated"]["notes"]
    assert "arousal: 1 to 5 are mapped linearly onto 0 to 6, the scale of speech/folder" in said
    assert "left out: valence, which speech/folder does not have" in said
    assert "CCC of arousal" in said[-1]
    assert "ccc_arousal" in saved["evaluated"]["averaged"]
    assert "trained_scale" in (tmp_path / "out" / "results.json").read_text()


def test_attributes_alone_with_their_line_are_compared_and_tabled(there, tmp_path, capsys):
    people = tuple(f"a{number}" for number in range(5))
    numbers = {"arousal": ["1", "5", *"2342342342342"], "label": [""] * 15}
    home = prepared(tmp_path, "home", people, 0, numbers)
    run = run_of(tmp_path, AROUSAL)
    (file,) = run.glob("finetune/0-1/*/info/metadata")
    info = json.loads(file.read_text())
    info["dataset"]["name"] = "speech/folder"
    info["speakers"] = [
        {"train": list(p[:3]), "validation": [p[3]]} for p in (people, people[::-1])
    ]
    write_info(file, **info)
    own = replace(there, trained_data_dir=home.data_dir)
    saved = evaluate(read_model(str(run)), own, tmp_path / "out")
    assert saved["label_rule"] == {"source": "attributes", "attributes": "arousal"}
    assert saved["classes"] == saved["evaluated"]["classes"] == []
    assert {*saved["baselines"]} == {"ridge"}
    assert 0 < saved["baselines"]["ridge"]["mean"]["mae_arousal"] < 6
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Ridge regression" in page
    assert "mapped linearly" in page
    compare.run([str(tmp_path / "out")], out=str(tmp_path))
    assert "Ridge regression" in capsys.readouterr().out
    other = replace(own, dataset="speech/savee")
    assert matrix.run([str(run)], [own, other], str(tmp_path / "table")) == 1
    assert "CCC arousal" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "table" / "matrix.csv")
    assert table["ccc_arousal"].notna().sum() == 2
    assert "CCC arousal" in (tmp_path / "table" / "matrix.html").read_text()
    with pytest.raises(ValueError, match=r"--map names classes: .*run is tested on attributes"):
        evaluate(read_model(str(run)), replace(own, renamed={"joy": "joy"}), tmp_path / "mapped")


def test_a_corpus_without_the_attributes_is_refused_in_a_line(there, tmp_path):
    model = read_model(str(run_of(tmp_path, VALENCE)))
    said = r"run has learnt valence: speech/folder knows emotion, arousal$"
    with pytest.raises(ValueError, match=said):
        evaluate(model, there, tmp_path / "out")
