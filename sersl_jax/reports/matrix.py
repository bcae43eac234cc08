"""Tests of several runs on several corpora as one table and one picture, source by target."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import pandas as pd

from sersl_jax.evaluation import attributes, results
from sersl_jax.evaluation.metrics import METRICS
from sersl_jax.reports import html, tables

_ABOUT = (
    "UAR in per cent, mean ± sd over the run's splits. In brackets: its own test splits, as its "
    "training left them. Chance is 100 divided by the number of classes, which differs from corpus "
    "to corpus. SVM: of the same training speakers. Of runs without classes: CCC."
)
_WRAPPED = 'style="white-space: normal; overflow-wrap: anywhere"'


@dataclass(frozen=True)
class Cell:
    """A run tested on a corpus: its `results.json`, or the reason why there is none.

    `own`: it was trained on other speakers of this corpus, and these are its own test splits.
    """

    source: str
    trained_on: str
    target: str
    results: Mapping[str, Any]
    own: bool = False
    reason: str = ""

    @property
    def title(self) -> str:
        """The row's name."""
        return f"{self.source} ({self.trained_on})"


def csv(cells: Sequence[Cell]) -> str:
    """A line a test and reference line; fractions of 1."""
    lines = []
    for cell in cells:
        place = {"source": cell.source, "trained_on": cell.trained_on, "target": cell.target}
        place |= {"own_splits": cell.own, "reason": cell.reason}
        place |= {"classes": len(cell.results.get("classes", ()))}
        rows = {"run": cell.results, **cell.results.get("baselines", {})} if cell.results else {}
        for line, found in rows.items() or [("run", {})]:
            scored = found or {"mean": {}, "sd": {}}
            names = dict.fromkeys([*METRICS, *scored["mean"]])
            means = {name: scored["mean"].get(name) for name in names}
            spreads = {f"{name}_sd": scored["sd"].get(name) for name in names}
            lines.append(place | {"line": line} | means | spreads)
    text = io.StringIO()
    pd.DataFrame(lines).to_csv(text, index=False, float_format="%.6f")
    return text.getvalue()


def markdown(cells: Sequence[Cell]) -> str:
    """The table, and below it what could not be tested."""
    headings, rows, _ = _table(cells)
    rule = ["---", *("---:" for _ in headings[1:])]
    lines = [f"| {' | '.join(line)} |" for line in (headings, rule, *rows)]
    return "\n".join([*lines, "", _ABOUT, *(f"* {said}" for said in _notes(cells))]) + "\n"


def create(cells: Sequence[Cell]) -> str:
    """The whole page."""
    headings, rows, kinds = _table(cells)
    table = html.table(headings, rows, kinds)
    picture = html.figure(
        "UAR, source by target",
        _picture(cells),
        "Row: the run. Column: what it was tested on. Framed: its own test splits.",
    )
    notes = "".join(html.note(said) for said in _notes(cells))
    sections = [
        html.section("Picture", html.figures(picture)),
        html.section("Table", table, html.note(_ABOUT), notes),
    ]
    return html.document("Across corpora", _lead(cells), (), sections)


def _lead(cells: Sequence[Cell]) -> str:
    sources, targets = _sources(cells), _targets(cells)
    return f"{', '.join(sources)} tested on {', '.join(targets)}."


def _sources(cells: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.title for cell in cells))


def _targets(cells: Sequence[Cell]) -> list[str]:
    return list(dict.fromkeys(cell.target for cell in cells))


def _table(cells: Sequence[Cell]) -> tuple[list[str], list[list[str]], list[str]]:
    """Headings, rows (each run's, then its reference lines) and their kinds."""
    rows, kinds = [], []
    for source in _sources(cells):
        own = [cell for cell in cells if cell.title == source]
        rows.append([source, *(_text(cell, cell.results) for cell in own)])
        titles = results.LINES | attributes.LINES
        lines = [name for name in titles if any(name in _lines(cell) for cell in own)]
        rows += [
            [titles[name], *(_text(cell, _lines(cell).get(name, {})) for cell in own)]
            for name in lines
        ]
        kinds += ["run", *("line" for _ in lines)]
    return ["", *_targets(cells)], rows, kinds


def _lines(cell: Cell) -> Mapping[str, Any]:
    return cell.results.get("baselines", {})


def _text(cell: Cell, found: Mapping[str, Any]) -> str:
    if not found:
        return "—"
    if "uar" in found["mean"]:
        said = tables.percent(found["mean"]["uar"], found["sd"]["uar"])
    else:
        cccs = [metric for metric in found["mean"] if metric.startswith("ccc_")]
        said = ", ".join(f"{attributes.title(m)} {attributes.number(found, m)}" for m in cccs)
    return f"({said})" if cell.own else said


def _notes(cells: Sequence[Cell]) -> list[str]:
    """What was not tested, and what each test said of itself."""
    said = []
    for cell in cells:
        notes = [cell.reason] if cell.reason else cell.results.get("evaluated", {}).get("notes", ())
        said += [f"{cell.source} on {cell.target}: {note}." for note in notes]
    return said


def _picture(cells: Sequence[Cell]) -> str:
    """The darker, the better."""
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in _targets(cells))
    rows = []
    for source in _sources(cells):
        own = [cell for cell in cells if cell.title == source]
        name = f'<th scope="row" title="{escape(source)}" {_WRAPPED}>{escape(own[0].source)}</th>'
        rows.append(f"<tr>{name}{''.join(map(_square, own))}</tr>")
    return (
        f'<div class="scroll" tabindex="0"><table class="heat"><thead><tr><th></th>{head}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _square(cell: Cell) -> str:
    if not cell.results:
        return f'<td style="--p:0" title="{escape(cell.reason)}">—</td>'
    means = cell.results["mean"]
    if "uar" not in means:
        return f'<td style="--p:0">{_text(cell, cell.results)}</td>'
    value = means["uar"]
    style = f"{'hit' if cell.own else ''} {'dense' if value > 0.5 else ''}"
    return f'<td style="--p:{value:.3f}" class="{style}">{100 * value:.1f}</td>'
