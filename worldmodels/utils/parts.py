"""Parts that are chosen by ``_target_``: a class of ours by its short name, or anybody's by its dotted path.

The value of such a setting is a name (``salient``), a dotted path (``mypackage.losses.Huber``), or a mapping of
``_target_`` to one of these and of the class's own settings to values. A class's settings are the arguments of its
constructor; those that carry a `Setting` say what they mean and allow. The other arguments are facts that the framework
gives by name (``latent_size``, ``action_size`` …): a class takes those it needs.
"""

import importlib
import inspect
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from omegaconf import MISSING

from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.settings import Declared, Part, Setting, argument_types, arguments, declared, typed

CHANGES_RESULTS = False  # which class is chosen, with which settings, counts in the keys of artifacts
TARGET = "_target_"


def target(part: Part, value: Any, key: str = "") -> str:
    """The dotted path of the chosen class."""
    name = value.get(TARGET) if isinstance(value, Mapping) else value
    require(
        isinstance(name, str) and name != MISSING,
        f"{key}={value} names no class: expected one of {part.allowed}; for example "
        f"'{key}={{{TARGET}: {next(iter(part.names), 'mypackage.MyClass')}, …}}'",
    )
    return part.names.get(str(name), str(name))


def short_name(part: Part, value: Any) -> str | None:
    """The short name of the chosen class where it has one: where it comes with the package."""
    path = target(part, value)
    return next((short for short, long in part.names.items() if long == path), None)


def targets(part: Part, value: Any, key: str) -> list[str]:
    """The dotted paths of the chosen class and of the classes that its settings choose."""
    paths, settings = [target(part, value, key)], complete(part, value, key)
    for name, each in own_settings(find(part, value, key)).items():
        if isinstance(each.setting, Part):
            paths += targets(each.setting, settings[name], f"{key}.{name}")
    return paths


def name(part: Part, value: Any) -> str:
    """The chosen class for people: its short name, or the last part of its path."""
    return short_name(part, value) or target(part, value).rpartition(".")[2]


def find(part: Part, value: Any, key: str) -> Any:
    """The chosen class. Raises `ConfigError` where there is none."""
    path = target(part, value, key)
    module, _, name = path.rpartition(".")
    if not module:
        raise ConfigError(
            f"{key}={path} is unknown: expected one of {', '.join(part.names)}, or the dotted path of a class of your "
            "own, for example mypackage.MyClass"
        )
    require(
        module != "__main__",
        f"{key}={path} lies in the script itself, which worker processes do not run: expected a class in a module; "
        "write it to a file beside the script",
    )
    try:
        chosen = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ConfigError(
            f"{key}={path} cannot be imported ({error}): expected a class that Python finds; install its package, or "
            "put its folder on PYTHONPATH"
        ) from error
    except AttributeError:
        raise ConfigError(
            f"{key}={path} is not there: {module} has no {name}; expected the dotted path of a class"
        ) from None
    require(callable(chosen), f"{key}={path} is no class, but {chosen!r:.60}: expected the dotted path of a class")
    return chosen


def own_settings(chosen: Any) -> Mapping[str, Declared]:
    """The settings of a class: its declared arguments; of a class that declares none, every argument with a default."""
    if settings := declared(chosen):
        return settings
    types = argument_types(chosen)
    return {
        each.name: Declared(each.name, types.get(each.name, Any), each.default, Setting(""))
        for each in arguments(chosen)
        if each.default is not each.empty and each.kind is not each.POSITIONAL_ONLY
    }


