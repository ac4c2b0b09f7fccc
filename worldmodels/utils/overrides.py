"""What users write on the command line, as Hydra needs it to mean what they say."""

import dataclasses
import functools
import re
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from hydra._internal.utils import get_args_parser
from omegaconf import OmegaConf

from worldmodels.utils.checks import require
from worldmodels.utils.recipes import require_no_second_choice
from worldmodels.utils.settings import Part, Setting, declared

CHANGES_RESULTS = False
PLAIN = re.compile(r"([\w.]+)=([+-]?[\w.+-]+)")  # no quotes, commas, spaces and brackets
UNQUOTED = re.compile(r"[\w/.+%@:*?|-]+( [\w/.+%@:*?|-]+)*", re.ASCII)  # what Hydra takes as it is
CHOICE = re.compile(r"([\w.]+)=\{.*?_target_: *([\w.]+).*\}")
OPTIONAL = ("recipe",)  # groups of which Hydra skips an option that is not there
ELSEWHERE = ("hydra.searchpath=", "--config-", "-cd", "-cp")  # begin what finds options in other folders
NO_NAME = re.compile(r"null|true|false|[+-]?[\d.]+(e[+-]?\d+)?", re.IGNORECASE)
OPTUNA, DIRECTION = "hydra/sweeper=optuna", "hydra.sweeper.direction"
PATHS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir", "runs")


def typed(folder: Path) -> list[str]:
    """What was typed to start the run or job of a folder; nothing where Hydra kept none."""
    path = folder / ".hydra" / "overrides.yaml"
    return list(map(str, OmegaConf.load(path))) if path.is_file() else []


def written(key: str, value: str) -> str:
    """``key=value`` of a text setting to paste into a shell: in quotes of Hydra where it would read more than a text,
    and in those of a shell where that one would.
    """
    if not UNQUOTED.fullmatch(value) or NO_NAME.fullmatch(value):
        value = re.sub(r"(\\+)(?=\"|$)", r"\1\1", value).replace('"', '\\"').replace("${", "\\${")
        value = f'"{value}"'
    return f"{key}={shlex.quote(value)}"


def require_options(overrides: Sequence[str], schema: type, conf: Path) -> None:
    """Raise `ConfigError` where a group, a folder of ``conf``, is given something other than an option. Several options
    in a list suit groups without a setting of their name, and those whose setting is a dict; a dict suits groups of
    settings. Also where an option is not there and Hydra would skip it, where a group is chosen that a recipe chooses
    too, where a class is to be chosen and a list is given, and where a setting is deleted, which would then have a
    default that no config file says.
    """
    kinds = get_type_hints(schema)
    if not any((conf / name).is_dir() for name in kinds):
        return  # a command without groups
    elsewhere = any(override.startswith(ELSEWHERE) for override in overrides)
    for override in overrides:
        if override.startswith("~"):
            _refuse_deletion(override, schema, conf)
        group, _, value = override.removeprefix("+").partition("=")
        if value.startswith("[") and isinstance(part := setting_at(schema, group), Part):
            allowed = part.allowed if part.names else "the dotted path of a class"
            example = next(iter(part.names), "mypackage.MyClass")
            require(False, f"{group}={value} is a list: expected {allowed}; write for example {group}={example}")
        if not value or not group.isidentifier() or not (conf / group).is_dir():
            continue
        kind = kinds.get(group)
        options = sorted(path.stem for path in (conf / group).glob("*.yaml"))
        wrong = None
        if value.startswith("{") and kind in (None, str):
            wrong = "a dict"
        elif value.startswith("[") and kind is not None and get_origin(kind) is not dict:
            wrong = "a list"
        elif NO_NAME.fullmatch(value) and value not in options:
            wrong = "no name"
        require(
            wrong is None,
            f"{group}={value} is {wrong}: expected an option of the group, one of {', '.join(options)}; write for "
            f"example {group}={options[0]}",
        )
        missing = [name for name in value.split(",") if name not in options]
        require(
            group not in OPTIONAL or elsewhere or not missing,
            f"{group}={missing[0] if missing else value} is unknown: expected one of {', '.join(options)}",
        )
        require(
            not override.startswith("+") or value not in options,
            f"{override} adds a second {group}: expected an option in the place of the one there is; write "
            f"{group}={value}",
        )
    require_no_second_choice(overrides, conf)


def _refuse_deletion(override: str, schema: type, conf: Path) -> None:
    """Raise `ConfigError` where ``~NAME`` deletes a group or a setting that every run has."""
    key = override.removeprefix("~").partition("=")[0]
    node = get_type_hints(schema).get(key)
    group = (conf / key).is_dir() and node is not None and get_origin(node) is not dict
    setting = any(key == name for name in _keys(schema, lambda kind, _: get_origin(kind) is not dict))
    require(
        not (group or setting),
        f"{override} deletes {key}, which every run needs: expected {'an option of the group' if group else 'a value'};"
        f" write {key}=…, or nothing for the usual one",
    )


