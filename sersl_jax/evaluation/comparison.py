"""Several runs on the same splits: who is better, by how much, and is that more than chance?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sersl_jax.evaluation import (
    attributes,
    baselines,
    paper,
    results,
    setting,
    significance,
    votes,
)
from sersl_jax.evaluation.runs import Run

LEVEL = 0.05
PAPER_SHARES = 15 / 70  # test clips per training clip, where no run says how many it trained on


@dataclass(frozen=True)
class Contest:
    """Is `ours` better than one other run? p values are one-tailed; `holm_*` over all contests."""

    other: Run
    difference: float
    interval: tuple[float, float]
    paired_t: float
    corrected_t: float
    wilcoxon: float
    holm_t: float
    holm_corrected: float

    @property
    def marks(self) -> str:
        """`*` for the paper's test as the paper did it, `†` for the corrected one after Holm."""
        return "*" * (self.paired_t < LEVEL) + "†" * (self.holm_corrected < LEVEL)


@dataclass(frozen=True)
class Row:
    """One line of the results table; values and deviations are fractions of 1, by metric."""

    title: str
    kind: str  # run, paper or line
    values: dict[str, float]
    deviations: dict[str, float | None]
    marks: str = ""
    tasks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Everything the four outputs show."""

    runs: list[Run]
    ours: Run
    metric: str
    rows: list[Row]
    contests: list[Contest]
    warnings: list[str]
    absences: list[str]  # why figures of the paper are not there

    @property
    def results(self) -> dict[str, Any]:
        """What any run's results.json holds; empty where all are other software's."""
        return next((run.results for run in self.runs if run.results), {})


def compare(runs: Sequence[Run], ours: Run | None = None, metric: str | None = None) -> Comparison:
    """Compares runs that `comparable.read_all` found comparable.

    Args:
        runs: in the order of the table.
        ours: the run said to be better than each other one; the last by default.
        metric: what is tested: macro_f1 by default or, without classes, the first attribute's CCC.
    """
    ours = ours or runs[-1]
    less_is_better = (*votes.METRICS, *(f"mae_{name}" for name in runs[0].attributes))
    known = [name for name in metrics_of(runs) if name not in less_is_better]
    if not known:
        raise ValueError("these runs have no metric in common: nothing to compare")
    metric = metric or known[known.index("macro_f1") if "macro_f1" in known else 0]
    if metric not in known:
        raise ValueError(f"unknown metric {metric!r}; take one of {', '.join(known)}")
    contests = _contests(ours, [run for run in runs if run is not ours], metric)
    warnings = [f"{run.title}: {w}" for run in runs for w in run.results.get("warnings", ())]
    rows = _rows(runs, ours, contests)
    reasons = dict.fromkeys(paper.absence(run.results, run.name) for run in runs)
    absences = [reason for reason in reasons if reason]
    return Comparison(list(runs), ours, metric, rows, contests, warnings, absences)


def metrics_of(runs: Sequence[Run]) -> list[str]:
    """The metrics that all runs have, in the order of the tables."""
    return [name for name in runs[0].scores if all(name in run.scores for run in runs)]


def interval(run: Run, metric: str, other: Run | None = None) -> tuple[float, float]:
    """95 % over speakers of a metric, or of its difference from another run's."""
    pair = [run] if other is None else [run, other]
    kind, _, name = metric.partition("_")
    if name not in run.attributes:
        return significance.bootstrap(*(r.confusions(run.speakers) for r in pair), metric=metric)
    tables = [each.sums(run.speakers, name)[..., None] for each in pair]
    return significance.bootstrap(
        *tables, metric=kind, scores=lambda total: attributes.scores(total[..., 0])
    )


def apart(comparisons: Sequence[Comparison]) -> list[str]:
    """For each comparison after the first, which runs are not tested against which, and why."""
    first, *others = comparisons
    return [
        f"{_titles(first)} and {_titles(other)} are shown apart and not tested against each other: "
        f"{_setting_difference(first, other)}"
        for other in others
    ]