def complete(part: Part, value: Any, key: str) -> dict[str, Any]:
    """The chosen class's settings: those that ``value`` gives, checked, and the defaults of the others. Raises
    `ConfigError`.
    """
    chosen = find(part, value, key)
    known, takes = own_settings(chosen), {each.name for each in arguments(chosen)}
    settings = _given(value)
    for name, setting in settings.items():
        require(
            name in takes or _takes_any(chosen),
            f"{key}.{name}={setting} is no setting of {chosen.__name__}: expected {', '.join(known) or 'none'}; "
            f"'{key}={target(part, value)}' alone takes its defaults",
        )
        if name in known:
            settings[name] = typed(f"{key}.{name}", known[name].type, setting)
            known[name].setting.check(f"{key}.{name}", settings[name])
            if isinstance(inner := known[name].setting, Part):
                complete(inner, settings[name], f"{key}.{name}")
    return {name: each.default for name, each in known.items()} | settings


def make(part: Part, value: Any, key: str, /, **facts: Any) -> Any:
    """An instance of the chosen class, with its settings, and those of the ``facts`` that its constructor takes. A fact
    comes before a default. Raises `ConfigError` where something is lacking, or a fact is set.
    """
    chosen, given = find(part, value, key), _given(value)
    needs = {each.name: each for each in arguments(chosen)}
    taken = {name: fact for name, fact in facts.items() if name in needs or _takes_any(chosen)}
    for name in taken:
        require(
            name not in given,
            f"{key}.{name}={given.get(name)} is no setting: {name} is told to {chosen.__name__} by what it is made for "
            f"({name}={taken[name]!r:.40}); expected no {key}.{name}",
        )
    values = {name: each for name, each in complete(part, value, key).items() if each is not MISSING} | taken
    needed = (each for each in needs.values() if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL))
    lacking = [each.name for each in needed if each.default is each.empty and each.name not in values]
    require(
        not lacking,
        f"{key}={target(part, value, key)} needs {', '.join(lacking)}: expected arguments with defaults, or settings "
        f"given in {key}" + (f"; what it is given by name is {', '.join(facts)}" if facts else ""),
    )
    return chosen(**values)


def size(part: Part, value: Any, key: str, name: str) -> int:
    """A size that other parts have to know, such as ``latent_size``: a setting of the chosen class, or its attribute.
    Raises `ConfigError` where it is neither.
    """
    chosen = find(part, value, key)
    argument = next((each for each in arguments(chosen) if each.name == name), None)
    default = getattr(chosen, name, None) if argument is None else argument.default
    known = complete(part, value, key).get(name, default)
    require(
        isinstance(known, int),
        f"{key}={target(part, value, key)} does not tell its {name}: expected an argument {name} with a default, or an "
        f"attribute of the class; add {key}.{name}=…",
    )
    return int(known)  # type: ignore[arg-type]


def counted_part(name: str, part: Part, value: Any, default: Any) -> dict[str, Any]:
    """What a part adds to a key. A class of ours counts by its short name and by its settings that count; anybody
    else's by all of them, under its dotted path.
    """
    short = short_name(part, value)
    chosen, settings = find(part, value, name), complete(part, value, name)
    if short is None:
        return {name: {TARGET: target(part, value), **_counted(chosen, settings, "")}}
    implied = part.counts == "unless default" and short == short_name(part, default)
    return ({} if implied else {name: short}) | _counted(chosen, settings, f"{short}_")


def _counted(chosen: Any, settings: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    known, counted = own_settings(chosen), {}
    for name, value in settings.items():
        setting, default = (known[name].setting, known[name].default) if name in known else (Setting(""), MISSING)
        if not setting.applies(value, default, SimpleNamespace(**settings)):
            continue
        counted_as = setting.key or f"{prefix}{name}"
        if isinstance(setting, Part):
            counted |= counted_part(counted_as, setting, value, default)
        else:
            counted[counted_as] = setting.counting(value)
    return counted


def _given(value: Any) -> dict[str, Any]:
    """The settings that a value gives, without ``_target_``."""
    return {name: each for name, each in value.items() if name != TARGET} if isinstance(value, Mapping) else {}


def _takes_any(chosen: Any) -> bool:
    return any(each.kind is inspect.Parameter.VAR_KEYWORD for each in arguments(chosen))
