"""Small SVG charts: text that stays text, colours from the page's style, no script.

All have one width, so that letters keep their size when a chart fills a phone or a third of a
desk's screen.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 360.0, 240.0
LEFT, RIGHT, TOP, BOTTOM = 38.0, 8.0, 24.0, 38.0


@dataclass(frozen=True)
class Line:
    """A curve; `color` is one of the style's eight, `chosen` the index of a marked point."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    color: int = 0
    style: str = ""  # faint, dashed
    chosen: int | None = None


@dataclass(frozen=True)
class Dot:
    """A point with a text that a pointer over it shows; `radius` in pixels."""

    name: str
    x: float
    y: float
    color: int = 0
    radius: float = 3.5


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval, one line of `intervals`."""

    name: str
    value: float
    low: float
    high: float
    color: int = 0


@dataclass(frozen=True)
class _Frame:
    """Data coordinates to pixels."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    left: float = LEFT
    height: float = HEIGHT

    def x(self, value: float) -> float:
        share = (value - self.x_low) / ((self.x_high - self.x_low) or 1)
        return round(self.left + share * (WIDTH - self.left - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / ((self.y_high - self.y_low) or 1)
        return round(self.height - BOTTOM - share * (self.height - TOP - BOTTOM), 1)


def ticks(low: float, high: float, whole: bool = False, number: int = 5) -> list[float]:
    """Round values between low and high, at most `number` steps; only integers if `whole`."""
    if not high > low:
        return [low]
    rough = max((high - low) / number, 1.0 if whole else 0.0)
    scale = 10.0 ** math.floor(math.log10(rough))
    step = next(scale * m for m in (1, 2, 5, 10) if scale * m >= rough * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def plot(
    lines: Sequence[Line] = (),
    dots: Sequence[Dot] = (),
    *,
    label: str,
    x_label: str,
    y_label: str,
    percent: bool = False,
    x_range: tuple[float, float] | None = None,
    y_range: tuple[float, float] | None = None,
    x_ticks: bool = True,
    whole: bool = False,
) -> str:
    """Curves and points over two axes; `label` says to a screen reader what is seen.

    `whole` marks only integers on the x axis (epochs).
    """
    frame = _frame(lines, dots, x_range, y_range)
    parts = [*_y_axis(frame, y_label, percent), *_x_axis(frame, x_label, x_ticks, whole)]
    parts += [_line(frame, line) for line in lines]
    parts += [
        f'<circle class="c{dot.color}" cx="{frame.x(dot.x)}" cy="{frame.y(dot.y)}" '
        f'r="{dot.radius:.1f}"><title>{escape(dot.name)}</title></circle>'
        for dot in dots
    ]
    return _svg(parts, label)


def spark(lines: Sequence[Line], label: str) -> str:
    """A curve without axes, for many beside each other."""
    frame = _frame(lines, (), None, None)
    return _svg(
        [_line(frame, line) for line in lines],
        label,
        f"{LEFT - 8:.0f} {TOP - 8:.0f} 330 194",
        "spark",
    )


def intervals(rows: Sequence[Interval], label: str, x_label: str, zero: bool = False) -> str:
    """One line a row: a point and its interval; `zero` draws the line of no difference."""
    values = [value for row in rows for value in (row.low, row.high)] + [0.0] * zero
    margin = 0.06 * ((max(values) - min(values)) or 1)
    height = 36.0 * len(rows) + TOP + BOTTOM
    frame = _Frame(min(values) - margin, max(values) + margin, float(len(rows)), 0.0, 12.0, height)
    parts = list(_x_axis(frame, x_label, True, False))
    if zero:
        parts.append(f'<path class="zero" d="M{frame.x(0.0)} {TOP}V{height - BOTTOM}"/>')
    for k, row in enumerate(rows):
        y = frame.y(k + 0.72)
        parts.append(
            f'<text class="name" x="12" y="{frame.y(k + 0.36)}">{escape(row.name)}</text>'
            f'<path class="l{row.color} wide" d="M{frame.x(row.low)} {y}H{frame.x(row.high)}"/>'
            f'<circle class="c{row.color}" cx="{frame.x(row.value)}" cy="{y}" r="5"/>'
        )
    return _svg(parts, label, f"0 0 {WIDTH:.0f} {height:.0f}")


def _frame(
    lines: Iterable[Line],
    dots: Iterable[Dot],
    x_range: tuple[float, float] | None,
    y_range: tuple[float, float] | None,
) -> _Frame:
    x = [*(v for line in lines for v in line.x), *(dot.x for dot in dots)] or [0.0, 1.0]
    y = [*(v for line in lines for v in line.y), *(dot.y for dot in dots)]
    y = [value for value in y if math.isfinite(value)] or [0.0, 1.0]
    margin = 0.06 * ((max(y) - min(y)) or 1)
    return _Frame(*(x_range or (min(x), max(x))), *(y_range or (min(y) - margin, max(y) + margin)))


def _y_axis(frame: _Frame, label: str, percent: bool) -> Iterable[str]:
    for value in ticks(frame.y_low, frame.y_high):
        y = frame.y(value)
        yield f'<path class="grid" d="M{frame.left} {y}H{WIDTH - RIGHT}"/>'
        yield f'<text class="y" x="{frame.left - 6}" y="{y + 4}">{_number(value, percent)}</text>'
    yield f'<text x="0" y="10">{escape(label)}</text>'


def _x_axis(frame: _Frame, label: str, marked: bool, whole: bool) -> Iterable[str]:
    bottom = frame.height - BOTTOM
    yield f'<path class="axis" d="M{frame.left} {bottom}H{WIDTH - RIGHT}"/>'
    for value in ticks(frame.x_low, frame.x_high, whole) if marked else ():
        x = frame.x(value)
        yield f'<text class="x" x="{x}" y="{bottom + 15}">{_number(value, False)}</text>'
    middle = (frame.left + WIDTH - RIGHT) / 2
    yield f'<text class="x" x="{middle}" y="{frame.height - 5}">{escape(label)}</text>'


def _line(frame: _Frame, line: Line) -> str:
    points = [
        f"{frame.x(x)} {frame.y(y)}"
        for x, y in zip(line.x, line.y, strict=True)
        if math.isfinite(y)
    ]
    path = f'<path class="l{line.color} {line.style}" d="M{"L".join(points)}">'
    drawn = f"{path}<title>{escape(line.name)}</title></path>" if points else ""
    if line.chosen is None:
        return drawn
    x, y = frame.x(line.x[line.chosen]), frame.y(line.y[line.chosen])
    return f'{drawn}<circle class="c{line.color} chosen" cx="{x}" cy="{y}" r="4.5"/>'


def _number(value: float, percent: bool) -> str:
    return f"{100 * value:.3g}" if percent else f"{value:.4g}"


def _svg(
    parts: Iterable[str],
    label: str,
    box: str = f"0 0 {WIDTH:.0f} {HEIGHT:.0f}",
    kind: str = "chart",
) -> str:
    return (
        f'<svg class="{kind}" viewBox="{box}" role="img" aria-label="{escape(label)}">'
        f"{''.join(parts)}</svg>"
    )
