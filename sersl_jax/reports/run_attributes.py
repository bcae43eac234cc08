"""The report's section on attributes (arousal ...), from the predictions."""

import numpy as np

from sersl_jax.evaluation import attributes, comparison, runs
from sersl_jax.reports import charts, html, tables

_DOTS = 600  # clips of a picture


def cards(run: runs.Run) -> dict[str, tuple[str, list[str]]]:
    """CCC of each attribute, for the page's head."""
    means, deviations = comparison.mean_and_deviation(run)
    found = {}
    for name in run.attributes:
        metric = f"ccc_{name}"
        low, high = comparison.interval(run, metric)
        spread = deviations[metric]
        facts = [] if spread is None else [f"± {spread:.3f} over splits"]
        facts += [f"{low:.3f} to {high:.3f}: 95 % over speakers"]
        found[attributes.title(metric)] = (f"{means[metric]:.3f}", facts)
    return found


def sections(run: runs.Run) -> list[str]:
    """Scores, pictures and speakers of the attributes; none where there are none."""
    if not run.attributes:
        return []
    pictures = [picture for name in run.attributes for picture in _pictures(run, name)]
    about = (
        "Mean ± standard deviation over splits. CCC is the concordance correlation coefficient "
        "(Lin, 1989) and Pearson the correlation, each over all test clips of a split at once; "
        "MAE is the mean absolute error, in the corpus's scale. The ridge regression learns from "
        "functionals of the same features; its penalty is chosen by CCC on the validation speakers."
    )
    return [html.section("Attributes", _scores(run), html.note(about), html.figures(*pictures))]


def _scores(run: runs.Run) -> str:
    means, deviations = comparison.mean_and_deviation(run)
    scales = {name: about["scale"] for name, about in run.results.get("attributes", {}).items()}
    rows = []
    for name in run.attributes:
        metrics = [f"{metric}_{name}" for metric in attributes.METRICS]
        cells = [tables.number(m, means[m], deviations[m]) for m in metrics]
        low, high = scales.get(name, (float("nan"),) * 2)
        rows.append([name, f"{low:g} to {high:g}", *cells])
        for line in attributes.lines_of(run.results, name):
            found = run.results["baselines"][line]
            cells = [tables.number(m, found["mean"][m], found["sd"][m]) for m in metrics]
            rows.append([attributes.LINES[line], "", *cells])
    kinds = ["run" if scale else "line" for _, scale, *_ in rows]
    return html.table(["attribute", "scale", "CCC", "Pearson", "MAE"], rows, kinds)


def _pictures(run: runs.Run, name: str) -> list[str]:
    """Predictions against labels, and the error of each speaker; none without a label."""
    found: dict[str, list[tuple[float, float]]] = {}
    labels = attributes.labels(run.predictions, name)
    said = run.predictions[attributes.PREFIX + name].to_numpy(np.float64)
    for clip, label, value in zip(run.predictions["clip"], labels, said, strict=True):
        if np.isfinite(label):
            found.setdefault(clip, []).append((float(label), float(value)))
    if not found:
        return []
    points = {clip: np.mean(found[clip], axis=0).tolist() for clip in sorted(found)}
    shown = sorted(points)[:: max(1, len(points) // _DOTS)]
    dots = [
        charts.Dot(f"{c}: {points[c][1]:.2f}, label {points[c][0]:.2f}", *points[c], radius=2.0)
        for c in shown
    ]
    ends = [min(point[0] for point in points.values()), max(p[0] for p in points.values())]
    picture = charts.plot(
        [charts.Line("as labelled", ends, ends, 5, "dashed")],
        dots,
        label=f"Predicted {name} against its label",
        x_label=f"{name}, label",
        y_label=f"{name}, predicted",
    )
    caption = "A point a test clip, mean over the splits that test it."
    scatter = html.figure(name.capitalize(), picture, caption, {"as labelled": "dashed"})
    return [scatter, _speakers(run, name)]


def _speakers(run: runs.Run, name: str) -> str:
    total = run.sums(run.speakers, name).sum(axis=0)
    scores = attributes.scores(total)
    easiest = np.argsort(scores["mae"], kind="stable")
    order = easiest[total[easiest, 0] > 0]  # who have labels
    dots = [
        charts.Dot(
            f"speaker {run.speakers[k]}: MAE {scores['mae'][k]:.2f}, CCC {scores['ccc'][k]:.2f}",
            rank + 1.0,
            float(scores["mae"][k]),
        )
        for rank, k in enumerate(order)
    ]
    picture = charts.plot(
        dots=dots,
        label=f"Mean absolute error of {name} of each test speaker, sorted",
        x_label="speakers, easiest first",
        y_label=f"MAE of {name}",
        x_ticks=False,
    )
    rows = [
        [
            run.speakers[k],
            f"{total[k, 0]:.0f}",
            *(f"{scores[m][k]:.3f}" for m in attributes.METRICS),
        ]
        for k in order
    ]
    listed = html.table(["speaker", "clips", "CCC", "Pearson", "MAE"], rows)
    caption = "One point a speaker, over all splits that test it."
    return html.figure(f"{name.capitalize()} of each speaker", picture, caption) + html.details(
        f"Every speaker's scores of {name}", listed
    )
