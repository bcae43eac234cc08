"""The report's sections on classes, speakers and clips, from the predictions."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from sersl_jax.evaluation import metrics, results, runs
from sersl_jax.reports import charts, html, tables

HARDEST = 20  # clips shown
GROUPS = 8  # an attribute with more values than this (age) is not shown


def classes(run: runs.Run) -> str:
    """Confusion matrix and each class's scores, over all splits."""
    total = run.confusions(run.speakers).sum(axis=(0, 1))
    shares = total / np.maximum(total.sum(axis=1, keepdims=True), 1)
    each = metrics.per_class(total)
    rows = [
        [name, f"{int(n)}", html.bar(float(p)), html.bar(float(r)), html.bar(float(f))]
        for name, n, p, r, f in zip(
            run.classes, each.support, each.precision, each.recall, each.f1, strict=True
        )
    ]
    confusion = html.figure(
        "Confusion matrix",
        html.heat(run.classes, shares.tolist(), total.tolist(), run.answers),
        "Row: the label. Column: what the model said. Per cent of the row, over the test clips of "
        "all splits; the framed diagonal is each class's recall.",
    )
    bars = html.figure(
        "Each class",
        html.table(["class", "clips", "precision", "recall", "F1"], rows, style="bars"),
        "Per cent, over the test clips of all splits; a clip counts once for each split that tests "
        "it.",
    )
    return html.section("Classes", html.figures(confusion, bars))


def speakers(run: runs.Run) -> str:
    """Accuracy of each speaker, and of the groups that the predictions name."""
    by_speaker = run.confusions(run.speakers).sum(axis=0)
    accuracy = metrics.accuracy(by_speaker)
    people = run.predictions.drop_duplicates("speaker_id").set_index("speaker_id")
    people = people.fillna({"sex": "unknown"})  # where the column is
    sexes = sorted(set(people["sex"])) if "sex" in people else []
    dots = [
        charts.Dot(
            f"speaker {run.speakers[k]}: {100 * accuracy[k]:.0f} %",
            rank + 1.0,
            float(accuracy[k]),
            sexes.index(people["sex"][run.speakers[k]]) if sexes else 0,
        )
        for rank, k in enumerate(np.argsort(accuracy, kind="stable"))
    ]
    mean, ranks = float(accuracy.mean()), [1.0, float(len(dots))]
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
    shown = html.figure("Each speaker", picture, caption, legend)
    pictures = html.figures(shown, _calibration(run), _groups(run))
    return html.section("Speakers, confidence and groups", pictures)


def _groups(run: runs.Run) -> str:
    """Scores for each value of every attribute with a handful of values (sex, intensity)."""
    known = {*results.COLUMNS, results.OWN_LABEL, *(f"p_{name}" for name in run.answers)}
    columns = [c for c in run.predictions if c not in known and not str(c).startswith("votes_")]
    rows = []
    for column in columns:
        values = sorted(set(run.predictions[column].dropna()))
        for value in values if 2 <= len(values) <= GROUPS else ():
            part = run.predictions.loc[run.predictions[column] == value]
            of_splits = results.confusions(part, run.classes, run.answers).values()
            total = np.sum(list(of_splits), axis=0)
            each = metrics.per_class(total)
            score = metrics.accuracy(total), each.recall[each.support > 0].mean()
            shown = [tables.percent(float(share)) for share in score]
            rows.append([f"{column}: {value}", str(part["clip"].nunique()), *shown])
    if not rows:
        return ""
    table = html.table(["group", "clips", "accuracy", "UAR"], rows)
    about = "Per cent, over the test clips of all splits; UAR is over the classes that a group has."
    return html.figure("Groups", table, about)


def _calibration(run: runs.Run) -> str:
    """Reliability diagram; nothing where there are no probabilities."""
    if not _has_probabilities(run):
        return ""
    said = [name for name in run.answers if f"p_{name}" in run.predictions]
    columns = [f"p_{name}" for name in said]
    labels = pd.Categorical(run.predictions["label"], said).codes.astype(np.int64)  # -1: not known
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
        [charts.Line("perfectly calibrated", [0.0, 100.0], [0.0, 100.0], 5, "dashed")],
        dots,
        label="Reliability diagram",
        x_label="probability the model gave its answer, %",
        y_label="how often it was right, %",
        x_range=(0.0, 100.0),
        y_range=(0.0, 100.0),
    )
    caption = (
        f"Expected calibration error {100 * curve.error:.1f} points. A point is a tenth of the "
        "scale, its area the number of clips; below the line the model is too sure of itself."
    )
    return html.figure("Reliability", picture, caption, {"perfectly calibrated": "dashed"})


def hardest(run: runs.Run) -> str:
    """The clips whose label got the least probability, with what the raters chose."""
    if not run.classes or not _has_probabilities(run):
        return ""
    clips: dict[str, list[dict[str, Any]]] = {}
    for row in run.predictions.to_dict("records"):
        if f"p_{row['label']}" in row:
            clips.setdefault(row["clip"], []).append(row)
    given = {
        clip: float(np.mean([row[f"p_{row['label']}"] for row in rows]))
        for clip, rows in clips.items()
    }
    votes = [str(column) for column in run.predictions if str(column).startswith("votes_")]
    lines = []
    for clip in sorted(given, key=lambda clip: given[clip])[:HARDEST]:
        rows = clips[clip]
        said = Counter(row["prediction"] for row in rows).most_common(1)[0][0]
        right = sum(row["prediction"] == row["label"] for row in rows)
        line = [clip, rows[0]["label"], said, f"{100 * given[clip]:.1f}", f"{right} of {len(rows)}"]
        lines.append([*line, *(_votes(rows[0], column) for column in votes)])
    names = [column.removeprefix("votes_") + " votes" for column in votes]
    headings = ["clip", "label", "said most", "p of label, %", "right in", *names]
    about = (
        "The clips whose label got the least probability, over the splits that test them. Where "
        "the raters disagree too, the label may be at fault."
    )
    return html.section("Hardest clips", html.note(about), html.table(headings, lines, (), "text"))


def _votes(row: Mapping[str, Any], column: str) -> str:
    text = row[column] if isinstance(row[column], str) else ""
    return text.replace(":1;", ", ").removesuffix(":1").replace(";", ", ").replace(":", " ")


def _has_probabilities(run: runs.Run) -> bool:
    return all(f"p_{name}" in run.predictions for name in set(run.predictions["prediction"]))
