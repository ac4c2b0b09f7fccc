"""Which code, and which versions of which libraries, an artifact was made with.

The code of a stage is its own module, the modules of the classes that the config chooses for it, and what these import,
as far as it belongs to the same packages. Comments, docstrings and blank lines do not count. A module that says
``CHANGES_RESULTS = False`` is left out, and what only it imports: nothing in it can change a result.
"""

import ast
import functools
import hashlib
import importlib.util
import io
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

CHANGES_RESULTS = False
DIGITS = 8  # of a file's digest
MARK = re.compile(r"^CHANGES_RESULTS = False\b", re.MULTILINE)
Code = dict[str, dict[str, str]]  # {"files": {module: digest}, "versions": {library: version}}


def fingerprint(modules: Iterable[str], libraries: Iterable[str]) -> Code:
    """Of the code that starts from ``modules``, and of the installed ``libraries``."""
    roots = tuple(dict.fromkeys(modules))
    return {"files": dict(_files(roots)), "versions": {name: _version(name) for name in libraries}}


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


@functools.lru_cache(maxsize=256)
def _files(roots: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    packages = {root.split(".")[0] for root in roots} | {__name__.split(".")[0]}
    folders = {path.parent for root in roots if (path := _path(root)) and root.split(".")[0] != __name__.split(".")[0]}
    found: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        path = _path(name)
        if name in found or path is None:
            continue
        source, imported = _read(path, name)
        if MARK.search(source):
            continue
        found[name] = hashlib.sha256(normalised(source).encode()).hexdigest()[:DIGITS]
        parents = name.split(".")[:-1]
        waiting += [".".join(parents[:count]) for count in range(1, len(parents) + 1)]
        waiting += [
            each
            for each in imported
            if each.split(".")[0] in packages or ((at := _path(each)) is not None and at.parent in folders)
        ]
    return tuple(sorted(found.items()))


def _path(name: str) -> Path | None:
    """The source file of a module, or None where it has none."""
    try:
        loaded = sys.modules.get(name)
        spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(name)
    except (ImportError, AttributeError, ValueError):
        return None
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


@functools.lru_cache(maxsize=1024)
def _read(path: Path, name: str) -> tuple[str, tuple[str, ...]]:
    """A module's source and the modules that it may import."""
    source = path.read_text(encoding="utf-8")
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    return source, tuple(dict.fromkeys(_imports(ast.parse(source), package)))


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
        body: Any = getattr(node, "body", None)
        documented = isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and body
        if documented and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
            first = body[0]
            if isinstance(first.value.value, str) and first.end_lineno:
                for row in range(first.lineno, first.end_lineno + 1):
                    lines[row - 1] = ""
    return "\n".join(line.rstrip() for line in lines if line.strip())


@functools.cache
def _version(library: str) -> str:
    try:
        return metadata.version(library).split("+")[0]
    except metadata.PackageNotFoundError:
        return "none"
