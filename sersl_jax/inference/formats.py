"""Predictions as text: a table, JSON or CSV on stdout."""

import csv
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sersl_jax.inference.prediction import Prediction

Row = tuple[str, Prediction]


@dataclass(frozen=True)
class Format:
    """How rows become text."""

    classes: tuple[str, ...]
    timeline: bool
    abstain: float
    attributes: tuple[str, ...] = ()

    def json(self, rows: Iterator[Row]) -> None:
        """A list of objects."""
        print(json.dumps([self._object(*row) for row in rows], indent=1, ensure_ascii=False))

    def csv(self, rows: Iterator[Row]) -> None:
        """A header and a line a row; an abstention is an empty label."""
        writer = csv.writer(sys.stdout, lineterminator="\n")
        window = ["start", "end"] if self.timeline else []
        label = ["label", *(f"p_{name}" for name in self.classes)] if self.classes else []
        writer.writerow(["file", *window, *label, *self.attributes])
        for file, found in rows:
            window = [found.start, found.end] if self.timeline else []
            numbers = (*found.probabilities.values(), *found.attributes.values())
            label = [self.label(found) or ""] if self.classes else []
            writer.writerow([file, *window, *label, *(f"{value:.7g}" for value in numbers)])

    def table(self, rows: Iterator[Row]) -> None:
        """For reading, as they come; probabilities in percent."""
        widths = {name: max(len(name), 5) for name in (*self.classes, *self.attributes)}
        heads = {name: f"{name:>{width}}" for name, width in widths.items()}
        place = f"{'start':>8}{'end':>8}  " if self.timeline else ""
        column = max(map(len, self.classes), default=0) + 2
        label = f"{'label':<{column}}" if self.classes else ""
        print(place + label + self._cells(heads, "   %") + "  file")
        for file, found in rows:
            place = f"{found.start:>8.2f}{found.end:>8.2f}  " if self.timeline else ""
            label = f"{self.label(found) or '-':<{column}}" if self.classes else ""
            cells = {n: f"{100 * p:>{widths[n]}.1f}" for n, p in found.probabilities.items()}
            cells |= {n: f"{value:>{widths[n]}.2f}" for n, value in found.attributes.items()}
            print(place + label + self._cells(cells, "    ") + f"  {file}", flush=True)

    def _cells(self, texts: Mapping[str, str], after: str) -> str:
        """Classes and `after`, then attributes."""
        shares = "  ".join(texts[name] for name in self.classes)
        shares += after if self.classes else ""
        return shares + "".join(f"  {texts[name]}" for name in self.attributes)

    def label(self, found: Prediction) -> str | None:
        """None where the most probable class is less probable than `abstain`."""
        return found.label if found.confidence >= self.abstain else None

    def _object(self, file: str, found: Prediction) -> dict:
        window = {"start": found.start, "end": found.end} if self.timeline else {}
        label = {"label": self.label(found), "probabilities": found.probabilities}
        values = {"attributes": found.attributes} if found.attributes else {}
        return {"file": file, **window, **(label if self.classes else {}), **values}
