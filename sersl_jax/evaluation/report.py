"""`report.html` of one run, from `results.json`, `predictions.csv` and `metrics.jsonl` alone."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sersl_jax import metrics
from sersl_jax.evaluation import (
    charts,
    comparison,
    page,
    paper,
    report_training,
    results,
    runs,
    significance,
    tables,
)
from sersl_jax.splits import SIDES

HARDEST = 20  # clips shown


def write(workdir: str | Path) -> Path:
    """Makes the report of a finished run and returns its path."""
    path = Path(workdir, "report.html")
    text = create(runs.read(workdir))
    results.write_atomically(path, lambda temporary: temporary.write_text(text))
    return path


def create(run: runs.Run) -> str:
    """The whole page."""
    saved = run.results
    number = len(run.splits)
    lead = (
        f"Protocol {saved['protocol']}, {number} split{'s' * (number > 1)}, "
        f"{len(run.speakers)} test speakers, {run.predictions['clip'].nunique()} test clips; "
        f"label {_rule(saved)}."
    )
    sections = [
        _headline(run),
        _results(run),
        _classes(run),
        _speakers(run),
        _calibration(run),
        *report_training.sections(run.path / "metrics.jsonl"),
        _hardest(run),
        _setting(run),
        _ledger(run.path / "ledger.csv"),
    ]
    return page.document(run.title, lead, saved["warnings"], sections)


def _rule(saved: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in saved["label_rule"].items()) or "as given"


def _headline(run: runs.Run) -> str:
    means, deviations = comparison.mean_and_deviation(run)
    published = paper.figures(run.name) or {}
    low, high = significance.bootstrap(run.confusions(run.speakers))
    names = {"macro_f1": "Macro F1", "uar": "UAR (macro recall)", "micro_f1": "Accuracy"}
    cards = {}
    for metric, name in names.items():
        spread = deviations[metric]
        facts = [] if spread is None else [f"sd {100 * spread:.1f}"]
        facts += [f"95 % {100 * low:.1f} to {100 * high:.1f}"] * (metric == "macro_f1")
        facts += [f"paper {100 * published[metric]:.1f}"] if published else []
        cards[name] = (f"{100 * means[metric]:.1f} %", ", ".join(facts))
    return page.cards(cards)


def _results(run: runs.Run) -> str:
    rows = [comparison.Row("this run", "run", *comparison.mean_and_deviation(run))]
    rows += comparison.paper_row(run) + comparison.reference_rows(run)
    table = page.table(
        ["per cent", *tables.HEADINGS], [tables.cells(row) for row in rows], [r.kind for r in rows]
    )
    about = (
        "Mean ± standard deviation over splits. Micro precision, recall and F1 all equal accuracy. "
        "Reference lines are scored on the same test clips: an SVM on functionals of the same "
        "features, the raters who only heard the clip, and always the most frequent class."
    )
    return page.section("Result", table, page.note(about))


def _classes(run: runs.Run) -> str:
    total = run.confusions(run.speakers).sum(axis=(0, 1))
    shares = total / np.maximum(total.sum(axis=1, keepdims=True), 1)
    each = metrics.per_class(total)
    rows = [
        [name, f"{int(n)}", page.bar(float(p)), page.bar(float(r)), page.bar(float(f))]
        for name, n, p, r, f in zip(
            run.classes, each.support, each.precision, each.recall, each.f1, strict=True
        )
    ]
    confusion = page.figure(
        "Confusion matrix",
        page.heat(run.classes, shares.tolist(), total),
        "Row: the label. Column: what the model said. Per cent of the row, over the test clips of "
        "all splits; the framed diagonal is each class's recall.",
    )
    bars = page.figure(
        "Each class",
        page.table(["class", "clips", "precision", "recall", "F1"], rows, style="bars"),
        "Per cent, over the test clips of all splits; a clip counts once for each split that tests "
        "it.",
    )
    return page.section("Classes", page.figures(confusion, bars))


def _speakers(run: runs.Run) -> str:
    by_speaker = run.confusions(run.speakers).sum(axis=0)
    accuracy = metrics.accuracy(by_speaker)
    people = run.predictions.drop_duplicates("speaker_id").set_index("speaker_id")
    sexes = sorted(set(people["sex"].dropna())) if "sex" in people else []
    dots = [
        charts.Dot(
            f"speaker {run.speakers[k]}: {100 * accuracy[k]:.0f} %",
            rank + 1,
            float(accuracy[k]),
            sexes.index(people["sex"][run.speakers[k]]) if sexes else 0,
        )
        for rank, k in enumerate(np.argsort(accuracy, kind="stable"))
    ]
    mean, ranks = float(accuracy.mean()), [1, len(dots)]
    picture = charts.plot(
        [charts.Line("mean of the speakers", ranks, [mean, mean], 5, "dashed")],
        dots,
        label="Accuracy of each test speaker, sorted",
        x_label="speakers, hardest first",
        y_label="accuracy, %",
        percent=True,
        x_ticks=False,
    )
    legend = {sex: f"round c{k}" for k, sex in enumerate(sexes)} | {"mean": "dashed"}
    worst, best = run.speakers[int(accuracy.argmin())], run.speakers[int(accuracy.argmax())]
    caption = (
        f"One point a speaker. Hardest: {worst} ({100 * accuracy.min():.0f} %); easiest: {best} "
        f"({100 * accuracy.max():.0f} %)."
    )
    shown = page.figure("Each speaker", picture, caption, legend)
    return page.section("Speakers and groups", page.figures(shown, _groups(run)))


def _groups(run: runs.Run) -> str:
    """Scores for each value of every attribute with a handful of values (sex, intensity)."""
    known = {*results.COLUMNS, *(f"p_{name}" for name in run.classes)}
    columns = [c for c in run.predictions if c not in known and not str(c).startswith("votes_")]
    rows, kinds = [], []
    for column in columns:
        if 2 <= run.predictions[column].nunique() <= 8:
            for value, part in run.predictions.groupby(column):
                table = sum(results.confusions(part, run.classes).values())
                score = metrics.scores(np.asarray(table))
                values = [tables.percent(float(score[m])) for m in ("micro_f1", "uar", "macro_f1")]
                rows.append([f"{column}: {value}", str(part["clip"].nunique()), *values])
    if not rows:
        return ""
    table = page.table(["group", "clips", "accuracy", "UAR", "macro F1"], rows, kinds)
    return page.figure("Groups", table, "Per cent, over the test clips of all splits.")


def _calibration(run: runs.Run) -> str:
    columns = [f"p_{name}" for name in run.classes]
    if not set(columns) <= set(run.predictions):
        return ""
    labels = results.as_index(run.predictions["label"], run.classes)
    curve = metrics.calibration(run.predictions[columns].to_numpy(np.float64), labels)
    filled = np.flatnonzero(curve.count)
    dots = [
        charts.Dot(
            f"{curve.count[k]} clips: said {100 * curve.confidence[k]:.0f} %, "
            f"right {100 * curve.accuracy[k]:.0f} %",
            100 * float(curve.confidence[k]),
            100 * float(curve.accuracy[k]),
            radius=3 + 9 * float(np.sqrt(curve.count[k] / curve.count.max())),
        )
        for k in filled
    ]
    picture = charts.plot(
        [charts.Line("perfectly calibrated", [0, 100], [0, 100], 5, "dashed")],
        dots,
        label="Reliability diagram",
        x_label="probability the model gave its answer, %",
        y_label="how often it was right, %",
        x_range=(0, 100),
        y_range=(0, 100),
    )
    caption = (
        f"Expected calibration error {100 * curve.error:.1f} points. A point is a tenth of the "
        "scale, its area the number of clips; below the line the model is too sure of itself."
    )
    shown = page.figure("Reliability", picture, caption, {"perfectly calibrated": "dashed"})
    return page.section("Can its probabilities be believed?", page.figures(shown))


def _hardest(run: runs.Run) -> str:
    columns = [f"p_{name}" for name in run.classes]
    if not set(columns) <= set(run.predictions):
        return ""
    index = results.as_index(run.predictions["label"], run.classes)
    given = run.predictions[columns].to_numpy(np.float64)[np.arange(len(index)), index]
    clips = run.predictions.assign(given=given).groupby("clip")
    rows = []
    for clip in clips["given"].mean().sort_values().index[:HARDEST]:
        part = clips.get_group(clip)
        said = part["prediction"].value_counts()
        first, right = part.iloc[0], int((part["prediction"] == part["label"]).sum())
        share = f"{100 * part['given'].mean():.1f}"
        row = [clip, first["label"], said.index[0], share, f"{right} of {len(part)}"]
        rows.append([*map(str, row), *(_votes(first, kind) for kind in _vote_columns(part))])
    names = [column.removeprefix("votes_") + " votes" for column in _vote_columns(run.predictions)]
    headings = ["clip", "label", "said most", "p of label, %", "right in", *names]
    about = (
        "The clips whose label got the least probability, over the splits that test them. Where "
        "the raters disagree too, the label may be at fault."
    )
    return page.section("Hardest clips", page.note(about), page.table(headings, rows, (), "text"))


def _vote_columns(predictions: pd.DataFrame) -> list[str]:
    return [str(column) for column in predictions if str(column).startswith("votes_")]


def _votes(row: pd.Series, column: str) -> str:
    text = "" if pd.isna(row[column]) else str(row[column])
    return text.replace(":1;", ", ").removesuffix(":1").replace(";", ", ").replace(":", " ")


def _setting(run: runs.Run) -> str:
    saved = run.results
    changed = [
        [key, str(old), str(new)] for key, (old, new) in saved.get("config_diff", {}).items()
    ]
    rows = [[key, *_facts(value)] for key, value in saved["environment"].items()]
    parts = [page.table(["environment", ""], rows, (), "text")] if rows else []
    if changed:
        parts.append(page.table(["setting", "base", "this run"], changed, (), "text"))
    counts = [entry.get("num_clips") for entry in saved["splits"]]
    if all(counts):
        parts.append(_counts(run, counts))
    hashes = [[str(e["seed"]), e["hash"][:16], *_sizes(e)] for e in saved["splits"]]
    listed = page.table(["split", "SHA-256 of its speakers", *SIDES], hashes)
    parts.append(page.details("Splits: speakers on each side", listed))
    text = json.dumps(saved["config"], indent=2, default=str)
    config = page.Html(f"<pre>{page.escape(text)}</pre>")
    return page.section("What was run", *parts, page.details("Whole configuration", config))


def _facts(value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [", ".join(f"{name} {fact}" for name, fact in value.items())]
    return [f"{value:.1f}" if isinstance(value, float) else str(value)]


def _counts(run: runs.Run, counts: list[dict[str, dict[str, int]]]) -> str:
    """Mean number of clips of each class on each side."""
    rows = []
    for side in SIDES:
        each = [np.mean([count[side].get(name, 0) for count in counts]) for name in run.classes]
        rows.append([side, *(f"{value:.0f}" for value in (*each, sum(each)))])
    about = page.note("Clips of each class and side, mean over splits:")
    return about + page.table(["side", *run.classes, "all"], rows)


def _sizes(entry: Mapping[str, Any]) -> list[str]:
    return [str(len(entry["speakers"][side])) for side in SIDES]


def _ledger(path: Path) -> str:
    if not path.is_file():
        return ""
    ledger = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows = ledger.to_numpy().tolist()
    table = page.table([str(column) for column in ledger.columns], rows[:500], (), "text")
    return page.section(
        "Ledger", page.note(f"{len(rows)} clips could not be used."), page.details("Show", table)
    )
