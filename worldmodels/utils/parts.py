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
from worldmodels.utils.errors import MISTAKES, ConfigError, described
from worldmodels.utils.settings import Declared, Part, Setting, argument_types, arguments, declared, typed
from worldmodels.utils.words import or_meant

CHANGES_RESULTS = False  # which class is chosen, with which settings, counts in the keys of artifacts
TARGET = "_target_"
# Packages that a finished run may name without permission; of these only classes that fit the part are called.
OURS = ("worldmodels.", "ale_py.", "lightning.pytorch.loggers.", "lightning.pytorch.callbacks.")


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
    for name, declaration in declared_settings(find(part, value, key)).items():
        if isinstance(declaration.setting, Part):
            paths += targets(declaration.setting, settings[name], f"{key}.{name}")
    return paths


def name(part: Part, value: Any) -> str:
    """The chosen class for people: its short name, or the last part of its path."""
    return short_name(part, value) or target(part, value).rpartition(".")[2]


def find(part: Part, value: Any, key: str) -> Any:
    """The chosen class. Raises `ConfigError` where there is none, and for what lies in `OURS` and is no class of that
    package that fits the part: it needs no permission, so it may be nothing else that can be called.
    """
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
        imported = importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"{key}={path} cannot be imported ({error}): expected a class that Python finds; install its package, or "
            "put its folder on PYTHONPATH"
        ) from error
    except MISTAKES as error:
        raise ConfigError(
            f"{key}={path} cannot be imported ({described(error)}): expected a module that Python can run; mend it"
        ) from error
    require(
        hasattr(imported, name),
        f"{key}={path} is not there: {module} has no {name}; expected the dotted path of a class",
    )
    chosen = getattr(imported, name)
    require(callable(chosen), f"{key}={path} is no class, but {chosen!r:.60}: expected the dotted path of a class")
    require(
        not path.startswith(OURS) or path in part.names.values() or _fits(part, chosen, path.partition(".")[0]),
        f"{key}={path} does not fit: expected {part.allowed}, or of {path.partition('.')[0]} a class"
        f"{f' as {part.fits} says' if part.fits else ''}",
    )
    return chosen


def _fits(part: Part, chosen: Any, package: str) -> bool:
    """Whether it is a class that ``package`` defines itself, of the kind that the part asks for."""
    if not isinstance(chosen, type) or chosen.__module__.partition(".")[0] != package:
        return False
    if not part.fits:
        return True
    module, _, name = part.fits.rpartition(".")
    base = getattr(importlib.import_module(module), name)
    if getattr(base, "_is_protocol", False):
        return all(hasattr(chosen, member) for member in vars(base) if not member.startswith("_"))
    return issubclass(chosen, base)


def declared_settings(chosen: Any) -> Mapping[str, Declared]:
    """The settings of a class: its declared arguments; of a class that declares none, every argument with a default."""
    if settings := declared(chosen):
        return settings
    types = argument_types(chosen)
    return {
        argument.name: Declared(argument.name, types.get(argument.name, Any), argument.default, Setting(""))
        for argument in arguments(chosen)
        if argument.default is not argument.empty and argument.kind is not argument.POSITIONAL_ONLY
    }


def complete(part: Part, value: Any, key: str) -> dict[str, Any]:
    """The chosen class's settings: those that ``value`` gives, checked, and the defaults of the others. Raises
    `ConfigError`.
    """
    chosen = find(part, value, key)
    declarations, accepted = declared_settings(chosen), {argument.name for argument in arguments(chosen)}
    settings = _settings_of(value)
    for name, setting in settings.items():
        require(
            name in accepted or _accepts_any(chosen),
            f"{key}.{name}={setting} is no setting of {chosen.__name__}: expected {', '.join(declarations) or 'none'}; "
            f"'{key}={target(part, value)}' alone takes its defaults{or_meant(name, declarations)}",
        )
        if name in declarations:
            settings[name] = typed(f"{key}.{name}", declarations[name].type, setting)
            declarations[name].setting.check(f"{key}.{name}", settings[name])
            if isinstance(inner := declarations[name].setting, Part):
                complete(inner, settings[name], f"{key}.{name}")
    return {name: declaration.default for name, declaration in declarations.items()} | settings


def make(part: Part, value: Any, key: str, /, **facts: Any) -> Any:
    """An instance of the chosen class, with its settings and those of the ``facts`` that its constructor takes. A fact
    overrides a default. Raises `ConfigError` where an argument is missing, or a setting has the name of a fact.
    """
    chosen, settings = find(part, value, key), _settings_of(value)
    parameters = {argument.name: argument for argument in arguments(chosen)}
    passed_facts = {name: fact for name, fact in facts.items() if name in parameters or _accepts_any(chosen)}
    for name in passed_facts:
        require(
            name not in settings,
            f"{key}.{name}={settings.get(name)} is no setting: the framework gives {chosen.__name__} its {name} "
            f"({name}={passed_facts[name]!r:.40}); expected no {key}.{name}; remove it",
        )
    values = {name: item for name, item in complete(part, value, key).items() if item is not MISSING} | passed_facts
    missing = [
        name
        for name, argument in parameters.items()
        if argument.kind not in (argument.VAR_KEYWORD, argument.VAR_POSITIONAL)
        and argument.default is argument.empty
        and name not in values
    ]
    require(
        not missing,
        f"{key}={target(part, value, key)} needs {', '.join(missing)}: expected arguments with defaults, or settings "
        f"given in {key}" + (f"; the framework gives it {', '.join(facts)}" if facts else ""),
    )
    return chosen(**values)


def size(part: Part, value: Any, key: str, name: str) -> int:
    """A size that other parts have to know, such as ``latent_size``: a setting of the chosen class, or its attribute.
    Raises `ConfigError` where it is neither.
    """
    chosen = find(part, value, key)
    argument = next((argument for argument in arguments(chosen) if argument.name == name), None)
    default = getattr(chosen, name, None) if argument is None else argument.default
    number = complete(part, value, key).get(name, default)
    require(
        isinstance(number, int),
        f"{key}={target(part, value, key)} does not tell its {name}: expected an argument {name} with a default, or an "
        f"attribute of the class; add {key}.{name}=…",
    )
    return int(number)  # type: ignore[arg-type]


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
    declarations, counted, beside = declared_settings(chosen), {}, SimpleNamespace(**settings)
    for name, value in settings.items():
        setting, default = (
            (declarations[name].setting, declarations[name].default) if name in declarations else (Setting(""), MISSING)
        )
        if not setting.applies(value, default, beside):
            continue
        counted_as = setting.key or f"{prefix}{name}"
        if isinstance(setting, Part):
            counted |= counted_part(counted_as, setting, value, default)
        else:
            counted[counted_as] = setting.counting(value, beside)
    return counted


def _settings_of(value: Any) -> dict[str, Any]:
    """The settings that a value gives, without ``_target_``."""
    return {name: setting for name, setting in value.items() if name != TARGET} if isinstance(value, Mapping) else {}


def _accepts_any(chosen: Any) -> bool:
    return any(argument.kind is inspect.Parameter.VAR_KEYWORD for argument in arguments(chosen))
