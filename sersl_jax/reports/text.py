"""The table that commands print."""

from collections.abc import Mapping
from typing import Any

from sersl_jax.evaluation import attributes, paper, setting, votes
from sersl_jax.evaluation.metrics import METRICS
from sersl_jax.evaluation.results import LINES

HEADINGS = ("P", "R", "F1")
_WIDTH = 17  # of the first column


def table(results: Mapping[str, Any]) -> str:
    """The text that `main` prints; with the paper's row where it has one."""
    name = str(results["config"].get("name", "this run"))
    number = len(results["splits"])
    lines = [
        f"{name}: protocol {results['protocol']}, {number} split{'s' * (number > 1)}; "
        f"{setting.describe(results)}",
        *(f"WARNING: {warning}" for warning in results["warnings"]),
        *(f"note: {said}" for said in results.get("evaluated", {}).get("notes", ())),
        *(_class_lines(results) if results["classes"] else []),
        *attributes.lines(results, _WIDTH),
    ]
    published = paper.figures(results, name)
    lines += [_row("paper", published)] if published else []
    return "\n".join([*lines, *filter(None, [paper.absence(results, name)])])


def _class_lines(results: Mapping[str, Any]) -> list[str]:
    return [
        f"{'per cent':<{_WIDTH}}{'macro':^24}{'micro':^24}{'':>8}",
        f"{'':<{_WIDTH}}" + "".join(f"{heading:>8}" for heading in (*HEADINGS, *HEADINGS, "UAR")),
        _row("mean", results["mean"]),
        _row("sd", results["sd"]),
        *(
            _row(str(LINES.get(name, name)), line["mean"])
            for name, line in results["baselines"].items()
            if METRICS[0] in line["mean"]
        ),
        *filter(None, [votes.line(results)]),
    ]


def _row(title: str, values: Mapping[str, float | None]) -> str:
    cells = (values[metric] for metric in METRICS)
    return f"{title:<{_WIDTH}}" + "".join(
        f"{'-':>8}" if cell is None else f"{100 * cell:8.1f}" for cell in cells
    )
