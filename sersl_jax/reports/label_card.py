"""`label_card.html`: the page that shows what a prepared dataset's labels look like."""

import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from sersl_jax import files
from sersl_jax.pretext import registry
from sersl_jax.pretext.landmarks import REGIONS
from sersl_jax.reports import charts, html

NAME = "label_card.html"


def write(folder: str | Path) -> Path:
    """Writes the page of the prepared dataset in `folder` into it, from its label_card.json."""
    path = Path(folder, NAME)
    files.write_text(path, create(json.loads(Path(folder, "label_card.json").read_text())))
    return path


def create(card: Mapping[str, Any]) -> str:
    """The whole page."""
    lead = (
        f"{card['examples']:,} examples of {card['num_clips']:,} clips by "
        f"{card['num_speakers']:,} speakers, {card['seconds'] / 3600:.2f} h."
    )
    warnings = []
    if card["approximate"]:
        warnings = [f"Faces were tracked by {card['face_backend']}: its action units approximate "
                    "those of OpenFace; don't mix these labels with OpenFace's."]  # fmt: skip
    sections = [_balance(card), _scores(card), _face(card), _units(card), _votes(card)]
    sections += [_lost(card), _speakers(card), _options(card)]
    return html.document(f"Labels of {card['dataset']}", lead, warnings, sections)


def _balance(card: Mapping[str, Any]) -> str:
    """One table of bars per task."""
    return html.section(
        "Class balance",
        html.figures(*(_bars(task, counts) for task, counts in card["class_balance"].items())),
    )


def _bars(title: str, counts: Mapping[str, int], caption: str = "") -> str:
    total = max(sum(counts.values()), 1)
    rows = [
        [name, f"{count:,}", html.bar(count / total)]
        for name, count in counts.items()
        if count or name != "unknown"
    ]
    table = html.table(["", "number", "per cent"], rows, style="bars")
    return html.figure(title.replace("_", " "), table, caption)


def _scores(card: Mapping[str, Any]) -> str:
    histograms = card.get("histograms", {})
    shown = [
        _histogram(task, histograms[task], card["thresholds"][task])
        for task in histograms
        if histograms[task]["counts"]
    ]
    return html.section("Scores and thresholds", html.figures(*shown))


def _histogram(task: str, histogram: Mapping[str, list], threshold: float) -> str:
    declared = registry.TASKS.get(task)
    title, unit = (declared.title, declared.unit) if declared else (task, "score")
    edges, counts = histogram["edges"], histogram["counts"]
    heights = np.repeat(counts, 2).astype(float)
    steps = charts.Line("windows", np.repeat(edges, 2)[1:-1].tolist(), heights.tolist())
    top = float(max(counts))
    line = charts.Line("threshold", [threshold] * 2, [0.0, top], color=1)
    picture = charts.plot(
        [steps, line], label=f"Histogram of {title}", x_label=unit, y_label="windows",
        x_range=(0.0, edges[-1]), y_range=(0.0, 1.05 * top),
    )  # fmt: skip
    caption = f"Above the mean, {threshold:.4g}: high. The last bin holds the top 1 %."
    return html.figure(title, picture, caption, {"windows": "c0", "threshold": "c1"})


def _face(card: Mapping[str, Any]) -> str:
    """The paper's Figure 1 on this corpus's mean face."""
    if not card.get("mean_face"):
        return ""
    face = 70 * np.array(card["mean_face"]) + (charts.WIDTH / 2, 120)
    parts = []
    for color, region in enumerate(("upper_face", "lower_face")):
        points = face[list(REGIONS[region])]
        parts += [f'<circle class="c{color}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in points]
        x, y = points.mean(axis=0)
        parts.append(f'<path class="l{color}" d="M{x - 8:.1f} {y:.1f}h16m-8 -8v16"/>')
    x, y = face.mean(axis=0)
    parts.append(f'<path class="l2" d="M{x - 8:.1f} {y:.1f}h16m-8 -8v16"/>')
    picture = (
        f'<svg class="chart" viewBox="0 0 {charts.WIDTH:.0f} 240" role="img" '
        f'aria-label="Landmark regions and centroids">{"".join(parts)}</svg>'
    )
    figure = html.figure(
        "Landmark regions and centroids",
        picture,
        "The corpus's mean face. A window's movement is the variance of a centroid (cross).",
        {"upper face": "c0 round", "lower face": "c1 round", "whole face": "c2 round"},
    )
    return html.section("Faces", html.figures(figure, _unknown(card)))


def _unknown(card: Mapping[str, Any]) -> str:
    unknown = card.get("unknown", {})
    share = sum(unknown.values()) / max(card["examples"], 1)
    if not unknown:
        return ""
    return _bars("Windows without face labels", unknown, f"{share:.1%} of all; why.")


def _units(card: Mapping[str, Any]) -> str:
    units = card.get("action_units")
    if not units or not any(units["mean_proportion"]):
        return ""
    together = np.array(units["together"])
    given = together / np.maximum(np.diag(together), 1)[:, None]
    names = [name.removeprefix("AU") for name in units["names"]]
    rows = [
        [name, html.bar(share), html.bar(present)]
        for name, share, present in zip(
            units["names"], units["mean_proportion"], units["present"], strict=True
        )
    ]
    least = card["options"]["min_proportion"]
    table = html.table(["", "frames", "windows"], rows, style="bars")
    heat = html.heat(names, given.tolist(), together.tolist())
    return html.section(
        "Action units",
        html.figures(
            html.figure(
                "How often",
                table,
                "Per cent of a window's frames, on average, and of windows in which the unit "
                f"counts as present (at least {least:.0%} of frames).",
            ),
            html.figure(
                "Together",
                heat,
                "Of the windows with the row's unit, per cent that have the column's too.",
            ).replace("<figure>", '<figure class="wide">', 1),
        ),
    )


def _votes(card: Mapping[str, Any]) -> str:
    votes = card.get("votes", {})
    shown = [_bars(f"{kind} votes", counts) for kind, counts in votes.items()]
    return html.section("What raters chose", html.figures(*shown))


def _lost(card: Mapping[str, Any]) -> str:
    rows = [[f"{r['clips']}", r["stage"], r["reason"], r["first"]] for r in card["ledger"]]
    if not rows:
        return html.section("Ledger", html.note("Every clip was used; nothing was odd."))
    table = html.table(["clips", "stage", "reason", "for instance"], rows, style="text")
    return html.section("Ledger", html.note("All lines are in ledger.csv."), table)


def _speakers(card: Mapping[str, Any]) -> str:
    counts = sorted(card["speakers"].items(), key=lambda item: -item[1])
    if len(counts) < 2:
        return ""
    ranks, heights = np.arange(1.0, len(counts) + 1), np.array([n for _, n in counts], float)
    line = charts.Line("examples", ranks.tolist(), heights.tolist())
    picture = charts.plot(
        [line], label="Examples per speaker", x_label="speakers, most talkative first",
        y_label="examples", y_range=(0.0, 1.05 * counts[0][1]), whole=True,
    )  # fmt: skip
    figure = html.figure("Examples per speaker", picture, "")
    rows = [[name, f"{count:,}"] for name, count in counts]
    return html.section(
        "Speakers",
        html.figures(figure),
        html.details(f"All {len(rows)}", html.table(["speaker", "examples"], rows)),
    )


def _options(card: Mapping[str, Any]) -> str:
    names = ("options", "thresholds", "face_backend", "versions")
    content = json.dumps({name: card[name] for name in names}, indent=2)
    return html.section("How it was made", f"<pre>{escape(content)}</pre>")
