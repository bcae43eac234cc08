"""CCC, Pearson and MAE of attributes: against independent formulas, and through the files."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from sersl_jax import compare
from sersl_jax.evaluation import attributes, comparison, results, runs
from sersl_jax.evaluation.splits import Split
from sersl_jax.reports import run as report
from sersl_jax.reports import text
from sersl_jax.tasks import Attribute, ccc

NUMBERS = st.floats(-2, 2, width=32).map(lambda value: round(value, 3))
ROWS = arrays(np.float64, st.integers(2, 24), elements=NUMBERS)
ALL = jnp.ones(24, bool)
CONCORDANCE, GRADIENT = jax.jit(ccc), jax.jit(jax.grad(ccc))


def lin(x, y):
    """Lin (1989), eq. 1, term by term, from NumPy's covariance matrix."""
    (xx, xy), (_, yy) = np.cov(x, y, ddof=0)
    return 2 * xy / (xx + yy + (np.mean(x) - np.mean(y)) ** 2)


def padded(x):
    """To 24 rows, so that one program is compiled; the mask says which count."""
    return jnp.asarray(np.pad(x, (0, 24 - len(x)), constant_values=7.0), jnp.float32)


def batch(x, y):
    return padded(x), padded(y), jnp.arange(24) < len(x)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 99))
def test_ccc_is_lins_whether_from_a_batch_or_from_sums(y, seed):
    x = y * 0.7 + np.random.default_rng(seed).normal(0.3, 0.5, len(y))
    expected = lin(x, y)
    np.testing.assert_allclose(CONCORDANCE(*batch(x, y)), expected, atol=2e-5)
    found = attributes.scores(attributes.sums(y, x, centre=1.0).sum(axis=0, keepdims=True))
    np.testing.assert_allclose(found["ccc"], expected, atol=1e-9)
    np.testing.assert_allclose(found["mae"], np.abs(x - y).mean(), atol=1e-12)
    if y.std() > 1e-3:
        np.testing.assert_allclose(found["pearson"], stats.pearsonr(x, y).statistic, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.floats(-1, 1), st.floats(0.2, 3))
def test_a_shift_or_a_scale_lowers_ccc_as_lin_says(y, shift, scale):
    """CCC = r C, with C = 2 / (v + 1 / v + u^2): v is the ratio of SDs, u the scaled shift."""
    assume(y.std() > 0.05)
    x = shift + scale * y
    u = (x.mean() - y.mean()) / np.sqrt(x.std() * y.std())
    np.testing.assert_allclose(CONCORDANCE(*batch(x, y)), 2 / (scale + 1 / scale + u**2), rtol=1e-3)


@settings(max_examples=40, deadline=None)
@given(ROWS, st.integers(0, 99))
def test_the_gradient_of_ccc_is_that_of_differences(y, seed):
    x = np.random.default_rng(seed).normal(0, 1, len(y))
    found = np.asarray(GRADIENT(*batch(x, y)))
    step = 1e-5
    for row in range(min(len(y), 3)):
        change = step * (np.arange(len(x)) == row)
        slope = (lin(x + change, y) - lin(x - change, y)) / (2 * step)
        np.testing.assert_allclose(found[row], slope, atol=1e-3)
    assert not found[len(y) :].any()


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([0.5, 0.5, 0.5], [0.1, 0.2, 0.9]),
        ([0.1, 0.2, 0.9], [0.5, 0.5, 0.5]),
        ([0.1, 0.1], [0.1, 0.1]),
        ([0.3], [0.7]),
        ([], []),
    ],
)
@pytest.mark.parametrize("loss", ["ccc", "mse"])
def test_constants_one_example_and_none_give_no_nan(x, y, loss):
    task = Attribute("arousal", 1.0, 7.0, loss)
    x, y, mask = batch(np.array(x), 4 + 3 * np.array(y))

    def measure(x):
        return task.measure(x[:, None], y, mask, None)

    (value, found), gradient = jax.value_and_grad(measure, has_aux=True)(x)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    means = {name: total / jnp.maximum(count, 1) for name, (total, count) in found.items()}
    assert all(np.isfinite(v) for v in task.scores(means).values())
    assert task.scores(means)["ccc"] == 0
    sums = attributes.sums(np.asarray(y, np.float64)[mask], np.asarray(x, np.float64)[mask])
    assert all(np.isfinite(v) for v in attributes.scores(sums.sum(axis=0, keepdims=True)).values())


