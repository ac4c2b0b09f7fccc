"""``--help``: every setting with its meaning, from the declarations."""

import dataclasses
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_type_hints

from omegaconf import MISSING

from worldmodels.utils import parts
from worldmodels.utils.settings import Declared, Part, Settings, declared

CHANGES_RESULTS = False
KEY, WIDTH = 40, 118


class Described(NamedTuple):
    """A setting for people: its key, its default, what it means with unit and range, and its type."""

    key: str
    default: Any
    meaning: str
    type: Any


def describe(config: type[Any], node: str = "") -> Iterator[Described]:
    """Every setting of a config dataclass, of the dataclasses in it, and of the parts that come with the package, in
    their order.
    """
    hints = get_type_hints(config)
    for field in dataclasses.fields(config):
        kind, key = hints[field.name], f"{node}.{field.name}".lstrip(".")
        if isinstance(kind, type) and issubclass(kind, Settings):
            yield from describe(kind, key)
        elif setting := declared(config).get(field.name):
            yield _described(key, setting)
            if isinstance(setting.setting, Part):
                yield from _part(key, setting.setting)


def _part(key: str, part: Part) -> Iterator[Described]:
    for name, path in part.names.items():
        for setting in parts.declared_settings(parts.find(part, path, key)).values():
            if setting.setting.doc:
                described = _described(f"{key}.{setting.name}", setting)
                yield described._replace(meaning=f"{name}: {described.meaning}")


def _described(key: str, declaration: Declared) -> Described:
    setting, default = declaration.setting, declaration.default
    if isinstance(default, Mapping):
        default = default.get(parts.TARGET, default)
    notes = [note for note in (setting.unit, setting.allowed) if note]
    meaning = setting.doc + (f" [{'; '.join(notes)}]" if notes else "")
    return Described(key, default, meaning, declaration.type)


def settings_help(schema: type[Settings], indent: int) -> str:
    """A line or two for each setting: key, default, meaning, unit and range."""
    lines = []
    for setting in describe(schema):
        column = setting.key + ("" if setting.default == MISSING else f"={_formatted(setting.default)}")
        meaning = textwrap.wrap(setting.meaning, WIDTH - KEY - indent) or [""]
        if len(column) >= KEY:
            lines.append(column)
            column = ""
        lines += [f"{column:{KEY}}{meaning[0]}".rstrip(), *(" " * KEY + line for line in meaning[1:])]
    text = ("\n" + " " * indent).join(lines)
    return text.replace("$", "$$")  # Hydra's help is a template


def _formatted(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    return f"[{','.join(map(str, value))}]" if isinstance(value, list) else str(value)
