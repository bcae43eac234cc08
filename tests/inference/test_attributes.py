"""A run that has learnt attributes, beside classes or alone: in Python, on the command line."""

import csv
import io
import json

import numpy as np
import pytest

import sersl_jax
from sersl_jax import export, predict
from sersl_jax.inference.prediction import Prediction
from sersl_jax.tasks import Attribute, Task
from tests.trained_run import CLASSES, babble, config, write_run, write_wav

EMOTION, AROUSAL = Task("emotion", CLASSES), Attribute("arousal", 1.0, 7.0)
SEX = Task("sex", ("female", "male"))


def write(path, *tasks):
    """A run of these tasks beside a helper."""
    chosen = config()
    chosen.finetune.tasks = {task.name: 1.0 for task in tasks}
    chosen.finetune.update({"helpers": {"sex": 0.1}, "select": "loss"})
    return write_run(path, chosen, ("0", "1"), (*tasks, SEX))


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    return write(tmp_path_factory.mktemp("runs") / "both", EMOTION, AROUSAL)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return write(
        tmp_path_factory.mktemp("runs") / "alone", AROUSAL, Attribute("valence", -1.0, 1.0)
    )


@pytest.fixture
def say(capsys, tmp_path):
    """What the command prints for a recording of 3 s."""
    path = write_wav(tmp_path / "a.wav", babble(3.0))

    def call(run, **options):
        assert predict.run([str(path)], predict.Options(str(run), **options)) == 0
        return capsys.readouterr().out

    return call


def test_attributes_stand_beside_the_classes(both):
    recognizer = sersl_jax.load(both)
    found = recognizer.predict(babble(2.0), 16_000)
    assert recognizer.attributes == {"arousal": (1.0, 7.0)}
    assert [*found.probabilities] == [*CLASSES]
    assert sum(found.probabilities.values()) == pytest.approx(1, abs=1e-5)
    each = [recognizer.predict(babble(2.0), 16_000, members=m).attributes for m in "01"]
    assert found.attributes["arousal"] == pytest.approx(np.mean([e["arousal"] for e in each]))
    plain = write_run(both.parent / "plain", config(), ("0", "1"), (EMOTION, AROUSAL, SEX))
    expected = sersl_jax.load(plain).predict(babble(2.0), 16_000)
    assert expected.attributes == {}
    assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-6)


def test_a_timeline_of_attributes_alone(alone):
    windows = sersl_jax.load(alone).timeline(babble(4.0), 16_000)
    assert len(windows) == 5
    assert {(w.label, *w.attributes) for w in windows} == {("", "arousal", "valence")}
    assert len({w.attributes["arousal"] for w in windows}) == 5
    long = sersl_jax.load(alone).predict(np.tile(babble(4.0), 8), 16_000)  # mean over windows
    assert -20 < long.attributes["valence"] < 20


def test_text_of_both(both, alone, say):
    (row,) = json.loads(say(both, format="json"))
    assert [*row] == ["file", "label", "probabilities", "attributes"]
    (row,) = csv.DictReader(io.StringIO(say(both, format="csv")))
    assert [*row] == ["file", "label", *(f"p_{name}" for name in CLASSES), "arousal"]
    (row,) = json.loads(say(alone, format="json"))
    assert [*row] == ["file", "attributes"]
    rows = list(csv.DictReader(io.StringIO(say(alone, format="csv", timeline=True))))
    assert [*rows[0]] == ["file", "start", "end", "arousal", "valence"]
    head, line = say(alone).splitlines()
    assert head.split() == ["arousal", "valence", "file"]
    assert float(line.split()[0]) == pytest.approx(float(json.loads(
        say(alone, format="json"))[0]["attributes"]["arousal"]), abs=0.006)  # fmt: skip


def test_an_export_keeps_attributes_and_scales(both, tmp_path):
    pytest.importorskip("safetensors", reason="needs the extra export")
    export.run(str(both), out=tmp_path / "out")
    found = sersl_jax.load(tmp_path / "out")
    expected = sersl_jax.load(both).predict(babble(2.0), 16_000)
    assert found.attributes == {"arousal": (1.0, 7.0)}
    assert found.predict(babble(2.0), 16_000).attributes == pytest.approx(expected.attributes)
    assert "arousal (1 to 7)" in (tmp_path / "out" / "README.md").read_text()


def test_serve_draws_a_curve_of_attributes():
    pytest.importorskip("matplotlib", reason="needs the extra demo")
    from sersl_jax.inference import drawing

    values = {"arousal": 4.0, "valence": 2.0}
    windows = [Prediction("", {}, s, s + 2.0, np.zeros(2), (), values) for s in (0.0, 0.5, 1.0)]
    figure = drawing.draw(babble(3.0), windows)
    assert [axes.get_ylabel() for axes in figure.axes] == ["waveform", "Hz", "attribute"]
    assert [line.get_label() for line in figure.axes[-1].lines] == ["arousal", "valence"]
