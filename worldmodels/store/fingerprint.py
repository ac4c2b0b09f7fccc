"""Which code, and which versions of which libraries, an artifact was made with.

The code of a stage is its own module, the modules of the classes that the config chooses for it, and what these import,
as far as it belongs to the same packages. Comments, docstrings and blank lines do not count. A module that says
``CHANGES_RESULTS = False`` is left out, and what only it imports: nothing in it can change a result.

What counts is the code that runs. Python reads a module once, and so does this: a module that is edited after a run has
used it still runs, and counts, in its old version until it is reloaded or Python is restarted; the log says so.
"""

import ast
import functools
import hashlib
import importlib.util
import io
import logging
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

log = logging.getLogger(__name__)
CHANGES_RESULTS = False
DIGITS = 8  # of a file's digest
MARK = re.compile(r"^CHANGES_RESULTS = False\b", re.MULTILINE)
Code = dict[str, dict[str, str]]  # {"files": {module: digest}, "versions": {library: version}}


def fingerprint(modules: Iterable[str], libraries: Iterable[str]) -> Code:
    """Of the code that starts from ``modules``, and of the installed ``libraries``."""
    return {"files": _digests(list(modules)), "versions": {name: _version(name) for name in libraries}}


def digest(code: Code) -> str:
    """A fingerprint in six digits."""
    text = repr([sorted(part.items()) for _, part in sorted(code.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def changes(old: Mapping[str, Mapping[str, str]] | None, new: Code) -> list[str]:
    """What differs, for people: files that changed, came or went, and versions."""
    if not old:
        return ["an earlier version of worldmodels, which kept no record of its code"]
    files, versions = old["files"], old["versions"]
    changed = [name for name in new["files"] if files.get(name) != new["files"][name]]
    changed += [f"{name} (no longer used)" for name in files if name not in new["files"]]
    return changed + [
        f"{name} {versions.get(name, 'none')} → {version}"
        for name, version in new["versions"].items()
        if versions.get(name) != version
    ]


class _Source(NamedTuple):
    """A module as it was when it was read. ``loaded`` tells one import of it from the next."""

    loaded: Any
    modified: int
    digest: str | None  # None where the module says that it changes no result
    imports: tuple[str, ...]


_sources: dict[str, _Source] = {}


def _digests(roots: list[str]) -> dict[str, str]:
    """Of every module that counts, by name."""
    package = __name__.partition(".")[0]
    packages = {package, *(root.partition(".")[0] for root in roots)}
    foreign = (_path(root) for root in roots if root.partition(".")[0] != package)
    folders = {path.parent for path in foreign if path}

    def belongs(name: str) -> bool:
        return name.partition(".")[0] in packages or bool(folders and (at := _path(name)) and at.parent in folders)

    digests: dict[str, str | None] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in digests or (path := _path(name)) is None:
            continue
        source = _read(name, path)
        digests[name] = source.digest
        if source.digest is not None:
            parents = name.split(".")[:-1]
            waiting += [".".join(parents[:count]) for count in range(1, len(parents) + 1)]
            waiting += filter(belongs, source.imports)
    return {name: digest for name, digest in sorted(digests.items()) if digest is not None}


def _path(name: str) -> Path | None:
    """The source file of a module, or None where there is no such module, or it has none."""
    try:
        loaded = sys.modules.get(name)
        parent = sys.modules.get(name.rpartition(".")[0])
        if loaded is None and parent is not None and not hasattr(parent, "__path__"):
            return None  # a name in a module
        spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


def _read(name: str, path: Path) -> _Source:
    """A module's source, as it was when it was read first after it was imported."""
    loaded = sys.modules[name].__spec__ if name in sys.modules else None
    modified = path.stat().st_mtime_ns
    cached = _sources.get(name)
    if cached is not None and cached.loaded is loaded and cached.modified == modified:
        return cached
    if cached is not None and cached.loaded is loaded and loaded is not None:
        log.warning("%s was edited after it was imported: it is used as it was; restart Python for the new one", name)
        _sources[name] = cached._replace(modified=modified)  # said once
        return _sources[name]
    text = path.read_text(encoding="utf-8")
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    counts = not MARK.search(text)
    digest = hashlib.sha256(normalised(text).encode()).hexdigest()[:DIGITS] if counts else None
    imports = tuple(dict.fromkeys(_imports(ast.parse(text), package))) if counts else ()
    _sources[name] = _Source(loaded, modified, digest, imports)
    return _sources[name]


def _imports(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1]) if node.level else ""
            module = f"{base}.{node.module}".strip(".") if node.module else base
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
        else:
            yield from _imports(node, package)


def normalised(source: str) -> str:
    """Source without comments, docstrings, blank lines and trailing white space."""
    lines = source.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first: Any = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and type(first.value.value) is str:
                _cut(lines, first)
    return "\n".join(line.rstrip() for line in lines if line.strip())


def _cut(lines: list[str], node: Any) -> None:
    """Take a statement out of the lines that it lies on. Columns are counted in bytes."""
    top, bottom = node.lineno - 1, node.end_lineno - 1
    before, after = lines[top].encode()[: node.col_offset], lines[bottom].encode()[node.end_col_offset :]
    lines[top : bottom + 1] = [(before + after).decode(), *[""] * (bottom - top)]


@functools.cache
def _version(library: str) -> str:
    try:
        return metadata.version(library).split("+")[0]
    except metadata.PackageNotFoundError:
        return "none"
