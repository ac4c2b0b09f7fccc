"""Every command and every setting of the README and the documentation is one that is there."""

import importlib
import re
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import documents
import hydra
import pytest
from composing import chosen
from helpers import ROOT
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

import worldmodels as wm
from worldmodels.config import Config, check_parts, conf_dir, register_schema, to_config
from worldmodels.utils.help import settings_help

COMMANDS = {name.stem for name in (ROOT / "conf").glob("*.yaml")} - {"config"} | {"train"}
OTHERS = {"python3", "source", "tensorboard", "ray", "git", "mkdocs"}  # programs that are not ours
IDS = [str(page.relative_to(ROOT)) for page in documents.PAGES]


@pytest.mark.parametrize("page", documents.PAGES, ids=IDS)
def test_commands_compose(page: Path, compose: Callable[..., Config], monkeypatch: pytest.MonkeyPatch) -> None:
    """With each value of a sweep, the others as they come first."""
    for command in documents.commands(page):
        program, *words = command.words
        if words[:1] == ["-m"] and words[1].startswith("worldmodels."):
            name = words[1].removeprefix("worldmodels.")
            assert name in COMMANDS, command
            if name == "train":
                _train(command, words[2:], compose, monkeypatch)
            else:
                _finished(name, words[2:])
        elif program == "pip":
            _extras(words)
        elif program == "python" and words[0] != "-m":
            assert (command.folder / words[0]).is_file(), command
        else:
            assert program in OTHERS or words[:2] == ["-m", "pytest"], command


def _train(
    command: documents.Command, words: list[str], compose: Callable[..., Config], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = None
    if "--config-dir" in words:
        place = words.index("--config-dir")
        folder = command.folder / words[place + 1]
        words = words[:place] + words[place + 2 :]
        assert folder.is_dir(), command
    flags = [word for word in words if word.startswith("-")]
    assert set(flags) <= {"-m", "--help", "--cfg", "--verbose"}, command
    if command.path is not None:
        monkeypatch.syspath_prepend(command.path)
    overrides = [word for word in words if word not in (*flags, "job") and not re.match(r"hydra[./]", word)]
    for each in _jobs(overrides):
        config = compose(*each) if folder is None else wm.compose(*each, config_dir=folder)
        check_parts(config)
        if any(word.startswith("env.id=") for word in each):  # another task, with the settings of the one it begins at
            wm.make_env(config).close()


def _jobs(overrides: list[str]) -> Iterator[list[str]]:
    """What a sweep makes of its overrides: each value once."""
    choices = []
    for text in overrides:
        override = OverridesParser.create().parse_override(text)
        if not override.is_sweep_override():
            choices.append([text])
        elif override.is_interval_sweep():
            choices.append([f"{override.key_or_group}={override.value().start}"])
        else:
            choices.append([f"{override.input_line.split('=')[0]}={each}" for each in override.sweep_string_iterator()])
    for turn in range(max(map(len, choices), default=1)):
        yield [each[min(turn, len(each) - 1)] for each in choices]


def _finished(name: str, words: list[str]) -> None:
    """A command on a finished run: its request, checked."""
    module = importlib.import_module(f"worldmodels.{name}")
    register_schema(f"{name}_schema", getattr(module, f"{name.capitalize()}Command"))
    GlobalHydra.instance().clear()
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        to_config(hydra.compose(name, [word for word in words if not word.startswith("-")]))


def _extras(words: list[str]) -> None:
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for extras in re.findall(r"(?:worldmodels|\.)\[(.*?)\]", " ".join(words)):
        assert set(extras.split(",")) <= known.keys(), words


@pytest.fixture(scope="module")
def settings() -> set[str]:
    """As ``--help`` lists them."""
    told = settings_help(Config, 0, chosen())
    return set(re.findall(r"^([a-z_]+(?:\.[a-z_]+)*)=?", told, re.MULTILINE))


@pytest.mark.parametrize("page", documents.PAGES, ids=IDS)
def test_settings_are_there(page: Path, settings: set[str]) -> None:
    """Each ``node.name`` in code is a setting, or a key of results.json."""
    told = documents.keys(ROOT / "docs" / "results.md")
    nodes = {name.partition(".")[0] for name in settings}
    for name in re.findall(r"`'?([a-z_]+(?:\.[a-z_]+)+)(?:=[^`]*)?`", page.read_text()):
        if name.partition(".")[0] in nodes and ".network." not in name and not (ROOT / name).exists():
            inside = any(each.startswith(f"{name}.") for each in settings | told)
            assert name in settings or name in told or inside or _is_module(name), f"{page}: {name}"


def _is_module(name: str) -> bool:
    """Whether it is a path of V's or M's modules, the language of transfer, or a file."""
    return name.startswith(("vision.encoder", "vision.bottleneck", "memory.lstm")) or name.endswith((".yaml", ".json"))


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "tutorials").glob("*.md")), ids=lambda page: page.stem)
def test_a_tutorial_shows_the_code_that_is_tested(page: Path) -> None:
    included = re.findall(r'^--8<-- "(.*)"$', page.read_text(), re.MULTILINE)
    assert included and len(included) == page.read_text().count("8<") and "8 <" not in page.read_text()
    assert all((ROOT / name).is_file() for name in included)
