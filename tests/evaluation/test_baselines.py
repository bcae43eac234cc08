import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sersl_jax.corpora import crema_d
from sersl_jax.evaluation import baselines, label_rule, metrics, results, votes
from sersl_jax.evaluation.protocol import create_splits


def test_functionals_of_a_ramp():
    llds = np.tile(np.arange(101.0)[:, None], (1, 130)).astype(np.float32)
    values = baselines.functionals(llds).reshape(4, 130)
    np.testing.assert_allclose(values[:, 0], [50, np.std(np.arange(101)), 10, 90], rtol=1e-6)
    assert (values == values[:, :1]).all()


def test_the_svm_finds_what_is_there_and_sees_no_test_speaker(corpus):
    clips = corpus.clips
    targets = results.as_index(clips["label"], sorted(set(clips["label"])))
    features = np.random.default_rng(0).normal(size=(len(clips), 12)).astype(np.float32)
    features[:, :6] += 2.5 * np.eye(6, dtype=np.float32)[targets]
    rows = baselines.svm_predictions(features, clips, corpus.splits[:2])
    for lines in rows.values():
        assert results.score(lines, sorted(set(clips["label"])))["mean"]["macro_f1"] > 0.8
    # Whatever a test clip holds has no influence on another test clip's answer.
    test = corpus.splits[0].indices("test", list(clips["speaker_id"]))
    features[test[1:]] = 1e3
    again = baselines.svm_predictions(features, clips, corpus.splits[:1])
    assert again["svm"]["prediction"][0] == rows["svm"]["prediction"][0]


def test_the_kernel_is_that_of_scikit_learns_own_pipeline(monkeypatch):
    rng = np.random.default_rng(0)
    features = rng.normal(3, 5, size=(120, 8)).astype(np.float32)
    targets = (features[:, 0] > 3).astype(np.int64) + (features[:, 1] > 3)
    train, validation, test = np.split(np.arange(120), [60, 90])
    monkeypatch.setattr(baselines, "PENALTIES", (3.0,))
    ours = baselines.svm(features, targets, train, validation, test)
    assert (ours["svm"] != ours["svm_unweighted"]).any()
    for name, weights in (("svm", "balanced"), ("svm_unweighted", None)):
        reference = make_pipeline(StandardScaler(), SVC(C=3.0, class_weight=weights))
        reference.fit(features[train], targets[train])
        np.testing.assert_array_equal(ours[name], reference.predict(features[test]))


def test_each_svm_is_chosen_by_its_own_metric(monkeypatch):
    """Of two machines one is better in accuracy, the other in macro F1."""
    known = np.array([0] * 8 + [1] * 2)
    answers = {1.0: np.zeros(10, int), 3.0: np.array([1] * 5 + [0] * 3 + [1] * 2)}
    monkeypatch.setattr(baselines, "PENALTIES", tuple(answers))

    class Machine:
        def __init__(self, C, kernel, class_weight):  # noqa: N803 (scikit-learn's name)
            self.penalty = C

        def fit(self, kernel, targets):
            return self

        def predict(self, kernel):
            return answers[self.penalty]

    monkeypatch.setattr("sklearn.svm.SVC", Machine)
    kernels = [np.zeros((10, 10))] * 3
    for name, penalty in (("svm", 3.0), ("svm_unweighted", 1.0)):
        found = baselines.fit(kernels, known, known, *baselines.SVMS[name])
        np.testing.assert_array_equal(found, answers[penalty])


def test_one_class_is_always_answered():
    kernels = [np.ones((size, 4)) for size in (4, 2, 3)]
    answers = baselines.fit(kernels, np.full(4, 2), np.array([2, 1]), None, "micro_f1")
    assert answers.tolist() == [2, 2, 2]


