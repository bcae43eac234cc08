import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sersl_jax.evaluation import metrics, significance

samples = st.lists(st.floats(0, 1), min_size=3, max_size=25)


@given(samples, st.integers(0, 1000))
def test_paired_t_and_wilcoxon_equal_scipy(values, seed):
    ours = np.array(values)
    others = ours + np.random.default_rng(seed).normal(0, 0.1, ours.size)
    expected = stats.ttest_rel(ours, others, alternative="greater").pvalue
    assert significance.paired_t(ours, others) == pytest.approx(expected)
    expected = stats.wilcoxon(ours, others, alternative="greater").pvalue
    assert significance.wilcoxon(ours, others) == pytest.approx(expected, rel=1e-6)


def test_corrected_t_needs_the_critical_value_of_design_4_8():
    """20 splits, 15 / 70: what the plain test calls t = 3.98 is t = 1.73, p = 0.05."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=20)
    noise = (noise - noise.mean()) / noise.std(ddof=1)
    ours = noise + 3.98 / np.sqrt(20)  # plain t statistic 3.98 against zero
    zero = np.zeros(20)
    assert significance.paired_t(ours, zero) == pytest.approx(stats.t.sf(3.98, 19))
    assert significance.corrected_t(ours, zero, 15 / 70) == pytest.approx(0.05, abs=5e-4)


def test_degenerate_differences():
    same = np.array([0.5, 0.6, 0.7])
    for test in (significance.paired_t, significance.wilcoxon):
        assert test(same, same) == 1.0
        assert np.isnan(test(same[:1], same[:1] - 0.1))
    assert significance.paired_t(np.ones(4), np.zeros(4)) == 0.0
    assert significance.paired_t(np.zeros(4), np.ones(4)) == 1.0


def test_holm_example():
    """The worked example that textbooks and Wikipedia give for Holm (1979)."""
    np.testing.assert_allclose(
        significance.holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02]
    )
    np.testing.assert_allclose(significance.holm([0.5, np.nan, 0.6]), [1.0, np.nan, 1.0])
    assert significance.holm([]).shape == (0,)


def test_bootstrap_of_speakers_who_are_all_alike_has_no_width():
    table = np.array([[8, 2], [3, 7]])
    confusions = np.tile(table, (3, 10, 1, 1))
    expected = float(metrics.scores(table)["macro_f1"])
    assert significance.bootstrap(confusions, resamples=50) == pytest.approx((expected, expected))
    assert significance.bootstrap(confusions, confusions, resamples=50) == (0.0, 0.0)


def test_bootstrap_equals_scipys_for_one_split():
    """Accuracy over speakers with ten clips each is a mean over speakers, which scipy resamples."""
    right = np.random.default_rng(0).binomial(10, 0.6, 40)
    confusions = np.zeros((1, 40, 2, 2), np.int64)
    confusions[0, :, 0, 0], confusions[0, :, 0, 1] = right, 10 - right
    low, high = significance.bootstrap(confusions, metric="micro_f1", resamples=4000)
    reference = stats.bootstrap(
        (right / 10,), np.mean, n_resamples=4000, method="percentile", random_state=1
    ).confidence_interval
    assert (low, high) == pytest.approx(tuple(reference), abs=0.01)


def test_an_unused_speaker_changes_nothing_in_a_split():
    rng = np.random.default_rng(0)
    confusions = rng.integers(0, 5, (2, 6, 3, 3))
    confusions[0, 3:] = confusions[1, :3] = 0  # each split tests three of the six
    low, high = significance.bootstrap(confusions)
    mean = metrics.scores(confusions.sum(axis=1))["macro_f1"].mean()
    assert low < mean < high


def test_splits_of_one_speaker_each_are_a_bootstrap_over_speakers():
    """Leave one speaker out: the interval is that of a mean over speakers."""
    right = np.random.default_rng(0).binomial(10, 0.6, 40)
    confusions = np.zeros((40, 40, 2, 2), np.int64)
    who = np.arange(40)
    confusions[who, who, 0, 0], confusions[who, who, 0, 1] = right, 10 - right
    low, high = significance.bootstrap(confusions, metric="micro_f1", resamples=4000)
    reference = stats.bootstrap(
        (right / 10,), np.mean, n_resamples=4000, method="percentile", random_state=1
    ).confidence_interval
    assert (low, high) == pytest.approx(tuple(reference), abs=0.01)
