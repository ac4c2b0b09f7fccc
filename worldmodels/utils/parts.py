"""Parts that are chosen by ``_target_``: a class of ours by its short name, or anybody's by its dotted path.

The value of such a setting is a name (``salient``), a dotted path (``mypackage.losses.Huber``), or a mapping of
``_target_`` to one of these and of the class's own settings to values. A class's settings are the arguments of its
constructor; those that carry a `Setting` say what they mean and allow. The other arguments are facts that the framework
gives by name (``latent_size``, ``action_size`` …): a class takes those it needs.
"""

import importlib
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from omegaconf import MISSING

from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.settings import Declared, Described, Part, Setting, _described, declared, plain_value

CHANGES_RESULTS = False  # which class is chosen, with which settings, counts in the keys of artifacts
TARGET = "_target_"
EXAMPLES = {int: "32", float: "0.5", bool: "true", str: "name", type(None): "null"}


def target(part: Part, value: Any, key: str = "") -> str:
    """The dotted path of the chosen class."""
    name = value.get(TARGET) if isinstance(value, Mapping) else value
    require(
        isinstance(name, str) and name != MISSING,
        f"{key}={value} names no class: expected one of {part.allowed}; for example "
        f"'{key}={{{TARGET}: {next(iter(part.names), 'mypackage.MyClass')}, …}}'",
    )
    return part.names.get(str(name), str(name))


def name(part: Part, value: Any) -> str:
    """The chosen class for people: its short name, or the last part of its path."""
    path = target(part, value)
    return {long: short for short, long in part.names.items()}.get(path, path.rpartition(".")[2])


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
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise ConfigError(
            f"{key}={path} cannot be imported ({error}): expected a class that Python finds; install its package, or "
            "put its folder on PYTHONPATH"
        ) from error
    except AttributeError:
        raise ConfigError(
            f"{key}={path} is not there: {module} has no {name}; expected the dotted path of a class"
        ) from None
    return found


def own_settings(chosen: Any) -> dict[str, Declared]:
    """The settings of a class: its declared arguments; of a class that declares none, every argument with a default."""
    if found := declared(chosen):
        return found
    parameters = inspect.signature(chosen).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {
        each.name: Declared(each.name, each.annotation, each.default, Setting(""))
        for each in parameters
        if each.kind in kinds and each.default is not each.empty
    }


def given(value: Any) -> dict[str, Any]:
    """The settings that a value gives, without ``_target_``."""
    return {name: each for name, each in value.items() if name != TARGET} if isinstance(value, Mapping) else {}


def complete(part: Part, value: Any, key: str) -> dict[str, Any]:
    """The chosen class's settings: those given, checked, and the defaults of the others. Raises `ConfigError`."""
    chosen = find(part, value, key)
    known, told = own_settings(chosen), given(value)
    open_ended = any(
        each.kind is inspect.Parameter.VAR_KEYWORD for each in inspect.signature(chosen).parameters.values()
    )
    for name, each in list(told.items()):
        require(
            name in known or open_ended or name in inspect.signature(chosen).parameters,
            f"{key}.{name}={each} is no setting of {chosen.__name__}: expected "
            f"{', '.join(known) or 'none'}; '{key}={value.get(TARGET)}' alone takes its defaults",
        )
        if name in known:
            told[name] = _typed(f"{key}.{name}", known[name].type, each)
            known[name].setting.check(f"{key}.{name}", each)
    return {name: each.default for name, each in known.items()} | told


def _typed(key: str, kind: Any, value: Any) -> Any:
    """``value`` as the type that was declared, where that is a plain one. Raises `ConfigError`."""
    allowed = [each for each in (get_args(kind) or (kind,)) if each in (int, float, bool, str, type(None))]
    if not allowed or len(allowed) != len(get_args(kind) or (kind,)):
        return value
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    fits = type(value) in allowed
    names = " or ".join("null" if each is type(None) else each.__name__ for each in allowed)
    require(fits, f"{key}={value} is no {names}: expected one, for example {key}={EXAMPLES[allowed[0]]}")
    return value


def make(part: Part, value: Any, key: str, /, **facts: Any) -> Any:
    """An instance of the chosen class, with its settings, and those of the ``facts`` that its constructor takes."""
    chosen = find(part, value, key)
    parameters = inspect.signature(chosen).parameters
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    settings = complete(part, value, key)
    known = {name: fact for name, fact in facts.items() if open_ended or name in parameters}
    lacking = [
        name
        for name, each in parameters.items()
        if each.default is each.empty
        and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        and name not in known | settings
    ]
    require(
        not lacking,
        f"{key}={target(part, value, key)} needs {', '.join(lacking)}: expected arguments with defaults, settings "
        f"given in {key}, or some of {', '.join(facts) or 'nothing'}",
    )
    return chosen(**(known | {name: each for name, each in settings.items() if each is not MISSING}))


def counted_part(name: str, part: Part, value: Any, default: Any) -> dict[str, Any]:
    """What a part adds to a key. A class of ours counts by its short name and by its settings that count; anybody
    else's by all of them, under its dotted path.
    """
    path = target(part, value, name)
    short = {long: short for short, long in part.names.items()}.get(path)
    told = complete(part, value, name)
    if short is None:
        return {name: {TARGET: path, **plain_value(_counting(find(part, value, name), told, ""))}}
    found = {} if part.counts == "unless default" and short == _short(part, default) else {name: short}
    return found | _counting(find(part, value, name), told, f"{short}_")


def _counting(chosen: Any, told: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    known = own_settings(chosen)
    beside = _Beside(told)
    found = {}
    for name, value in told.items():
        setting, default = (known[name].setting, known[name].default) if name in known else (Setting(""), None)
        if setting.counts == "never" or (setting.counts == "unless default" and value == default):
            continue
        if setting.when is None or setting.when(beside):
            value = setting.counts_as(value) if setting.counts_as else value
            found[setting.key or f"{prefix}{name}"] = plain_value(value)
    return found


class _Beside:
    """Settings as attributes, for `Setting.when`."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        self.__dict__.update(told)


def _short(part: Part, value: Any) -> str:
    path = target(part, value)
    return {long: short for short, long in part.names.items()}.get(path, path)


def describe_part(key: str, part: Part) -> Iterator[Described]:
    """The settings of the classes that come with the package."""
    for name, path in part.names.items():
        for each in own_settings(find(part, path, key)).values():
            if each.setting.doc:
                told = _described(f"{key}.{each.name}", each)
                yield told._replace(meaning=f"{name}: {told.meaning}")


def size(part: Part, value: Any, key: str, name: str) -> int:
    """A size that other parts have to know, such as ``latent_size``: a setting of the chosen class, or its attribute.
    Raises `ConfigError` where it is neither.
    """
    told = complete(part, value, key)
    found = told.get(name, getattr(find(part, value, key), name, None))
    require(
        isinstance(found, int),
        f"{key}={target(part, value, key)} does not tell its {name}: expected an argument {name} with a default, or an "
        f"attribute of the class; add {key}.{name}=…",
    )
    return int(found)  # type: ignore[arg-type]
