"""A comparison as Markdown, LaTeX and CSV."""

import io
from collections.abc import Sequence

import pandas as pd

from sersl_jax.evaluation import attributes, votes
from sersl_jax.evaluation.comparison import Comparison, Contest, Row, apart, metrics_of
from sersl_jax.evaluation.metrics import METRICS
from sersl_jax.evaluation.setting import create, describe

SHORT = ("P", "R", "F1", "P", "R", "F1", "UAR")
HEADINGS = ("macro P", "macro R", "macro F1", "micro P", "micro R", "micro F1", "UAR")
TASKS = ("T1", "T2", "T3")
_ESCAPES = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}"} | {
    c: rf"\{c}" for c in "&%$#_{}"
}
_SYMBOLS = {  # \checkmark would need a package
    "✓": r"$\surd$",
    "~": r"$\sim$",
    "†": r"$^\dagger$",
    "±": r"$\pm$",
    "—": "---",
    "<": "$<$",
}


def percent(value: float | None, deviation: float | None = None) -> str:
    """A fraction of 1 as per cent, with its deviation over splits."""
    spread = "" if deviation is None else f" ± {100 * deviation:.1f}"
    return "—" if value is None else f"{100 * value:.1f}{spread}"


def p_value(p: float) -> str:
    """Three decimals; "<0.001" below that."""
    return "—" if p != p else "< 0.001" if p < 0.001 else f"{p:.3f}"


def cells(row: Row, names: Sequence[str] = METRICS, num_tasks: int = 0) -> list[str]:
    """Title, `num_tasks` marks (empty where the row has none), then one cell a metric."""
    values = [number(name, row.values.get(name), row.deviations.get(name)) for name in names]
    return [row.title + row.marks, *(row.tasks or ("",) * num_tasks), *values]


def number(metric: str, value: float | None, deviation: float | None = None) -> str:
    """A metric of classes in per cent, of votes or an attribute as it is."""
    if metric in METRICS or value is None:
        return percent(value, deviation)
    return f"{value:.3f}" + ("" if deviation is None else f" ± {deviation:.3f}")


def headings(names: Sequence[str]) -> list[str]:
    """The metrics' names as columns."""
    short = dict(zip(map(str, METRICS), HEADINGS, strict=True))
    return [short.get(name) or _title(name) for name in names]


def gain(metric: str, value: float) -> str:
    """A difference with its sign: points of per cent, or of an attribute's metric."""
    return f"{100 * value:+.1f}" if metric in METRICS else f"{value:+.3f}"


def contest_cells(contest: Contest, metric: str = "macro_f1") -> list[str]:
    """One line of the table of tests."""
    low, high = contest.interval
    return [
        contest.other.title,
        gain(metric, contest.difference) + contest.marks,
        f"{gain(metric, low)} to {gain(metric, high)}",
        *map(p_value, (contest.paired_t, contest.holm_t, contest.wilcoxon)),
        *map(p_value, (contest.corrected_t, contest.holm_corrected)),
    ]


CONTEST_HEADINGS = (
    "against",
    "difference",
    "95 % over speakers",
    "paired t",
    "its Holm",
    "Wilcoxon",
    "corrected t",
    "its Holm",
)


_MAE = "MAE is in the corpus's scale"


def name_of(metric: str) -> str:
    """A metric for people."""
    known = metric in METRICS
    return metric.replace("_", " ").replace("f1", "F1") if known else _title(metric)


def _title(metric: str) -> str:
    return votes.TITLES.get(metric) or attributes.title(metric)


def notes(comparison: Comparison) -> list[str]:
    """What the reader has to know to read the numbers: of the results, then of the tests."""
    ours, metric = comparison.ours, name_of(comparison.metric)
    saved = comparison.results
    stamp = f"protocol {saved['protocol']}; {describe(saved)}; " if saved else ""
    units = "Per cent, mean" if ours.classes else "Mean"
    equal = "micro precision, recall and F1 all equal accuracy" if ours.classes else _MAE
    said = f"{units} ± sd of {_number_of_splits(comparison)}; {stamp}{equal}."
    return [
        " ".join([said, *(f"{reason[0].upper()}{reason[1:]}." for reason in comparison.absences)]),
        f"Tests ask whether {ours.title} is better in {metric} (one-tailed). "
        "* p < 0.05 by the paper's paired t-test, unadjusted; † p < 0.05 by the corrected "
        "resampled t-test (Nadeau & Bengio 2003), which allows for overlapping splits, after "
        "Holm. On a row of results: better than every other run.",
    ]


