"""The code counts: what an artifact was made with, and what of a change is told."""

import ast
import importlib
import os
import sys
from pathlib import Path

import pytest

from worldmodels.store import fingerprint as module
from worldmodels.store.building import Store
from worldmodels.store.fingerprint import changes, digest, fingerprint, normalised


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of somebody, edited in place; every edit is like a new start of Python."""
    folder = tmp_path / "theirs"
    folder.mkdir()
    files = {
        "__init__": "",
        "loss": "from theirs.shapes import SIZE\n\n\nclass Huber:\n    def distance(self, error):\n"
        "        return SIZE * error\n",
        "shapes": "SIZE = 3\n",
        "other": "class MSE:\n    pass\n",
        "shown": "CHANGES_RESULTS = False\nfrom theirs.deep import WORDS\n",
        "deep": "WORDS = 1\n",
    }
    monkeypatch.syspath_prepend(tmp_path)

    def write(name, text):
        (folder / f"{name}.py").write_text(text)
        for known in [each for each in sys.modules if each.split(".")[0] == "theirs"]:
            del sys.modules[known]
        monkeypatch.setattr(module, "_sources", {})
        importlib.invalidate_caches()

    for name, text in files.items():
        write(name, text)
    yield lambda name, edit: write(name, edit(files[name]))
    for known in [each for each in sys.modules if each.split(".")[0] == "theirs"]:
        del sys.modules[known]


def of(*modules):
    return fingerprint(modules, ["torch"])


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: f"# a comment\n\n{text}\n\n",
        lambda text: f'"""A docstring."""\n{text}',
        lambda text: text.replace(
            "class Huber:\n", 'class Huber:\n    """Huber\'s # loss: ä.\n\n    Two.\n    """\n\n'
        ),
        lambda text: text.replace("SIZE * error", "SIZE * error  # squared"),
    ],
)
def test_comments_docstrings_and_blank_lines_do_not_count(package, edit):
    before = of("theirs.loss")
    package("loss", edit)
    assert of("theirs.loss") == before


def test_a_line_counts_and_is_told(package):
    before = of("theirs.loss")
    package("loss", lambda text: text.replace("SIZE * error", "-7 * error"))
    after = of("theirs.loss")
    assert digest(before) != digest(after)
    assert changes(before, after) == ["theirs.loss"]


def test_what_a_module_imports_beside_it_counts(package):
    before = of("theirs.loss")
    assert set(before["files"]) == {"theirs", "theirs.loss", "theirs.shapes"}
    package("shapes", lambda text: "SIZE = 4\n")
    assert changes(before, of("theirs.loss")) == ["theirs.shapes"]


