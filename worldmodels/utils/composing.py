"""What Hydra and OmegaConf refuse, in our words: the key as it is written, what was got and what is expected."""

import dataclasses
from typing import Any, get_type_hints

from hydra.errors import MissingConfigException, OverrideParseException
from omegaconf.errors import OmegaConfBaseException, ValidationError

from worldmodels.utils.errors import ConfigError, chain
from worldmodels.utils.settings import Settings, declared, typed
from worldmodels.utils.words import or_meant

CHANGES_RESULTS = False  # shows what is done


def in_our_words(error: BaseException) -> str | None:
    """A line for what cannot be read, an unknown option of a group, an unknown key, or a value of another type; None
    for other errors.
    """
    for cause in chain(error):
        if isinstance(cause, OverrideParseException):
            return _unreadable(cause.override)
        if isinstance(cause, MissingConfigException):
            return unknown_option(cause)
        if isinstance(cause, OmegaConfBaseException) and (line := _of_setting(cause)):
            return line
    return None


def _unreadable(override: str) -> str:
    """The line for an argument that Hydra's grammar does not know."""
    if any(override.count(opening) > override.count(closing) for opening, closing in ("{}", "[]", "()")):
        key, value = override.partition("=")[::2]
        return (
            f"{override} ends too soon: expected all of its value in one argument, which a shell cuts at spaces; quote "
            f"it all: '{key}={value[:1]}…'"
        )
    if "=" not in override:
        return f"{override} is no setting: expected KEY=VALUE, for example seed=1; --help lists the keys"
    return (
        f"{override} cannot be read: expected KEY=VALUE, for example seed=1; quote a value that has spaces, commas, "
        "brackets or = in it: \"KEY='VALUE'\""
    )


def unknown_option(error: BaseException, key: str | None = None) -> str | None:
    """The line for an option that a group does not have; ``key``: what the user wrote, if it is not the group's name.
    None for other errors.
    """
    missing = next((cause for cause in chain(error) if isinstance(cause, MissingConfigException)), None)
    group, _, option = (missing.missing_cfg_file or "" if missing else "").rpartition("/")
    if missing is None or not group:
        return None
    expected = f"one of {', '.join(missing.options)}" if missing.options else "an option that --help lists"
    return f"{key or group}={option} is unknown: expected {expected}"


def _of_setting(error: OmegaConfBaseException) -> str | None:
    schema, name = error.object_type, error.key
    if isinstance(error, ValidationError) and dataclasses.is_dataclass(schema) and not issubclass(schema, Settings):  # type: ignore[arg-type]
        return _of_type(str(error.full_key), get_type_hints(schema).get(str(name)), error)
    if not (isinstance(schema, type) and issubclass(schema, Settings)) or not isinstance(name, str):
        return None
    known = [field.name for field in dataclasses.fields(schema)]
    in_list = bool(schema.node) and error.full_key == name  # OmegaConf does not say where an item of a list belongs
    if name not in known:
        key = f"{schema.node}: {name}" if in_list else error.full_key
        return f"{key} is unknown: expected {', '.join(known)}{or_meant(name, known)}"
    if isinstance(error, ValidationError) and name in declared(schema):
        key = f"{schema.node}: {name}" if in_list else str(error.full_key)
        return _of_type(key, declared(schema)[name].type, error)
    return None


def _of_type(key: str, kind: Any, error: ValidationError) -> str | None:
    """The line for a value of another type than ``kind``; None where it is not that."""
    try:
        typed(key, kind, error.value)  # type: ignore[attr-defined]
    except ConfigError as refused:
        return str(refused)
    return None
