"""A self-contained HTML page: tables, figures inside it, no script, nothing from the network."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from worldmodels.utils.comparing import ROUNDING

KINDS = {"svg": "image/svg+xml", "png": "image/png", "gif": "image/gif"}
STYLE = """
:root { color-scheme: light dark; --ground: #fff; --ink: #1a1a1a; --soft: #444; --line: #e4e4e4; --rule: #999;
  --link: #00509e; --fill: #0072b2; --empty: #e8e8e8; --panel: #f5f5f5; }
@media (prefers-color-scheme: dark) {
  :root { --ground: #141414; --ink: #e8e8e8; --soft: #b5b5b5; --line: #333; --rule: #777; --link: #7db8ee;
    --fill: #4aa3dd; --empty: #333; --panel: #1f1f1f; }
  img.drawn, .swatch[style] { filter: invert(0.92) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1216px; padding: 0 24px 48px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; overflow-wrap: break-word; }
h1 { font-size: 26px; margin: 28px 0 4px; line-height: 1.25; }
h2 { font-size: 20px; margin: 40px 0 8px; border-bottom: 1px solid var(--rule); padding-bottom: 4px; }
h3 { font-size: 16px; margin: 24px 0 6px; }
p, ol, ul { max-width: 860px; margin: 6px 0; }
table { border-collapse: collapse; font-size: 13px; margin: 8px 0 4px; overflow-wrap: normal; }
th, td { padding: 3px 10px 3px 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th { border-bottom: 1px solid var(--rule); font-weight: 600; vertical-align: bottom; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.figure { font-variant-numeric: tabular-nums; white-space: nowrap; }
.wide { overflow-x: auto; }
details td:last-child { min-width: 90px; }
summary { margin: 14px 0 6px; cursor: pointer; font-weight: 600; }
.pairs { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(340px, 100%), 1fr)); gap: 0 24px; }
.pairs:has(> :nth-child(4):last-child) { grid-template-columns: repeat(auto-fit, minmax(min(480px, 100%), 1fr)); }
figure { margin: 10px 0 18px; break-inside: avoid; min-width: 0; }
figure img { max-width: 100%; height: auto; display: block; }
.strip img { width: 100%; max-width: 820px; image-rendering: pixelated; }
.film img { width: 100%; max-width: 580px; image-rendering: pixelated; }
figcaption, .note { color: var(--soft); font-size: 13px; max-width: 860px; }
.problem { border-left: 4px solid #c33; padding: 2px 12px; margin: 10px 0; }
.score { font-size: 40px; font-weight: 700; line-height: 1.2; margin: 8px 0 0; }
.scale { position: relative; height: 12px; margin: 30px 0 34px; max-width: 820px; background: var(--empty); }
.scale div { height: 100%; background: var(--fill); }
.scale span { position: absolute; font-size: 12px; white-space: nowrap; top: 100%; border-left: 1px solid var(--rule);
  padding: 0 4px; }
.scale span.above { top: auto; bottom: 100%; }
.scale span.left { border-left: 0; border-right: 1px solid var(--rule); transform: translateX(-100%); }
.bars { display: grid; grid-template-columns: max-content minmax(60px, 360px) max-content; gap: 4px 10px;
  font-size: 13px; align-items: center; margin: 8px 0; }
.bars i { display: block; height: 12px; background: var(--empty); }
.bars b { display: block; height: 100%; background: var(--fill); }
.swatch { display: inline-block; width: 10px; height: 10px; margin-right: 6px; background: currentColor; }
.named { white-space: nowrap; }
pre { background: var(--panel); padding: 8px 10px; white-space: pre-wrap; font-size: 13px; margin: 6px 0; }
nav { display: flex; flex-wrap: wrap; gap: 2px 14px; margin: 10px 0; }
@media (max-width: 700px) { body { padding: 0 12px 32px; } th, td { min-width: 4em; }
  .broad { overflow-x: auto; } .broad img { max-width: none; }
  .bars { grid-template-columns: minmax(0, 45%) minmax(50px, 1fr) max-content; } }
a { color: var(--link); }
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


def figure(data: bytes, kind: str, text: str, caption: str = "", style: str = "") -> Html:
    """A picture (svg, png or gif) inside the page. ``text`` says what it shows to who cannot see it; ``style``: strip,
    a row of frames; film; broad, as wide as it is also on a narrow page. A diagram, which is an svg, is shown dark on a
    dark page.
    """
    source = f"data:{KINDS[kind]};base64,{base64.b64encode(data).decode()}"
    drawn = ' class="drawn"' if kind == "svg" else ""
    image = f'<img src="{source}" alt="{escape(text)}"{drawn}>'
    words = f"\n<figcaption>{escape(caption)}</figcaption>" if caption else ""
    kind_of = f' class="{style}"' if style else ""
    return Html(f"<figure{kind_of}>{image}{words}</figure>\n")


def side_by_side(parts: Iterable[str]) -> Html:
    """Figures beside each other where the page is wide enough, else below each other."""
    content = "".join(parts)
    return Html(f'<div class="pairs">{content}</div>\n' if content else "")


def bars(rows: Iterable[tuple[str, float, str]]) -> Html:
    """A bar for each label, share (0 to 1) and text."""
    cells = (
        f'<span>{escape(label)}</span><i><b style="width:{100 * min(1.0, max(0.0, share)):.0f}%"></b></i>'
        f"<span>{escape(text)}</span>"
        for label, share, text in rows
    )
    content = "\n".join(cells)
    return Html(f'<div class="bars">{content}</div>\n' if content else "")


def scale(value: float, marks: Mapping[str, float]) -> Html:
    """A bar up to ``value`` between the lowest and the highest of it and the ``marks``, which stand beside it."""
    low, high = min(value, *marks.values()), max(value, *marks.values())
    reach = (high - low) or 1.0

    def share(x: float) -> float:
        return 100 * (x - low) / reach

    spans = []
    for index, (label, x) in enumerate(sorted(marks.items(), key=lambda item: item[1])):
        style = " ".join(name for name, on in (("above", index % 2), ("left", share(x) > 50)) if on)
        spans.append(f'<span class="{style}" style="left:{share(x):.1f}%">{escape(label)} {number(x)}</span>')
    return Html(f'<div class="scale"><div style="width:{share(value):.1f}%"></div>{"".join(spans)}</div>\n')


def named(label: str, colour: str | None) -> Html:
    """A strategy's name after a square in its colour, black (on a dark page, white) for None."""
    style = f' style="background:{colour}"' if colour else ""
    return Html(f'<span class="named"><i class="swatch"{style}></i>{escape(label)}</span>')


def command(text: str) -> Html:
    """A command to be copied."""
    return Html(f"<pre>{escape(text)}</pre>\n")


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
