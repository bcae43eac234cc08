"""The frame of every page: one file with its style inside; for offline, phones and dark mode."""

from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources


class Html(str):
    """Text that is markup already, and not escaped again."""


def document(title: str, lead: str, warnings: Sequence[str], sections: Sequence[str]) -> str:
    """A whole page; warnings stand in red above everything else."""
    style = resources.files("sersl_jax.reports").joinpath("page.css").read_text()
    banners = "".join(
        f'<p class="warning" role="alert"><b>Not comparable.</b> {escape(text)}</p>'
        for text in warnings
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f'<header><h1>{escape(title)}</h1><p class="lead">{escape(lead)}</p></header>\n'
        f"{banners}{''.join(filter(None, sections))}</main>\n</body>\n</html>\n"
    )


def section(title: str, *parts: str) -> str:
    """A heading and what follows; nothing at all where there is nothing to show."""
    content = "".join(parts)
    return f"<section><h2>{escape(title)}</h2>{content}</section>\n" if content else ""


def note(text: str) -> str:
    """A paragraph of plain text."""
    return f"<p>{escape(text)}</p>"


def figures(*parts: str) -> str:
    """Figures beside each other as the width allows."""
    shown = "".join(parts)
    return f'<div class="figures">{shown}</div>' if shown else ""


def figure(title: str, picture: str, caption: str, legend: Mapping[str, str] | None = None) -> str:
    """A titled picture; `legend` maps names to style classes (`c0`, `l1 dashed`)."""
    keys = "".join(
        f'<li><i class="{style}"></i>{escape(name)}</li>' for name, style in (legend or {}).items()
    )
    legend_list = f'<ul class="legend">{keys}</ul>' if keys else ""
    return (
        f"<figure><h3>{escape(title)}</h3>{legend_list}{picture}"
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def cards(values: Mapping[str, tuple[str, Sequence[str]]]) -> str:
    """Large numbers: name -> (number, lines below it that compare it)."""
    items = "".join(
        f"<li><span>{escape(name)}</span><b>{escape(number)}</b>"
        + "".join(f"<small>{escape(fact)}</small>" for fact in facts)
        + "</li>"
        for name, (number, facts) in values.items()
    )
    return f'<ul class="cards">{items}</ul>'


def table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    kinds: Sequence[str] = (),
    style: str = "",
) -> str:
    """A table that scrolls by itself where it is wider than the page; `kinds` are row classes."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    kinds = kinds or [""] * len(rows)
    body = "".join(
        f'<tr class="{kind}"><th scope="row">{escape(row[0])}</th>'
        + "".join(f"<td>{cell(text)}</td>" for text in row[1:])
        + "</tr>"
        for row, kind in zip(rows, kinds, strict=True)
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="{style}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def cell(text: str) -> str:
    """Escaped text; the part after ± is shown in smaller type."""
    if isinstance(text, Html):
        return text
    mean, sign, deviation = text.partition(" ± ")
    return f"{escape(mean)}<small> ± {escape(deviation)}</small>" if sign else escape(text)


def details(summary: str, content: str) -> str:
    """A section that is closed until it is clicked."""
    return f"<details><summary>{escape(summary)}</summary>{content}</details>" if content else ""


def heat(
    classes: Sequence[str],
    shares: Sequence[Sequence[float]],
    counts: Sequence[Sequence[float | int]],
    answers: Sequence[str] | None = None,
) -> str:
    """A confusion matrix, rows adding up to 1; the darker, the more. `answers`: its columns."""
    columns = answers or classes
    head = "".join(f'<th scope="col"><span>{escape(name)}</span></th>' for name in columns)
    rows = []
    for i, name in enumerate(classes):
        cells = "".join(
            f'<td style="--p:{share:.3f}" class="{"hit" if i == j else ""} '
            f'{"dense" if share > 0.5 else ""}" title="{int(counts[i][j])} clips">'
            f"{100 * share:.0f}</td>"
            for j, share in enumerate(shares[i])
        )
        rows.append(f'<tr><th scope="row">{escape(name)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0"><table class="heat"><thead><tr><th></th>{head}</tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def bar(share: float) -> Html:
    """A bar with its number, per cent; the fill's width is the share of the cell."""
    return Html(f'<span class="bar" style="--p:{share:.3f}">{100 * share:.1f}</span>')