def test_modules_without_a_package_count_with_what_lies_beside_them(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lonely_loss.py").write_text("import json\nimport lonely_help\n")
    (tmp_path / "lonely_help.py").write_text("SIZE = 1\n")
    assert set(of("lonely_loss")["files"]) == {"lonely_loss", "lonely_help"}


def test_packages_beside_it_count_and_installed_ones_do_not(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    installed = tmp_path / "venv" / "site-packages"
    for folder, name in ((tmp_path, "their_tools"), (installed, "their_library")):
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("")
        (folder / name / "deep.py").write_text("SIZE = 1\n")
    monkeypatch.syspath_prepend(installed)
    (tmp_path / "their_loss.py").write_text(
        "import their_library.deep\ndef f():\n    from their_tools.deep import SIZE\n"
    )
    files = {"their_loss", "their_tools", "their_tools.deep"}
    assert set(of("their_loss")["files"]) == files
    (tmp_path / "their_project").mkdir()
    (tmp_path / "their_project" / "__init__.py").write_text("import their_tools.deep\n")
    assert set(of("their_project")["files"]) == {"their_project", "their_tools", "their_tools.deep"}
    (installed / "their_vision.py").write_text("import their_library.deep\n")
    assert set(of("their_vision")["files"]) == {"their_vision"}


def test_what_is_not_imported_does_not_count(package):
    before = of("theirs.loss")
    package("other", lambda text: "class MSE:\n    size = 2\n")
    assert of("theirs.loss") == before


def test_a_module_that_changes_no_result_is_left_out_with_what_only_it_imports(package):
    package("loss", lambda text: f"import theirs.shown\n{text}")
    assert {"theirs.shown", "theirs.deep"}.isdisjoint(of("theirs.loss")["files"])


def test_imports_in_functions_count_and_those_for_types_do_not(package):
    types = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import theirs.deep\n"
    package("loss", lambda _: f"{types}def f():\n    from . import other\n")
    assert set(of("theirs.loss")["files"]) == {"theirs", "theirs.loss", "theirs.other"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('def f(): "doc"; return 7\n', 'def f(): "doc"; return 8\n'),
        ('X = """a\n\nb"""\n', 'X = """a\nb"""\n'),
        ('X = """a\n  \nb"""\n', 'X = """a\n\nb"""\n'),
        ('X = """a \nb"""\n', 'X = """a\nb"""\n'),
        ('X = """a\x0cb  # one"""\n', 'X = """a\x0cb  # two"""\n'),
        ("X = 1\n", "X = 1.0\n"),
        ("X = None\n", "X = ...\n"),
        ("X = [a, b]\n", "X = [[a, b]]\n"),
        ("f(a, [b])\n", "f([a, b])\n"),
        ("def f(a, *, b): pass\n", "def f(a, b): pass\n"),
        ("def f(*, a, b=1): pass\n", "def f(*, a=1, b): pass\n"),
        ("{**a, 1: 2}\n", "{1: 2, **a}\n"),
        ('def f():\n    X = 1\n    "text"\n', 'def f():\n    "text"\n'),
    ],
)
def test_code_that_runs_otherwise_counts(one, other):
    assert normalised(ast.parse(one)) != normalised(ast.parse(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ('def f():\n    "doc"\n    return 7\n', "def f():\n    return 7\n"),
        ("x = 1\n\x0c\ny = 2  # two\n", "x = 1\ny = 2\n"),
        ("x = f(a,\n      b)\n", "x = f(a, b)\n"),
        ("if a:\n\tb = 1\n", "if a:\n    b = 1\n"),
    ],
)
def test_layout_does_not_count(one, other):
    assert normalised(ast.parse(one)) == normalised(ast.parse(other))


def test_a_mark_within_a_text_marks_nothing(package):
    package("loss", lambda text: f"X = '''\nCHANGES_RESULTS = False\n'''\n{text}")
    assert "theirs.loss" in of("theirs.loss")["files"]


def test_versions_count_and_are_told(package, monkeypatch):
    before = of("theirs.loss")
    after = {**before, "versions": {"torch": "9.9"}}
    assert digest(before) != digest(after)
    assert changes(before, after) == [f"torch {before['versions']['torch']} → 9.9"]
    assert fingerprint([], ["a-package-that-is-not-there"])["versions"] == {"a-package-that-is-not-there": "none"}


def test_a_module_that_is_gone_is_told(package):
    before = of("theirs.loss")
    package("loss", lambda text: text.replace("from theirs.shapes import SIZE", "SIZE = 3"))
    assert changes(before, of("theirs.loss")) == ["theirs.loss", "theirs.shapes (no longer used)"]


def test_a_module_counts_as_it_was_imported(package, tmp_path, caplog):
    """In a notebook: the code that runs is the one that was imported, whatever has become of its file."""
    loss = importlib.import_module("theirs.loss")
    before = of("theirs.loss")
    path = tmp_path / "theirs" / "loss.py"
    path.write_text(path.read_text().replace("SIZE * error", "-7 * error * 1"))
    assert of("theirs.loss") == before
    assert of("theirs.loss") == before
    assert caplog.text.count("theirs.loss was edited after it was imported") == 1
    importlib.reload(loss)
    assert changes(before, of("theirs.loss")) == ["theirs.loss"]


def test_an_artifact_is_made_anew_or_taken_all_the_same(package, tmp_path, caplog):
    caplog.set_level("INFO")
    store, calls = Store(tmp_path / "artifacts"), []

    def build(reuse="exact"):
        work = lambda folder: calls.append(folder) or {}  # noqa: E731
        return store.build("vision", "v", {}, {}, work, {}, code=of("theirs.loss"), reuse=reuse)

    first = build()
    assert build().cached and len(calls) == 1
    package("loss", lambda text: text.replace("SIZE * error", "-7 * error"))
    taken = build("any")
    assert (taken.path, taken.cached, taken.other_code) == (first.path, True, ["theirs.loss"])
    assert f"vision: reused {first.name}, made by other code: theirs.loss" in caplog.text
    second = build()
    assert len(calls) == 2 and second.path != first.path and not second.other_code
    assert f"vision: made anew, because of what changed since {first.name}: theirs.loss (reuse=any takes" in caplog.text
    package("loss", lambda text: text)
    assert build().path == first.path, "the code of before finds what it made"


PACKAGE = Path(module.__file__).parents[1]


def defined(name):
    """Modules of the package that define a function of this name, wherever in it."""
    return {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
        if any(
            isinstance(node, ast.FunctionDef) and node.name == name for node in ast.walk(ast.parse(path.read_text()))
        )
    }


@pytest.mark.parametrize("stage", ["vision", "memory"])
@pytest.mark.parametrize("function", ["epochs_of", "budget_of", "loaded_parts", "of_part", "mixes"])
def test_what_says_how_long_a_part_trains_counts(stage, function):
    root = f"worldmodels.pipeline.stages.{stage}"
    at = {name for name in defined(function) if ".reports." not in name}
    assert at and at <= set(fingerprint([root], [])["files"])


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("config.py")), ids=lambda path: path.parent.name)
def test_the_declarations_of_settings_compute_nothing_that_a_build_goes_by(path):
    """They do not count. `check` refuses, and changes nothing."""
    signs = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod, ast.Pow)
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    computing = {
        function.name
        for function in functions
        for node in ast.walk(function)
        if (isinstance(node, ast.BinOp) and isinstance(node.op, signs))
        or (isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("round", "min", "max", "sum"))
    }

    assert computing <= {"check", "conf_dir"}


