"""`report.html` of one run, from `results.json`, `predictions.csv` and `metrics.jsonl` alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from sersl_jax import files
from sersl_jax.evaluation import comparison, paper, runs, setting, significance, votes
from sersl_jax.evaluation.splits import SIDES
from sersl_jax.reports import html, run_attributes, run_clips, run_curves, tables

NAME = "report.html"


def write(workdir: str | Path) -> Path:
    """Makes the report of a finished run and returns its path."""
    path = Path(workdir, NAME)
    run = runs.read(workdir)
    if not run.results:
        raise ValueError(f"{workdir} is a file: name the directory of a finished run")
    text = create(run)
    files.write_text(path, text)
    return path


def refresh(workdir: Path) -> None:
    """Makes the report where a kill came before it: there is none, or the results are newer."""
    page, results = workdir / NAME, workdir / "results.json"
    if not page.exists() or page.stat().st_mtime_ns < results.stat().st_mtime_ns:
        write(workdir)


def create(run: runs.Run) -> str:
    """The whole page."""
    saved = run.results
    number = len(run.splits)
    lead = (
        f"Protocol {saved['protocol']}, {number} split{'s' * (number > 1)}, "
        f"{len(run.speakers)} test speakers, {run.predictions['clip'].nunique()} test clips; "
        f"{setting.describe(saved)}."
    )
    evaluated = saved.get("evaluated", {})
    if evaluated:
        said = [f"Trained on {evaluated['trained_on']}", *evaluated["notes"]]
        lead += "".join(f" {sentence[0].upper()}{sentence[1:]}." for sentence in said)
    title = f"{run.title} on {evaluated['dataset']}" if evaluated else run.title
    sections = [
        _headline(run),
        *([_results(run), run_clips.classes(run), run_clips.speakers(run)] if run.classes else []),
        *run_attributes.sections(run),
        *run_curves.sections(run.path / "metrics.jsonl", saved["config"]),
        run_clips.hardest(run),
        _setting(run),
    ]
    return html.document(title, lead, saved["warnings"], sections)


def _headline(run: runs.Run) -> str:
    means, deviations = comparison.mean_and_deviation(run)
    if not run.classes:
        return html.cards(run_attributes.cards(run))
    published = paper.figures(run.results, run.name) or {}
    low, high = significance.bootstrap(run.confusions(run.speakers))
    names = {"macro_f1": "Macro F1", "uar": "UAR (macro recall)", "micro_f1": "Accuracy"}
    cards = {}
    for metric, name in names.items():
        spread = deviations[metric]
        facts = [] if spread is None else [f"± {100 * spread:.1f} over splits"]
        facts += [f"{100 * low:.1f} to {100 * high:.1f}: 95 % over speakers"] * (name == "Macro F1")
        facts += [f"{100 * published[metric]:.1f} in the paper"] if published else []
        cards[name] = (f"{100 * means[metric]:.1f} %", facts)
    return html.cards(cards | run_attributes.cards(run))


def _results(run: runs.Run) -> str:
    rows = [comparison.Row("this run", "run", *comparison.mean_and_deviation(run))]
    lines = [row for row in comparison.reference_rows(run) if "macro_f1" in row.values]
    rows += comparison.paper_row(run) + lines
    table = html.table(
        ["per cent", *tables.HEADINGS], [tables.cells(row) for row in rows], [r.kind for r in rows]
    )
    about = (
        "Mean ± standard deviation over splits. Micro precision, recall and F1 all equal accuracy. "
        "Reference lines are scored on the same test clips: SVMs on functionals of the same "
        "features (balanced: class weights, C by macro F1; unweighted: the network's aim, C by "
        "accuracy), the raters who only heard the clip, and always the most frequent class."
    )
    reason = paper.absence(run.results, run.name)
    absent = html.note(f"{reason[0].upper()}{reason[1:]}.") if reason else ""
    said = votes.line(run.results)
    near = html.note(f"{said[0].upper()}{said[1:]}.") if said else ""
    return html.section("Result", table, near, html.note(about), absent)


def _setting(run: runs.Run) -> str:
    saved = run.results
    changed = [
        [key, str(old), str(new)] for key, (old, new) in saved.get("config_diff", {}).items()
    ]
    rows = [[key, *_facts(value)] for key, value in saved["environment"].items()]
    parts = [html.table(["environment", ""], rows, (), "text")] if rows else []
    if changed:
        parts.append(html.table(["setting", "base", "this run"], changed, (), "text"))
    counts = [entry.get("num_clips") for entry in saved["splits"]]
    if all(counts):
        parts.append(_counts(run, counts))
    hashes = [[str(e["seed"]), e["hash"][:16], *_sizes(e)] for e in saved["splits"]]
    listed = html.table(["split", "SHA-256 of its speakers", *SIDES], hashes)
    parts.append(html.details("Splits: speakers on each side", listed))
    text = json.dumps(saved["config"], indent=2, default=str)
    config = html.Html(f"<pre>{html.escape(text)}</pre>")
    return html.section("What was run", *parts, html.details("Whole configuration", config))


def _facts(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [", ".join(f"{name} {fact}" for name, fact in value.items())]
    return [f"{value:.1f}" if isinstance(value, float) else str(value)]


def _counts(run: runs.Run, counts: list[dict[str, dict[str, int]]]) -> str:
    """Mean number of clips of each class on each side."""
    rows = []
    for side in SIDES:
        names = run.classes or [""]
        each = [np.mean([count[side].get(name, 0) for count in counts]) for name in names]
        shown = (*each, sum(each)) if run.classes else each
        rows.append([side, *(f"{value:.0f}" for value in shown)])
    about = html.note("Clips of each class and side, mean over splits:")
    return about + html.table(["side", *run.classes, "all"], rows)


def _sizes(entry: Mapping[str, Any]) -> list[str]:
    return [str(len(entry["speakers"][side])) for side in SIDES]