def setting_at(schema: Any, key: str) -> Setting | None:
    """The declaration of the setting ``key``."""
    *nodes, name = key.split(".")
    for node in nodes:
        schema = get_type_hints(schema).get(node)
        if not dataclasses.is_dataclass(schema):
            return None
    declaration = declared(schema).get(name)  # type: ignore[arg-type]
    return None if declaration is None else declaration.setting


def spelled_out(overrides: Sequence[str], schema: type) -> list[str]:
    """The overrides in the words of Hydra.

    * A value of a text setting is quoted where Hydra would take it for a number or a boolean: it would read
      ``paths.outputs=1E3`` as 1000.0.
    * A chosen class, ``vae.loss=mse`` or ``vae.loss={_target_: mse, …}``, replaces all settings of the class that a
      config file has chosen; Hydra would merge the two.
    * A setting of a chosen class, ``vae.loss.weight=3``, need not be in the config yet, nor a class under a new name,
      ``callbacks.mine={_target_: …}``, nor a key of a dict, ``env.kwargs.gravity=-9``.
    * The direction of Optuna's sweeper is that of the objective (`worldmodels.objective.direction_of`), for which Hydra
      asks by the resolver ``direction``.
    """
    texts = {*_texts(schema), *PATHS}
    parts, growing = set(part_keys(schema)), set(open_keys(schema))
    result: list[str] = []
    for override in overrides:
        key, equals, _ = override.partition("=")
        plain, choice = PLAIN.fullmatch(override), CHOICE.fullmatch(override)
        if plain and key in texts and plain[2].lower() != "null":
            result.append(f"{key}='{plain[2]}'")
        elif plain and key in parts:
            result += [override, f"{key}={{_target_: {plain[2]}}}"]
        elif choice and key in parts:
            result += [f"{key}={choice[2]}", override]
        elif equals and any(key.startswith(f"{node}.") for node in growing):
            result.append(f"++{override}")
        elif plain and key == DIRECTION:
            result.append(f"{key}='${{direction:${{objective}},{plain[2]}}}'")
        else:
            result.append(override)
    if OPTUNA in overrides and not any(override.partition("=")[0] == DIRECTION for override in overrides):
        result.append(f"{DIRECTION}='${{direction:${{objective}}}}'")
    return result


def _texts(schema: Any, node: str = "") -> Iterator[str]:
    """Keys of the settings that are text."""
    for name, kind in get_type_hints(schema).items():
        if dataclasses.is_dataclass(kind):
            yield from _texts(kind, f"{node}{name}.")
        elif kind in (str, str | None):
            yield f"{node}{name}"


@functools.cache
def part_keys(schema: Any) -> tuple[str, ...]:
    """Keys of the settings whose value is a class."""
    return tuple(_keys(schema, lambda _, setting: isinstance(setting, Part)))


def open_keys(schema: Any) -> Iterator[str]:
    """Keys of the settings that take keys which no schema knows: classes with their settings, and dicts."""
    yield from _keys(schema, lambda kind, setting: isinstance(setting, Part) or get_origin(kind) is dict)


@functools.cache
def every_key(schema: Any) -> tuple[str, ...]:
    """Keys of all settings."""
    return tuple(_keys(schema, lambda *_: True))


def _keys(schema: Any, wanted: Callable[[Any, Setting], bool], node: str = "") -> Iterator[str]:
    settings = declared(schema)
    for name, kind in get_type_hints(schema).items():
        if dataclasses.is_dataclass(kind):
            yield from _keys(kind, wanted, f"{node}{name}.")
        elif name in settings and wanted(kind, settings[name].setting):
            yield f"{node}{name}"


def flags_first(arguments: Sequence[str]) -> list[str]:
    """A command line with its flags before its overrides, as Hydra needs them: ``seed=0,1 -m`` is ``-m seed=0,1``."""
    options = get_args_parser()._option_string_actions
    flags: list[str] = []
    overrides: list[str] = []
    waiting = list(arguments)
    while waiting:
        argument = waiting.pop(0)
        if not argument.startswith("-"):
            overrides.append(argument)
            continue
        flags.append(argument)
        action = options.get(argument)  # a flag that has its value after = is none of these
        if (
            action
            and waiting
            and (action.nargs is None or (action.nargs == "?" and waiting[0] in (action.choices or ())))
        ):
            flags.append(waiting.pop(0))
    return [*flags, *overrides]