def test_ridge_is_scikit_learns_and_chooses_on_validation():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 30))
    y = x[:, 0] + 0.5 * rng.normal(size=90)
    y[5] = np.nan
    train, validation, test = np.arange(50), np.arange(50, 70), np.arange(70, 90)
    z = StandardScaler().fit(x[train]).transform(x)
    known = np.setdiff1d(train, [5])
    answers = {s: Ridge(alpha=s).fit(z[known], y[known]) for s in baselines.STRENGTHS}

    def answer(model, rows):
        return np.clip(model.predict(z[rows]), y[known].min(), y[known].max())

    def ccc(model):
        a, b = answer(model, validation), y[validation]
        return 2 * np.cov(a, b, ddof=0)[0, 1] / (a.var() + b.var() + (a.mean() - b.mean()) ** 2)

    best = max(answers, key=lambda s: ccc(answers[s]))
    found = baselines.ridge(x, y, train, validation, test)
    np.testing.assert_allclose(found, answer(answers[best], test), rtol=1e-8)
    assert baselines.ridge(1000 * x, y, train, validation, test).max() <= np.nanmax(y[train])
    assert not baselines.ridge(x, np.full(90, np.nan), train, validation, test).any()
    y[validation] = np.nan  # nothing to choose on
    first = answer(answers[baselines.STRENGTHS[0]], test)
    np.testing.assert_allclose(baselines.ridge(x, y, train, validation, test), first, rtol=1e-8)


def test_lines_of_a_run(runs):
    saved = json.loads((runs["ssl1"] / "results.json").read_text())
    predictions = pd.read_csv(runs["ssl1"] / "predictions.csv")
    lines = baselines.reference_lines(predictions, saved, saved["classes"])
    assert list(lines) == ["svm", "svm_unweighted", "crowd", "majority"]
    assert lines["crowd"]["mean"]["macro_f1"] > lines["majority"]["mean"]["macro_f1"]
    assert lines["majority"]["mean"]["uar"] == pytest.approx(1 / 6)


def test_no_crowd_where_its_own_votes_are_the_label(runs):
    saved = json.loads((runs["ssl1"] / "results.json").read_text())
    predictions = pd.read_csv(runs["ssl1"] / "predictions.csv")
    for source in ("voice", "corpus"):
        lines = baselines.reference_lines(
            predictions, saved | {"label_rule": {"source": source}}, saved["classes"]
        )
        assert "crowd" not in lines


def test_lines_without_votes_or_counts(runs):
    predictions = pd.read_csv(runs["ssl1"] / "predictions.csv").drop(columns="votes_voice")
    assert list(baselines.reference_lines(predictions, {}, results.class_names(predictions))) == [
        "majority"
    ]


def test_crema_d_reference_lines(shared_data: Path):
    """Majority 28.0 accuracy, 7.3 macro F1; the crowd 55.7, 50.1 UAR, 51.9 F1."""
    clips = crema_d.clips(shared_data / "crema_d")
    names, classes = [clip.id for clip in clips], list(crema_d.CLASSES)
    rated = {
        kind: np.array([clip.votes[kind] for clip in clips], float) for kind in label_rule.VOTES
    }
    heard = [votes.write(row, classes) for row in rated["voice"]]
    crowds, speakers = [], [clip.speaker_id for clip in clips]
    for seed in range(3):
        label = np.array(classes)[label_rule.apply(rated["multimodal"], names, seed=seed)]
        columns = {"split": 0, "clip": names, "speaker_id": speakers, "label": label}
        frame = pd.DataFrame(columns | {"votes_voice": heard})
        crowds.append(results.score(baselines.crowd(frame, classes, seed), classes)["mean"])
    found = {name: 100 * np.mean([line[name] for line in crowds]) for name in metrics.METRICS}
    assert found["micro_f1"] == pytest.approx(55.7, abs=0.3)
    assert found["uar"] == pytest.approx(50.1, abs=0.3)
    assert found["macro_f1"] == pytest.approx(51.9, abs=0.3)
    line = results.score(baselines.majority(frame, {}), classes)["mean"]
    assert line["micro_f1"] == pytest.approx(0.280, abs=0.005)
    assert line["macro_f1"] == pytest.approx(0.073, abs=0.002)


def test_crema_d_paper_splits_are_near_70_15_15(shared_data: Path):
    clips = crema_d.clips(shared_data / "crema_d")
    for split in create_splits("paper", [clip.speaker_id for clip in clips], 20):
        sides = (len(split.train), len(split.validation), len(split.test))
        assert sides in {(63, 14, 14), (64, 13, 14), (64, 14, 13), (65, 13, 13)}
