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
    names = metrics_of(comparison.runs)
    marks = tables.TASKS if any(r.tasks for r in rows) else ()
    headings = ["method", *marks, *tables.headings(names)]
    width = len(headings)
    cells = [tables.cells(row, names) for row in rows]
    return html.table(headings, [_pad(line, width) for line in cells], [row.kind for row in rows])


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
    rows = []
    for k, run in enumerate(comparison.runs):
        low, high = interval(run, comparison.metric)
        mean = float(run.scores[comparison.metric].mean())
        rows.append(charts.Interval(run.title, 100 * mean, 100 * low, 100 * high, k % 8))
    name = _name(comparison)
    picture = charts.intervals(rows, f"{name} of each run", f"{name}, %")
    return html.figure(
        name, picture, "Mean over splits with the 95 % interval of a bootstrap over speakers."
    )


def _differences(comparison: Comparison) -> str:
    rows = [
        charts.Interval(
            f"against {contest.other.title}",
            100 * contest.difference,
            100 * contest.interval[0],
            100 * contest.interval[1],
        )
        for contest in comparison.contests
    ]
    title = f"Gain of {comparison.ours.title}"
    picture = charts.intervals(rows, title, f"{_name(comparison)}, points", zero=True)
    caption = "Mean difference on the same splits, 95 % over speakers; right of the line is better."
    return html.figure(title, picture, caption)


def _each_split(comparison: Comparison) -> str:
    splits = comparison.ours.splits
    places = [float(k + 1) for k in range(len(splits))]
    lines, dots = [], []
    for k, run in enumerate(comparison.runs):
        values = run.scores[comparison.metric].tolist()
        lines.append(charts.Line(run.title, places, values, k % 8, "faint"))
        dots += [
            charts.Dot(f"{run.title}, split {split}: {100 * value:.1f}", x, value, k % 8)
            for split, x, value in zip(splits, places, values, strict=True)
        ]
    name = _name(comparison)
    picture = charts.plot(
        lines,
        dots,
        label=f"{name} on each split",
        x_label="split",
        y_label=f"{name}, %",
        percent=True,
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


def _pad(line: list[str], width: int) -> list[str]:
    """Rows without task marks leave those columns empty."""
    return [line[0], *[""] * (width - len(line)), *line[1:]]
