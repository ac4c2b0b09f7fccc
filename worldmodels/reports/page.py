"""A self-contained HTML page: tables, figures inside it, no script, nothing from the network."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from worldmodels.utils.comparing import ROUNDING

KINDS = {"svg": "image/svg+xml", "png": "image/png", "gif": "image/gif"}
STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 1216px; padding: 0 24px 48px; background: #fff; color: #1a1a1a;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
h1 { font-size: 26px; margin: 28px 0 4px; }
h2 { font-size: 20px; margin: 40px 0 8px; border-bottom: 1px solid #bbb; padding-bottom: 4px; }
h3 { font-size: 16px; margin: 24px 0 6px; }
p, ol, ul { max-width: 860px; margin: 6px 0; }
table { border-collapse: collapse; font-size: 13px; margin: 8px 0 4px; }
th, td { padding: 3px 10px 3px 0; text-align: left; vertical-align: top; border-bottom: 1px solid #e4e4e4; }
th { border-bottom: 1px solid #777; font-weight: 600; vertical-align: bottom; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.figure { font-variant-numeric: tabular-nums; white-space: nowrap; }
.wide { overflow-x: auto; }
details td:last-child { min-width: 90px; }
summary { margin: 14px 0 6px; cursor: pointer; font-weight: 600; }
.pairs { display: grid; grid-template-columns: 1fr 1fr; gap: 0 24px; }
figure { margin: 10px 0 18px; break-inside: avoid; }
figure img { max-width: 100%; height: auto; display: block; }
.strip img { max-width: 820px; }
figcaption, .note { color: #444; font-size: 13px; max-width: 860px; }
.problem { border-left: 4px solid #b00; padding: 2px 12px; margin: 10px 0; }
nav { display: flex; flex-wrap: wrap; gap: 2px 14px; }
@media (max-width: 700px) { body { padding: 0 12px 32px; overflow-wrap: anywhere; }
  .pairs { grid-template-columns: 1fr; } .strip img { max-width: 100%; } }
a { color: #00509e; }
@media print { body { max-width: none; padding: 0; font-size: 11px; } nav { display: none; } table { font-size: 9px; }
  .wide { overflow: visible; } h2, h3 { break-after: avoid; } tr { break-inside: avoid; } }
"""


class Html(str):
    """Text that is HTML already; any other cell of a table is escaped."""


def number(value: float | None, digits: int = 3) -> str:
    """A figure for people: ``digits`` significant ones, whole above 1,000; 0 for what rounding left."""
    if value is None:
        return "–"
    if abs(value) < ROUNDING:
        return "0"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"


def estimate(figure: Mapping[str, Any] | None, sign: bool = False) -> str:
    """``value [low, high]`` of a figure with its interval, if it has one."""
    if figure is None or figure["value"] is None:
        return "–"
    limits = figure["interval"]
    plus = "+" if sign and figure["value"] > 0 else ""
    return f"{plus}{number(figure['value'])}" + (f" [{', '.join(map(number, limits))}]" if limits else "")


def link(target: str, text: str) -> Html:
    """A link to another file, relative to the page."""
    return Html(f'<a href="{escape(target)}">{escape(text)}</a>')


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Iterable[str] = ()) -> Html:
    """A table; the columns named in ``numbers`` are set right."""
    right = {columns.index(name) for name in numbers}

    def row(cells: Sequence[Any], tag: str) -> str:
        parts = []
        for index, cell in enumerate(cells):
            text = cell if isinstance(cell, Html) else escape(str(cell))
            style = ' class="number"' if index in right else ""
            parts.append(f"<{tag}{style}>{text}</{tag}>")
        return f"<tr>{''.join(parts)}</tr>"

    body = "\n".join(row(cells, "td") for cells in rows)
    return Html(
        f'<div class="wide"><table>\n<thead>{row(columns, "th")}</thead>\n<tbody>{body}</tbody>\n</table></div>\n'
    )


def figure(data: bytes, kind: str, text: str, caption: str, strip: bool = False) -> Html:
    """A picture (svg, png or gif) inside the page. ``text`` says what it shows to who cannot see it; ``strip``: one of
    many, so smaller.
    """
    source = f"data:{KINDS[kind]};base64,{base64.b64encode(data).decode()}"
    style = ' class="strip"' if strip else ""
    image = f'<img src="{source}" alt="{escape(text)}">'
    return Html(f"<figure{style}>{image}\n<figcaption>{escape(caption)}</figcaption></figure>\n")


def paragraph(text: str, style: str = "") -> Html:
    """Plain text, or `Html`, as a paragraph."""
    content = text if isinstance(text, Html) else escape(text)
    return Html(f'<p class="{style}">{content}</p>\n' if style else f"<p>{content}</p>\n")


def listing(items: Iterable[str], ordered: bool = False) -> Html:
    """A list of plain texts or `Html`."""
    tag = "ol" if ordered else "ul"
    parts = (f"<li>{item if isinstance(item, Html) else escape(item)}</li>" for item in items)
    return Html(f"<{tag}>{''.join(parts)}</{tag}>\n")


def folded(title: str, content: str) -> Html:
    """Content that shows when its title is clicked."""
    return Html(f"<details><summary>{escape(title)}</summary>\n{content}</details>\n")


def document(title: str, lead: str, sections: Mapping[str, str]) -> str:
    """The page: a title, a paragraph of HTML, and its sections, HTML by heading, those that are not empty."""
    content_by_heading = {heading: content for heading, content in sections.items() if content}
    links = "".join(f'<a href="#{index}">{escape(heading)}</a>' for index, heading in enumerate(content_by_heading))
    body = "".join(
        f'<section><h2 id="{index}">{escape(heading)}</h2>\n{content}</section>\n'
        for index, (heading, content) in enumerate(content_by_heading.items())
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{STYLE}</style></head>\n'
        f"<body>\n<h1>{escape(title)}</h1>\n{lead}<nav>{links}</nav>\n{body}</body>\n</html>\n"
    )