def _number_of_splits(comparison: Comparison) -> str:
    """With common splits alone: which runs have more of them."""
    number = len(comparison.ours.splits)
    said = f"{number} split{'s' * (number > 1)}"
    more = [f"{run.title} has {run.left_out} more" for run in comparison.runs if run.left_out]
    return f"the {said} that all runs have ({', '.join(more)})" if more else said


def markdown(comparisons: Sequence[Comparison]) -> str:
    """Two tables with notes for each comparison; warnings come first."""
    if len(comparisons) == 1:
        return _markdown(comparisons[0])
    parts = ["".join(f"> {_md(line)}.\n" for line in apart(comparisons))]
    parts += [f"## {_md(describe(c.results))}\n\n{_markdown(c)}" for c in comparisons]
    return "\n".join(parts)


def _markdown(comparison: Comparison) -> str:
    tasks = task_headings(comparison)
    names = metrics_of(comparison.runs)
    lines = [
        _styled(row, [_md(cell) for cell in cells(row, names, len(tasks))], "*{}*")
        for row in comparison.rows
    ]
    said, asked = map(_md, notes(comparison))
    parts = [f"> **Warning: {_md(warning)}**" for warning in comparison.warnings]
    parts += [_pipes(["method", *tasks, *headings(names)], lines), said]
    if comparison.contests:
        tests = [
            [_md(cell) for cell in contest_cells(x, comparison.metric)] for x in comparison.contests
        ]
        parts += [_pipes(CONTEST_HEADINGS, tests), asked]
    return "\n\n".join(parts) + "\n"


def latex(comparisons: Sequence[Comparison]) -> str:
    """A table of the paper's shape for each comparison; needs no package."""
    return "\n".join(map(_latex, comparisons))


def _latex(comparison: Comparison) -> str:
    tasks = task_headings(comparison)
    names = metrics_of(comparison.runs)
    body = [
        _styled(row, [_tex(cell) for cell in cells(row, names, len(tasks))], r"\textit{{{}}}")
        for row in comparison.rows
    ]
    columns = "l" + "c" * len(tasks) + "r" * len(names)
    gap = " & " * (len(tasks) + 1)
    groups = r"\multicolumn{3}{c}{Macro} & \multicolumn{3}{c}{Micro} & "
    above = [rf"{gap}{groups}\\"] if [*METRICS] == names else []
    short = SHORT if above else [_tex(heading) for heading in headings(names)]
    caption = " ".join(_tex(note) for note in [*comparison.warnings, *notes(comparison)])
    lines = [
        r"\begin{table}",
        r"\centering\small\setlength{\tabcolsep}{3pt}",
        rf"\caption{{{caption}}}",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\hline",
        *above,
        " & ".join(["", *tasks, *short]) + r" \\",
        r"\hline",
        *(" & ".join(line) + r" \\" for line in body),
        r"\hline",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def csv(comparisons: Sequence[Comparison]) -> str:
    """One line a row and fractions of 1, for other software."""
    lines = []
    for comparison, row in ((c, row) for c in comparisons for row in c.rows):
        names = metrics_of(comparison.runs)
        means = {name: row.values.get(name) for name in names}
        spreads = {f"{name}_sd": row.deviations.get(name) for name in names}
        stamps = {"marks": row.marks, "warnings": "; ".join(comparison.warnings)}
        lines.append({"method": row.title, "kind": row.kind} | means | spreads | stamps)
        lines[-1] |= {"splits": len(comparison.ours.splits)} | _setting(comparison)
    table = io.StringIO()
    pd.DataFrame(lines).to_csv(table, index=False, float_format="%.6f")
    return table.getvalue()


def _setting(comparison: Comparison) -> dict[str, str]:
    if not comparison.results:
        return {"label": "", "normalise": ""}
    chosen = create(comparison.results)
    source = str(chosen["label_rule"].get("source", ""))
    return {"label": source, "normalise": chosen["normalise"]}


def task_headings(comparison: Comparison) -> Sequence[str]:
    """Columns of the paper's Table 3 that say which tasks a row was pre-trained on."""
    return TASKS if any(row.tasks for row in comparison.rows) else ()


def _styled(row: Row, line: list[str], form: str) -> list[str]:
    """Ours upright; the paper's row and the reference lines in `form`."""
    return line if row.kind == "run" else [form.format(cell) if cell else "" for cell in line]


def _md(text: str) -> str:
    return text.replace("|", r"\|").replace("*", r"\*")


def _pipes(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---", *("---:" for _ in headings[1:])]
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, rule, *lines))


def _tex(text: str) -> str:
    escaped = "".join(_ESCAPES.get(character, character) for character in text)
    for symbol, command in _SYMBOLS.items():
        escaped = escaped.replace(symbol, command)
    return escaped
