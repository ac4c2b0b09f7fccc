"""The README's diagram: ``python docs/diagram.py [--to FILE]``. Dark where the reader's browser is."""

import argparse
from pathlib import Path

WIDTH, HEIGHT = 860, 330
STYLE = """
text { font: 14px system-ui, sans-serif; fill: #24292f; text-anchor: middle }
.small { font-size: 12px; fill: #57606a } .left { text-anchor: start }
rect { fill: #f6f8fa; stroke: #57606a; rx: 8px }
.v { fill: #ddf4ff } .m { fill: #fbefff } .c { fill: #dafbe1 }
path { fill: none; stroke: #57606a; stroke-width: 1.5; marker-end: url(#tip) }
#tip path { fill: #57606a; marker-end: none }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .small { fill: #9198a1 } rect { fill: #161b22; stroke: #9198a1 }
  .v { fill: #0c2d6b } .m { fill: #3c1e70 } .c { fill: #033a16 }
  path { stroke: #9198a1 } #tip path { fill: #9198a1 }
}
"""
STAGES = {  # stage: what it leaves
    "collect": "rollouts",
    "vision": "V's weights",
    "encode": "latents",
    "memory": "M's weights",
    "controller": "C's weights",
    "evaluate": "score, film",
}
CLASSES = {"vision": "v", "memory": "m", "controller": "c"}


def box(x: int, y: int, width: int, height: int, title: str, below: str = "", kind: str = "") -> str:
    """A rectangle about (x, y) with a title and a smaller line."""
    middle = y + (0 if below else 5)
    lines = f'<text x="{x}" y="{middle}">{title}</text>'
    lines += f'<text class="small" x="{x}" y="{y + 17}">{below}</text>' if below else ""
    return f'<rect class="{kind}" x="{x - width // 2}" y="{y - height // 2}" width="{width}" height="{height}"/>{lines}'


def arrow(path: str, label: str = "", at: tuple[int, int] = (0, 0)) -> str:
    return f'<path d="{path}"/>' + (f'<text class="small" x="{at[0]}" y="{at[1]}">{label}</text>' if label else "")


def agent() -> list[str]:
    """Who tells whom what in a step."""
    return [
        box(90, 70, 130, 56, "task", "pixels, reward"),
        box(320, 70, 130, 56, "V", "convolutional VAE", "v"),
        box(560, 70, 130, 56, "C", "linear, CMA-ES", "c"),
        box(440, 165, 130, 56, "M", "MDN-LSTM", "m"),
        arrow("M155 70 H253", "frame, 64×64", (204, 62)),
        arrow("M385 70 H493", "z", (440, 62)),
        arrow("M350 98 L412 135", "z", (370, 125)),
        arrow("M470 137 L532 100", "h", (512, 128)),
        arrow("M560 98 V165 H507", "action", (590, 150)),
        arrow("M625 70 H760 V20 H90 V40", "action", (700, 62)),
    ]


def pipeline() -> list[str]:
    """The stages of a run, and the artifact that each leaves."""
    step = WIDTH // len(STAGES)
    parts = [
        '<text class="small left" x="8" y="225">the stages of a run; each leaves an artifact for later runs</text>'
    ]
    for number, (stage, left) in enumerate(STAGES.items()):
        x = step // 2 + number * step
        parts.append(box(x, 270, 112, 56, stage, left, CLASSES.get(stage, "")))
        if number:
            parts.append(arrow(f"M{x - step + 57} 270 H{x - 58}"))
    return parts


def draw() -> str:
    tip = (
        '<marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0 L10 5 L0 10 z"/></marker>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>V sees, M remembers, C acts; and the stages of a run</title><style>{STYLE}</style><defs>{tip}</defs>\n"
        + "\n".join([*agent(), *pipeline()])
        + "\n</svg>\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", type=Path, default=Path(__file__).parent / "images" / "worldmodels.svg")
    parser.parse_args().to.write_text(draw(), encoding="utf-8")


if __name__ == "__main__":
    main()