@pytest.mark.parametrize("loss", ["ccc", "mse"])
def test_an_unknown_label_counts_nowhere(loss):
    task = Attribute("arousal", 1.0, 5.0, loss)
    random = np.random.default_rng(0)
    x, y = random.normal(size=(10, 1)).astype(np.float32), random.uniform(1, 5, 10)
    y[[2, 5]] = np.nan
    mask, known = np.arange(10) < 8, np.isfinite(y) & (np.arange(10) < 8)

    def measure(x, y, mask):
        return task.measure(jnp.asarray(x), jnp.asarray(y, jnp.float32), jnp.asarray(mask), None)

    (loss_with, with_nan), (loss_without, without) = (
        measure(x, y, mask),
        measure(x[known], y[known], np.ones(6, bool)),
    )
    np.testing.assert_allclose(loss_with, loss_without, rtol=1e-5)
    for name, (total, count) in with_nan.items():
        np.testing.assert_allclose(total, without[name][0], rtol=1e-5)
        assert count == without[name][1] == 6
    gradient = jax.grad(lambda x: measure(x, y, mask)[0])(jnp.asarray(x))
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient)[~known].any()
    values = np.asarray(task.values(jnp.asarray(x[known])))
    np.testing.assert_allclose(with_nan["mae"][0] / 6, np.abs(values - y[known]).mean(), rtol=1e-5)


def test_an_epochs_ccc_is_over_all_examples_and_not_a_mean_of_batches():
    task = Attribute("valence", 0.0, 2.0)
    random = np.random.default_rng(1)
    y = np.sort(random.uniform(0, 2, 12)).astype(np.float32)
    x = (y - 1 + random.normal(0, 0.3, 12)).astype(np.float32)
    parts = [
        task.measure(jnp.asarray(x[r, None]), jnp.asarray(y[r]), jnp.ones(4, bool), None)[1]
        for r in np.arange(12).reshape(3, 4)
    ]
    totals = jax.tree.map(lambda *values: sum(values), *parts)
    means = {name: total / count for name, (total, count) in totals.items()}
    expected = lin(x + 1, y)
    np.testing.assert_allclose(task.scores(means)["ccc"], expected, atol=1e-5)
    np.testing.assert_allclose(task.scores(means)["loss"], 1 - expected, atol=1e-5)
    assert abs(float(means["loss"]) - (1 - expected)) > 0.05


SPEAKERS = tuple("abcdefgh")
SPLITS = [
    Split(0, SPEAKERS[:4], SPEAKERS[4:6], SPEAKERS[6:]),
    Split(1, SPEAKERS[2:6], SPEAKERS[6:], SPEAKERS[:2]),
]


