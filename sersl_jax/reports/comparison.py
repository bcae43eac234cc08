"""`compare.html`: the comparison's tables and pictures on one page."""

from collections.abc import Sequence

import numpy as np

from sersl_jax.evaluation import metrics, setting
from sersl_jax.evaluation.comparison import Comparison, apart, interval, metrics_of
from sersl_jax.evaluation.runs import Run
from sersl_jax.reports import charts, html, tables


def page_of(comparisons: Sequence[Comparison]) -> str:
    """The whole page; runs that are not tested against each other have sections of their own."""
    leads = [*map(_lead, comparisons), *(f"{line}." for line in apart(comparisons))]
    warnings = list(dict.fromkeys(w for c in comparisons for w in c.warnings))
    several = len(comparisons) > 1
    sections = [
        part
        for c in comparisons
        for part in _sections(c, f" ({setting.describe(c.results)})" if several else "")
    ]
    return html.document("Comparison of runs", " ".join(leads), warnings, sections)


def _lead(comparison: Comparison) -> str:
    number = len(comparison.ours.splits)
    return (
        f"{', '.join(run.title for run in comparison.runs)} on the same {number} "
        f"split{'s' * (number > 1)}, {len(comparison.ours.speakers)} test speakers."
    )


def _sections(comparison: Comparison, of: str) -> list[str]:
    said, asked = tables.notes(comparison)
    better = f"Is {comparison.ours.title} better?{of}"
    recalls = _recalls(comparison.runs) if comparison.ours.classes else ""
    contests = [_contests(comparison), html.note(asked)] if comparison.contests else []
    return [
        html.section(f"Results{of}", _results(comparison), html.note(said)),
        html.section(better, *contests),
        html.section(f"Pictures{of}", html.figures(*_pictures(comparison))),
        *([html.section(f"Recall of each class{of}", recalls)] if recalls else []),
    ]


def _results(comparison: Comparison) -> str:
    rows = comparison.rows
    names, tasks = metrics_of(comparison.runs), tables.task_headings(comparison)
    lines = [tables.cells(row, names, len(tasks)) for row in rows]
    headings = ["method", *tasks, *tables.headings(names)]
    return html.table(headings, lines, [row.kind for row in rows])


def _contests(comparison: Comparison) -> str:
    lines = [tables.contest_cells(contest, comparison.metric) for contest in comparison.contests]
    return html.table(tables.CONTEST_HEADINGS, lines)


def _pictures(comparison: Comparison) -> list[str]:
    return [
        _estimates(comparison),
        *([_differences(comparison)] if comparison.contests else []),
        *([_each_split(comparison)] if len(comparison.ours.splits) > 1 else []),
    ]


def _estimates(comparison: Comparison) -> str:
    rows, scale = [], _scale(comparison)
    for k, run in enumerate(comparison.runs):
        low, high = interval(run, comparison.metric)
        mean = float(run.scores[comparison.metric].mean())
        place = (scale * mean, scale * low, scale * high)
        rows.append(charts.Interval(run.title, *place, k % 8))
    name = _name(comparison)
    picture = charts.intervals(rows, f"{name} of each run", _with_unit(comparison, "%"))
    return html.figure(
        name, picture, "Mean over splits with the 95 % interval of a bootstrap over speakers."
    )


def _differences(comparison: Comparison) -> str:
    scale = _scale(comparison)
    rows = [
        charts.Interval(
            f"against {contest.other.title}",
            scale * contest.difference,
            scale * contest.interval[0],
            scale * contest.interval[1],
        )
        for contest in comparison.contests
    ]
    title = f"Gain of {comparison.ours.title}"
    picture = charts.intervals(rows, title, _with_unit(comparison, "points"), zero=True)
    caption = "Mean difference on the same splits, 95 % over speakers; right of the line is better."
    return html.figure(title, picture, caption)


def _each_split(comparison: Comparison) -> str:
    splits = comparison.ours.splits
    places = [float(k + 1) for k in range(len(splits))]
    lines, dots, metric, shown = [], [], comparison.metric, tables.number
    for k, run in enumerate(comparison.runs):
        values = run.scores[metric].tolist()
        lines.append(charts.Line(run.title, places, values, k % 8, "faint"))
        dots += [
            charts.Dot(f"{run.title}, split {split}: {shown(metric, value)}", x, value, k % 8)
            for split, x, value in zip(splits, places, values, strict=True)
        ]
    name = _name(comparison)
    picture = charts.plot(
        lines,
        dots,
        label=f"{name} on each split",
        x_label="split",
        y_label=_with_unit(comparison, "%"),
        percent=_scale(comparison) == 100,
        whole=True,
    )
    legend = {run.title: f"round c{k % 8}" for k, run in enumerate(comparison.runs)}
    caption = "Splits are easy or hard for all alike, which is why the tests are paired."
    return html.figure("Each split", picture, caption, legend)


def _recalls(runs: Sequence[Run]) -> str:
    rows = []
    for run in runs:
        total = run.confusions(run.speakers).sum(axis=(0, 1))
        recalls = metrics.per_class(np.asarray(total)).recall
        rows.append([run.title, *(html.bar(float(recall)) for recall in recalls)])
    return html.table(["per cent", *runs[0].classes], rows, (), "bars many")


def _name(comparison: Comparison) -> str:
    return tables.name_of(comparison.metric)


def _with_unit(comparison: Comparison, unit: str) -> str:
    return _name(comparison) + (f", {unit}" if _scale(comparison) == 100 else "")


def _scale(comparison: Comparison) -> int:
    """Metrics of classes are drawn in per cent, of votes or an attribute as they are."""
    return 100 if comparison.metric in metrics.METRICS else 1
