"""Is one model better than another on the same splits? Tests, and intervals over speakers."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int, Real

from sersl_jax.evaluation import metrics


def paired_t(ours: Float[np.ndarray, "splits"], others: Float[np.ndarray, "splits"]) -> float:
    """p that `ours` is not better: the paper's one-tailed matched-pair t-test (Sec. 5).

    Splits of one corpus overlap, which this test does not know: `corrected_t` does. nan for fewer
    than two splits, 1 where all differences are 0.
    """
    return corrected_t(ours, others, 0.0)


def corrected_t(
    ours: Float[np.ndarray, "splits"], others: Float[np.ndarray, "splits"], test_per_train: float
) -> float:
    """p of the corrected resampled t-test (Nadeau & Bengio 2003), one-tailed.

    Args:
        ours: a metric on each split.
        others: the other model's, on the same splits.
        test_per_train: number of test clips for each training clip; 0 gives the plain test.
    """
    from scipy import stats  # takes half a second, which no training need wait for

    difference = ours - others
    if difference.size < 2:
        return float("nan")
    if not difference.any():
        return 1.0
    variance = (1 / difference.size + test_per_train) * difference.var(ddof=1)
    with np.errstate(divide="ignore"):
        statistic = difference.mean() / np.sqrt(variance)
    return float(stats.t.sf(statistic, difference.size - 1))


def wilcoxon(ours: Float[np.ndarray, "splits"], others: Float[np.ndarray, "splits"]) -> float:
    """p of the one-tailed Wilcoxon signed-rank test; nan for fewer than two splits."""
    from scipy import stats

    difference = ours - others
    if difference.size < 2:
        return float("nan")
    if not difference.any():
        return 1.0
    return float(np.asarray(stats.wilcoxon(difference, alternative="greater"))[1])


def holm(p_values: Sequence[float]) -> Float[np.ndarray, "tests"]:
    """p values adjusted for a family of tests (Holm 1979); nan stays nan and counts as no test."""
    p = np.asarray(p_values, np.float64)
    adjusted = np.full(p.shape, np.nan)
    order = [i for i in np.argsort(p) if not np.isnan(p[i])]
    stepped = [(len(order) - rank) * p[i] for rank, i in enumerate(order)]
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1) if order else []
    return adjusted


def bootstrap(
    confusions: Real[np.ndarray, "splits speakers rows columns"],
    others: Real[np.ndarray, "splits speakers rows other_columns"] | None = None,
    metric: str = "macro_f1",
    resamples: int = 2000,
    seed: int = 0,
    scores: Callable[..., Mapping[str, np.ndarray]] = metrics.scores,
) -> tuple[float, float]:
    """95 % percentile interval of the mean over splits, with speakers drawn with replacement.

    Args:
        confusions: a table for each split and speaker (of attributes, their sums); zeros where a
            split does not test a speaker.
        others: another model's; then the interval is that of the difference.
        metric: a key of `scores`.
        resamples: number of draws; one draw of speakers serves all splits and both models.
        seed: of the draws.
        scores: from a sum of tables to metrics.
    """
    speakers = confusions.shape[1]
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(speakers, np.full(speakers, 1 / speakers), resamples)
    means = _weighted_mean(confusions, weights, metric, scores)
    if others is not None:
        means = means - _weighted_mean(others, weights, metric, scores)
    low, high = np.nanpercentile(means, [2.5, 97.5])
    return float(low), float(high)


def _weighted_mean(
    confusions: Real[np.ndarray, "splits speakers rows columns"],
    weights: Int[np.ndarray, "resamples speakers"],
    metric: str,
    scores: Callable[..., Mapping[str, np.ndarray]],
) -> Float[np.ndarray, "resamples"]:
    """Mean over splits; one weighs as its test speakers were drawn, 1 if each was once.

    A split that tests one speaker alone has the same score however often he is drawn.
    """
    tables = np.einsum("rp,spij->rsij", weights, confusions, optimize=True)
    tested = (confusions != 0).any(axis=(-2, -1))
    drawn = weights @ tested.T / np.maximum(tested.sum(axis=1), 1)
    return (scores(tables)[metric] * drawn).sum(axis=1) / np.maximum(drawn.sum(axis=1), 1e-9)
