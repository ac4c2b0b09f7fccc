"""Pages and files of the site that lie beside docs/: a link between files of the repository holds on the site too.

What a page links to is added to the site where the repository has it: a README as a page, a figure, table or piece of
code as a file. A link that leads nowhere is left for MkDocs, whose warning fails the build.
"""

import os
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
DOCS = "docs/"
LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#|/)([^)#\s]+)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what pages link to, and what the added pages link to, and what the navigation names."""
    waiting = [file.src_uri for file in files.documentation_pages()] + list(_named(config.nav))
    seen: set[str] = set()
    while waiting:
        uri = waiting.pop()
        if uri in seen:
            continue
        seen.add(uri)
        path = _path(uri)
        if files.get_file_from_path(uri) is None and (ROOT / path).is_file():
            files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
        if uri.endswith(".md") and (ROOT / path).is_file():
            waiting += [_uri(target) for _, target in _links((ROOT / path).read_text(encoding="utf-8"), path)]
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The links of a page, between files of the repository, as links between pages of the site."""
    uri = page.file.src_uri
    targets = dict(_links(markdown, _path(uri)))
    here = posixpath.dirname(uri)
    return LINK.sub(
        lambda link: posixpath.relpath(_uri(targets[link[1]]), here or ".") if link[1] in targets else link[1], markdown
    )


def _links(markdown: str, path: str) -> Iterator[tuple[str, str]]:
    """Links of the file ``path`` to what the repository has: as written, and from its root."""
    for link in LINK.findall(markdown):
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), link))
        if (ROOT / target).is_dir():
            target = posixpath.join(target, "README.md")
        if not target.startswith("..") and (ROOT / target).is_file():
            yield link, target


def _named(nav: object) -> Iterator[str]:
    """Pages that the navigation names."""
    if isinstance(nav, str):
        yield nav
    for value in nav.values() if isinstance(nav, dict) else nav if isinstance(nav, list) else ():
        yield from _named(value)


def _path(uri: str) -> str:
    """A file of the site, from the repository's root."""
    return DOCS + uri if os.path.exists(ROOT / DOCS / uri) else uri


def _uri(path: str) -> str:
    """A file of the repository, from the site's root. The repository's own front page is the site's."""
    return "index.md" if path == "README.md" else path.removeprefix(DOCS)