def predictions(noise: float, seed: int) -> pd.DataFrame:
    """Test rows of arousal and valence; one arousal is unknown."""
    random = np.random.default_rng(seed)
    rows = [(s.seed, f"{p}{k}", p) for s in SPLITS for p in s.test for k in range(15)]
    frame = pd.DataFrame(rows, columns=["split", "clip", "speaker_id"])
    for place, name in enumerate(("arousal", "valence")):
        truth = np.random.default_rng(place).uniform(1, 7, len(frame)).round(2)
        frame.insert(3 + place, f"predicted_{name}", truth + random.normal(0, noise, len(frame)))
        frame[name] = truth
    frame.loc[3, "arousal"] = np.nan
    return frame


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A good and a poor run on the same splits."""
    root = tmp_path_factory.mktemp("attributes")
    stamp = {"source": "attributes", "attributes": "arousal,valence"}
    about = {name: {"scale": [1.0, 7.0], "loss": "ccc"} for name in ("arousal", "valence")}
    corpus = pd.DataFrame(
        [(f"{p}{k}", p, "") for p in SPEAKERS for k in range(15)],
        columns=["clip", "speaker_id", "label"],
    )
    for name, noise in (("good", 0.5), ("poor", 2.5)):
        config = {"name": name, "finetune": {"tasks": {"arousal": 1.0, "valence": 1.0}}}
        results.write(
            root / name, predictions(noise, 1), SPLITS, config, "paper", stamp, {},
            corpus=corpus, classes=[], attributes=about,
        )  # fmt: skip
        rows = [
            {"stage": "finetune", "member": m, "name": str(m), "epoch": e, "train/loss": 1 / e,
             "validation/loss": 1 / e, "examples_per_second": 9.0}
            for m in (0, 1) for e in (1, 2)
        ]  # fmt: skip
        (root / name / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return root


def test_results_are_those_of_the_predictions(two):
    saved = json.loads((two / "good" / "results.json").read_text())
    written = pd.read_csv(two / "good" / "predictions.csv")
    assert saved["attributes"]["arousal"] == {"scale": [1.0, 7.0], "loss": "ccc"}
    for entry in saved["splits"]:
        rows = written[written["split"] == entry["seed"]].dropna()
        expected = lin(rows["predicted_arousal"], rows["arousal"])
        assert entry["metrics"]["ccc_arousal"] == pytest.approx(expected, abs=1e-6)
        for speaker, found in entry["by_speaker"].items():
            own = rows[rows["speaker_id"] == speaker]
            error = np.abs(own["predicted_arousal"] - own["arousal"]).mean()
            assert found["arousal"]["mae"] == pytest.approx(error, abs=1e-6)
            assert found["arousal"]["clips"] == len(own)
    means = [entry["metrics"]["mae_valence"] for entry in saved["splits"]]
    assert saved["mean"]["mae_valence"] == pytest.approx(np.mean(means))
    printed = text.table(saved)
    assert f"{saved['mean']['ccc_valence']:.3f} ±" in printed
    assert "macro" not in printed


def test_runs_are_compared_by_ccc_with_an_interval_over_speakers(two, capsys):
    compare.run([str(two / "poor"), str(two / "good")], out=str(two))
    said = capsys.readouterr().out
    assert "CCC arousal" in said
    assert "macro" not in said
    assert "good is better in CCC arousal" in said
    table = pd.read_csv(two / "compare.csv").set_index("method")
    assert table["ccc_valence"]["good"] > 0.9 > table["ccc_valence"]["poor"]
    good, poor = (runs.read(two / name) for name in ("good", "poor"))
    low, high = comparison.interval(good, "ccc_arousal", poor)
    gap = np.mean(good.scores["ccc_arousal"] - poor.scores["ccc_arousal"])
    assert 0 < low < gap < high
    with pytest.raises(ValueError, match="unknown metric 'macro_f1'; take one of ccc_arousal"):
        compare.run([str(two / "poor"), str(two / "good")], metric="macro_f1", out=str(two))


def test_other_labels_of_an_attribute_are_refused(two, tmp_path):
    frame = predictions(1.0, 2)
    frame.loc[0, "valence"] = 1.23
    frame.to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(ValueError, match=r"clip g0 is labelled .* against 1.23"):
        compare.run([str(two / "good"), str(tmp_path / "other.csv")], out=str(two))


def test_a_label_of_zero_is_known():
    table = pd.DataFrame({"valence": [0.0, "0", "", np.nan, "-1.5"]})
    np.testing.assert_array_equal(attributes.labels(table, "valence"), [0, 0, np.nan, np.nan, -1.5])


def test_who_has_no_label_is_not_the_easiest_speaker(two):
    read = runs.read(two / "good")
    table = read.predictions.copy()
    table.loc[table["speaker_id"] == "g", "arousal"] = np.nan
    page = report.create(replace(read, predictions=table))
    assert "speaker h: MAE" in page
    assert page.count("speaker g: MAE") == 1  # of valence
    page = report.create(replace(read, predictions=table.assign(arousal=np.nan)))
    assert "Predicted arousal" not in page


def test_the_page_draws_attributes_in_their_own_scale(two):
    compare.run([str(two / "poor"), str(two / "good")], out=str(two))
    page = (two / "compare.html").read_text()
    assert "CCC arousal, %" not in page
    assert "points" not in page


def test_predictions_without_labels_are_refused(two, tmp_path, request):
    frame = predictions(1.0, 2)
    frame.drop(columns="arousal").to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(ValueError, match=r"other.csv has no column arousal; needed:"):
        compare.run([str(two / "good"), str(tmp_path / "other.csv")], out=str(two))
    frame.to_csv(tmp_path / "other.csv", index=False)
    pair = [str(request.getfixturevalue("runs")["ssl1"]), str(tmp_path / "other.csv")]
    for paths in (pair, pair[::-1]):
        with pytest.raises(ValueError, match=r"can't be compared: .* has no column"):
            compare.run(paths, out=str(two))


def test_the_report_shows_attributes_alone(two):
    page = report.create(runs.read(two / "good"))
    assert "CCC arousal" in page
    assert "Predicted valence against its label" in page
    assert "Confusion matrix" not in page