def _titles(comparison: Comparison) -> str:
    return ", ".join(run.title for run in comparison.runs)


def _setting_difference(one: Comparison, other: Comparison) -> str | None:
    return setting.difference(*(setting.create(c.results) for c in (one, other)))


def training_ratio(runs: Sequence[Run]) -> float:
    """Number of test clips for each training clip: the paper's where no run knows."""
    for run in runs:
        counts = [
            entry["num_clips"] for entry in run.results.get("splits", ()) if "num_clips" in entry
        ]
        if counts:
            tested, trained = (
                sum(sum(count[side].values()) for count in counts) for side in ("test", "train")
            )
            return tested / trained
    return PAPER_SHARES


def mean_and_deviation(run: Run) -> tuple[dict[str, float], dict[str, float | None]]:
    """Over splits, from the predictions; one split has no deviation."""
    means = {name: float(values.mean()) for name, values in run.scores.items()}
    deviations = {
        name: float(values.std(ddof=1)) if values.size > 1 else None
        for name, values in run.scores.items()
    }
    return means, deviations


def reference_rows(run: Run) -> list[Row]:
    """The lines that a run's files allow, those of classes first, the best of them at the top."""
    lines = baselines.reference_lines(run.predictions, run.results, run.classes)
    rows = [
        Row((results.LINES | attributes.LINES).get(name, name), "line", line["mean"], line["sd"])
        for name, line in lines.items()
    ]
    return sorted(rows, key=lambda row: -row.values.get("macro_f1", -1.0))


def paper_row(run: Run) -> list[Row]:
    """The paper's figures for a run's config, if the paper has them."""
    figures = paper.figures(run.results, run.name)
    return [Row("in the paper", "paper", figures, {})] if figures else []


def _rows(runs: Sequence[Run], ours: Run, contests: Sequence[Contest]) -> list[Row]:
    """Each run with the paper's figures below it, then the reference lines."""
    beats_all = [mark for mark in "*†" if contests and all(mark in c.marks for c in contests)]
    with_tasks = any(run.name in paper.TASKS for run in runs if run.name != "ssl1")
    rows = []
    for run in runs:
        tasks = paper.TASKS.get(run.name, ("",) * 3) if with_tasks else ()
        marks = "".join(beats_all) if run is ours else ""
        rows.append(Row(run.title, "run", *mean_and_deviation(run), marks, tasks))
        rows += paper_row(run)
    return rows + _shared_lines(runs)


def _shared_lines(runs: Sequence[Run]) -> list[Row]:
    """The reference lines; none that learns where runs learnt on different corpora."""
    rows = reference_rows(max(runs, key=_num_lines))
    origins = {run.results.get("evaluated", {}).get("trained_on") for run in runs if run.results}
    learnt = {results.LINES[name] for name in baselines.SVMS} | {*attributes.LINES.values()}
    return rows if len(origins) < 2 else [row for row in rows if row.title not in learnt]


def _num_lines(run: Run) -> tuple[bool, int]:
    return "votes_voice" in run.predictions, len(run.results.get("baselines", {}))


def _contests(ours: Run, others: Sequence[Run], metric: str) -> list[Contest]:
    ratio = training_ratio([ours, *others])
    tests = [_test(ours, other, metric, ratio) for other in others]
    holm_t = significance.holm([test["paired_t"] for test in tests])
    holm_corrected = significance.holm([test["corrected_t"] for test in tests])
    return [
        Contest(other, **test, holm_t=float(plain), holm_corrected=float(corrected))
        for other, test, plain, corrected in zip(others, tests, holm_t, holm_corrected, strict=True)
    ]


def _test(ours: Run, other: Run, metric: str, ratio: float) -> dict[str, Any]:
    one, two = ours.scores[metric], other.scores[metric]
    return {
        "difference": float(np.mean(one - two)),
        "interval": interval(ours, metric, other),
        "paired_t": significance.paired_t(one, two),
        "corrected_t": significance.corrected_t(one, two, ratio),
        "wilcoxon": significance.wilcoxon(one, two),
    }
