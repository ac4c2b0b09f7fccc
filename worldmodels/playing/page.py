"""The page in one piece: nothing is loaded from elsewhere."""

from pathlib import Path

CHANGES_RESULTS = False
FOLDER = Path(__file__).parent
PLACE = "<!-- scripts -->"


def page(*scripts: str, data: str = "") -> str:
    """``page.html`` with the ``scripts`` of this folder inside, before them ``data``, which is JavaScript too."""
    parts = [data, *((FOLDER / name).read_text(encoding="utf-8") for name in scripts)]
    tags = "\n".join(f"<script>\n{part}</script>" for part in parts if part)
    return (FOLDER / "page.html").read_text(encoding="utf-8").replace(PLACE, tags)
