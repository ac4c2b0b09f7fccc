"""``--help``: every setting with its meaning, from the declarations."""

import dataclasses
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import MISSING, OmegaConf

from worldmodels.utils import parts
from worldmodels.utils.settings import Declared, Part, Settings, declared

CHANGES_RESULTS = False
KEY, WIDTH = 40, 118


_options_of_group = ConfigLoaderImpl.get_group_options


def list_groups_at_once() -> None:
    """Have Hydra list the groups from what it has read, and not copy that for each of them, which takes its help a
    second.
    """

    def options(loader: Any, group_name: str, *arguments: Any, **others: Any) -> list[str]:
        if len(arguments) > 1 or others.keys() - {"results_filter"}:  # overrides may add folders to search
            return _options_of_group(loader, group_name, *arguments, **others)
        return loader.repository.get_group_options(group_name, *arguments, **others)

    ConfigLoaderImpl.get_group_options = options  # type: ignore[method-assign]


class Described(NamedTuple):
    """A setting for people: its key, its default, what it means with unit and range, and its type."""

    key: str
    default: Any
    meaning: str
    type: Any


def describe(config: type[Any], node: str = "", values: Any = None) -> Iterator[Described]:
    """Every setting of a config dataclass, of the dataclasses in it, and of the parts that come with the package, in
    their order. ``values``: a composed config, whose values stand in the place of the defaults.
    """
    hints = get_type_hints(config)
    for field in dataclasses.fields(config):
        kind, key = hints[field.name], f"{node}.{field.name}".lstrip(".")
        if isinstance(kind, type) and issubclass(kind, Settings):
            yield from describe(kind, key, values)
        elif setting := declared(config).get(field.name):
            yield _described(key, setting, values)
            if isinstance(setting.setting, Part):
                yield from _part(key, setting.setting, values, setting.default)
            elif get_origin(kind) is list and issubclass(get_args(kind)[0], Settings):
                yield from describe(get_args(kind)[0], f"{key}[]")


def _part(key: str, part: Part, values: Any, default: Any) -> Iterator[Described]:
    """The settings of the classes that have a name, and of the class that is chosen."""
    chosen = OmegaConf.select(values, key) if values is not None else default
    classes = dict(part.names)
    if isinstance(chosen, str | Mapping) and parts.short_name(part, chosen) is None:
        classes[parts.name(part, chosen)] = parts.target(part, chosen, key)
    for name, path in classes.items():
        for setting in parts.declared_settings(parts.find(part, path, key)).values():
            if setting.setting.doc:
                is_chosen = chosen is not None and parts.target(part, chosen, key) == path
                described = _described(f"{key}.{setting.name}", setting, values if is_chosen else None)
                yield described._replace(meaning=f"{name}: {described.meaning}")


def _described(key: str, declaration: Declared, values: Any) -> Described:
    setting, default = declaration.setting, declaration.default
    if values is not None and default != MISSING:
        value = OmegaConf.select(values, key, default=default)
        default = OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
    if isinstance(setting, Part) and isinstance(default, Mapping):
        default = parts.short_name(setting, default) or parts.target(setting, default, key)
    notes = [note for note in (setting.unit, setting.allowed) if note]
    meaning = setting.doc + (f" [{'; '.join(notes)}]" if notes else "")
    return Described(key, default, meaning, declaration.type)


def settings_help(schema: type[Settings], indent: int, values: Any = None) -> str:
    """A line or two for each setting: key, value (see `describe`), meaning, unit and range."""
    lines = []
    for setting in describe(schema, values=values):
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
    if isinstance(value, Mapping):
        shown = {key: "…" if isinstance(item, Mapping) else item for key, item in value.items() if item is not None}
        inner = (f"{key}: {_formatted(item)}" for key, item in shown.items())
        return f"{{{', '.join(inner)}}}"
    return f"[{','.join(map(_formatted, value))}]" if isinstance(value, list) else str(value)
