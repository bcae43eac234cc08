import json

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import entropy

from sersl_jax.evaluation import calibration, comparable, comparison, label_rule, results, votes
from sersl_jax.evaluation.protocol import Split
from sersl_jax.reports import run as report
from sersl_jax.reports import tables, text
from tests.evaluation.made_up_runs import predictions

RULE = {"source": "multimodal", "targets": "soft", "ties": "random", "seed": 0}


def test_votes_survive_the_file():
    classes, rated = ["a b", "c:d", "e"], np.array([1.0, 0, 5])
    said = votes.write(rated, classes)
    assert said == "e:5;a b:1"
    np.testing.assert_array_equal(votes.read(said, classes), rated)
    columns = votes.columns(np.array([[[1.0, 0, 5], [0, 0, 0], [0, 0, 0]]]), classes)
    assert columns == {"votes_multimodal": ["e:5;a b:1"]}


def test_both_equal_scipys():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(6), 50)
    counts = rng.integers(0, 4, (50, 6)) + np.eye(6, dtype=int)[0]
    shares = counts / counts.sum(axis=1, keepdims=True)
    crossed = [entropy(s, q) + entropy(s) for s, q in zip(shares, p, strict=True)]
    np.testing.assert_allclose(votes.cross_entropy(shares, p), crossed, rtol=1e-10)
    apart = jensenshannon(shares, p, base=2, axis=1) ** 2
    np.testing.assert_allclose(votes.jensen_shannon(shares, p), apart, rtol=1e-10)


def test_a_temperature_is_fitted_to_shares():
    shares = np.random.default_rng(0).dirichlet(np.ones(4), 100)
    assert calibration.fit_temperature(3 * np.log(shares), shares) == pytest.approx(3, rel=1e-3)
    classes = shares.argmax(axis=1)
    hard = calibration.fit_temperature(shares, classes)
    assert hard == pytest.approx(calibration.fit_temperature(shares, np.eye(4)[classes]))


def test_one_vote_no_probability_and_certainty():
    shares = np.array([[1.0, 0, 0], [1, 0, 0], [0.5, 0.5, 0]])
    p = np.array([[1.0, 0, 0], [0, 0, 1], [0.5, 0.5, 0]])
    np.testing.assert_allclose(
        votes.cross_entropy(shares, p), [0.0, -np.log(1e-12), np.log(2)], atol=1e-12
    )
    np.testing.assert_allclose(votes.jensen_shannon(shares, p), [0.0, 1.0, 0.0], atol=1e-12)


def rows(**changes):
    columns = {
        "split": ["0", "0", "1"],
        "votes_multimodal": ["sad:1;joy:1", "", "joy:3"],
        "p_joy": [0.5, 0.1, 0.8],
        "p_sad": [0.5, 0.9, 0.2],
    }
    return pd.DataFrame(columns | changes)


def test_clips_without_votes_do_not_count():
    first, second = votes.metrics_of(rows(), RULE, ["joy", "sad"], ["0", "1"])
    assert first == pytest.approx({"cross_entropy": np.log(2), "jensen_shannon": 0.0})
    assert second["cross_entropy"] == pytest.approx(-np.log(0.8))


@pytest.mark.parametrize(
    ("rule", "classes", "changes"),
    [
        ({"source": "intended"}, ["joy", "sad"], {}),
        ({"source": "corpus"}, ["joy", "sad"], {}),
        ({"source": "voice"}, ["joy", "sad"], {}),  # no such column
        (RULE, ["joy", "sad", "calm"], {}),  # a class without a probability
        (RULE, [], {}),
        (RULE, ["joy", "sad"], {"votes_multimodal": ["sad:1", "", ""]}),  # none in split 1
    ],
)
def test_where_they_mean_nothing_they_are_left_out(rule, classes, changes):
    assert votes.metrics_of(rows(**changes), rule, classes, ["0", "1"]) == [{}, {}]


@pytest.fixture(scope="module")
def voted(corpus, tmp_path_factory):
    """Two runs on the voted label."""
    root, made = tmp_path_factory.mktemp("voted"), []
    for name, skill in {"supervised": 1.0, "best": 2.5}.items():
        settings = {"name": name, "finetune": {"epochs": 1}}
        frame = predictions(corpus, skill, len(name))
        stamp = label_rule.LabelRule().stamp()
        results.write(root / name, frame, corpus.splits, settings, "paper", stamp, {})
        made.append(root / name)
    return made


def test_they_are_in_results_report_table_and_comparison(voted):
    saved = json.loads((voted[1] / "results.json").read_text())
    each = [entry["metrics"]["jensen_shannon"] for entry in saved["splits"]]
    assert 0 < saved["mean"]["jensen_shannon"] < 1
    assert saved["mean"]["jensen_shannon"] == pytest.approx(np.mean(each))
    assert saved["sd"]["cross_entropy"] > 0
    line = f"cross-entropy, nats {saved['mean']['cross_entropy']:.3f} ±"
    assert f"against the shares of the multimodal votes: {line}" in text.table(saved)
    assert line in report.write(voted[1]).read_text()
    compared = comparison.compare(comparable.read_all(voted))
    values = [row.values["cross_entropy"] for row in compared.rows[:2]]
    assert values[1] == pytest.approx(saved["mean"]["cross_entropy"], abs=1e-6)
    assert values[1] < values[0]
    assert "Jensen-Shannon, bits" in tables.markdown([compared])
    with pytest.raises(ValueError, match="unknown metric 'jensen_shannon'"):
        comparison.compare(comparable.read_all(voted), metric="jensen_shannon")


def test_a_run_on_the_intended_emotion_has_none(runs):
    saved = json.loads((runs["ssl1"] / "results.json").read_text())
    assert "cross_entropy" not in saved["mean"]
    assert not votes.line(saved)


def test_attributes_alone_have_none(tmp_path):
    frame = pd.DataFrame(
        {"split": 0, "clip": ["c1", "c2"], "speaker_id": "c", "arousal": ["1", "2"]}
        | {"predicted_arousal": [1.0, 2.0], "votes_voice": ["joy:1", "sad:1"]}
    )
    scale = {"arousal": {"scale": [1.0, 5.0], "loss": "ccc"}}
    split = Split(0, ("a",), ("b",), ("c",))
    saved = results.write(
        tmp_path, frame, [split], {}, "paper", {"source": "attributes"}, {},
        classes=[], attributes=scale,
    )  # fmt: skip
    assert {*saved["mean"]} == {"ccc_arousal", "pearson_arousal", "mae_arousal"}