LOSSES = {name: f"worldmodels.vision.losses.{name}" for name in ("mse", "salient", "gan", "perceptual")}


@pytest.mark.parametrize("loss", LOSSES)
def test_the_code_of_a_loss_counts_with_that_loss_alone(loss):
    """The code of V's stage with each loss, by the names of its modules."""
    from worldmodels.pipeline.stages import vision

    for chosen, path in LOSSES.items():
        files = fingerprint([vision.STAGE.build.__module__, path], ["torch"])["files"]
        assert (LOSSES[loss] in files) == (chosen == loss)
        assert "worldmodels.controller.agent" not in files


LOSS = """
from worldmodels.vision.losses.base import Loss


class Mine(Loss):
    def distance(self, reconstruction, frames, error, z):
        return 2 * error
"""


@pytest.mark.slow
def test_an_edited_loss_rebuilds_v_and_what_depends_on_it(commands, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    path = tmp_path / "my_losses.py"
    run = ("env=lunar_lander", "vae=cvae", "vae.loss=my_losses.Mine", "probe.enabled=false", "measure.enabled=false")
    run += ("vae.epochs=1", "collect.max_steps=20")
    path.write_text(LOSS)
    commands.train(*run, "stage=memory")
    path.write_text(f'"""Mine."""\n{LOSS}# the end\n')
    commands.train(*run, "stage=memory")
    path.write_text(LOSS.replace("2 *", "3 *"))
    told = commands.train(*run, "stage=memory", "reuse=any")
    assert "made by other code: my_losses" in told
    told = commands.train(*run, "stage=memory")
    assert "vision: made anew, because of what changed since" in told and ": my_losses (reuse=any takes it" in told
    results = commands.results()
    cached = [[stage["cached"] for stage in each["stages"].values()] for each in results]
    assert cached == [[False] * 4, [True] * 4, [True] * 4, [True, False, False, False]]
    assert results[2]["stages"]["vision"]["other_code"] == ["my_losses"]
    assert not any("other_code" in stage for stage in results[3]["stages"].values())
