"""Which code, and which versions of which libraries, an artifact was made with.

The code of a stage is its own module, the modules of the classes that the config chooses for it, and what these import,
as far as it belongs to the same packages or lies in the folder that a user's class is imported from; of installed
libraries their versions count. Comments, docstrings and layout do not. A module that says ``CHANGES_RESULTS = False``
is left out, and what only it imports: nothing in it can change a result.

What counts is the code that runs. Python reads a module once, and so does this: a module that is edited after a run has
used it still runs, and counts, in its old version until it is reloaded or Python is restarted; the log says so.
"""

import ast
import functools
import hashlib
import importlib.util
import logging
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

log = logging.getLogger(__name__)
CHANGES_RESULTS = False
DIGITS = 8  # of a file's digest
INSTALLED = {"site-packages", "dist-packages"}  # folders whose files have versions, and are not read
MARK = ast.dump(ast.parse("CHANGES_RESULTS = False").body[0])
DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
# {"files": {module: digest}, "versions": {library: version}, "defaults": {setting: value}}; the last as a stage adds
# them: the defaults that its key does not name.
Code = dict[str, dict[str, Any]]


def fingerprint(modules: Iterable[str], libraries: Iterable[str]) -> Code:
    """Of the code that starts from ``modules``, and of the installed ``libraries``."""
    return {"files": _digests(list(modules)), "versions": {name: _version(name) for name in libraries}}


def digest(code: Code) -> str:
    """A fingerprint in six digits."""
    text = repr([sorted(part.items()) for _, part in sorted(code.items())])
    return hashlib.sha256(text.encode()).hexdigest()[:6]


def changes(old: Mapping[str, Mapping[str, Any]] | None, new: Code) -> list[str]:
    """What differs, for people: files that changed, came or went, versions, and defaults."""
    if not old:
        return ["an earlier version of worldmodels, which kept no record of its code"]
    files, versions = old["files"], old["versions"]
    changed = [name for name in new["files"] if files.get(name) != new["files"][name]]
    changed += [f"{name} (no longer used)" for name in files if name not in new["files"]]
    changed += [
        f"{name} {versions.get(name, 'none')} → {version}"
        for name, version in new["versions"].items()
        if versions.get(name) != version
    ]
    defaults = old.get("defaults", {})  # of an earlier version there are none, and its files differ
    return changed + [
        f"{name} by default {defaults[name]} → {value}"
        for name, value in new.get("defaults", {}).items()
        if name in defaults and defaults[name] != value
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
    foreign = ((root, _path(root)) for root in roots if root.partition(".")[0] != package)
    folders = {_import_folder(root, path) for root, path in foreign if path and not INSTALLED & set(path.parts)}

    def belongs(name: str) -> bool:
        if name.partition(".")[0] in packages or not folders or (at := _path(name)) is None:
            return name.partition(".")[0] in packages
        return any(at.is_relative_to(each) and not INSTALLED & set(at.relative_to(each).parts) for each in folders)

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


def _import_folder(name: str, path: Path) -> Path:
    """The folder from which a module is imported: where its outermost package lies, or the module itself."""
    return path.parents[name.count(".") + (path.name == "__init__.py")]


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
    tree = ast.parse(path.read_bytes())
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    counts = not any(isinstance(line, ast.Assign) and ast.dump(line) == MARK for line in tree.body)
    digest = hashlib.sha256(normalised(tree).encode()).hexdigest()[:DIGITS] if counts else None
    imports = tuple(dict.fromkeys(_imports(tree, package))) if counts else ()
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


def normalised(node: Any) -> str:
    """A syntax tree in words, without docstrings. What is empty is left out, so that every version of Python gives the
    same.
    """
    if isinstance(node, list):
        return ",".join(map(normalised, node))
    if not isinstance(node, ast.AST):
        return repr(node)
    words = []
    for name in node._fields:
        value = getattr(node, name, None)
        if name == "body" and isinstance(node, DOCUMENTED) and value and _is_text(value[0]):
            value = value[1:]
        if value is not None and value != [] and name != "ctx":
            words.append(f"{name}={normalised(value)}")
    return f"{type(node).__name__}({';'.join(words)})"


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and type(statement.value.value) is str
    )


@functools.cache
def _version(library: str) -> str:
    try:
        return metadata.version(library).split("+")[0]
    except metadata.PackageNotFoundError:
        return "none"
