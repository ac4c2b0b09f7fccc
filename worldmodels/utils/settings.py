"""A part declares its settings where it is defined, once; checks, help and artifact keys follow from that.

A setting is an annotated field of a config dataclass, or an annotated argument of the class that ``_target_`` names::

    @dataclass
    class MemoryConfig(Settings):
        node: ClassVar[str] = "memory"
        steps: Annotated[int, Setting("Training steps.", at_least=1)] = 4000
        cached_rollouts: Annotated[int, Setting("Rollouts kept in memory.", at_least=1, counts="never")] = 2000

`Settings` checks types and ranges, `counted` gives what an artifact depends on, and `worldmodels.utils.help` the lines
of ``--help``.
"""

import contextlib
import dataclasses
import functools
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from omegaconf import MISSING

from worldmodels.utils.checks import require, require_one_of
from worldmodels.utils.errors import ConfigError

CHANGES_RESULTS = False  # what a setting says counts in the keys of artifacts, not how it is declared
Counts = Literal["always", "unless default", "never"]
EXAMPLES = {int: "32", float: "0.5", bool: "true", str: "name", NoneType: "null"}


@dataclass(frozen=True)
class Setting:
    """What a setting means, allows and changes.

    ``at_least`` and ``at_most`` are allowed values, ``above`` and ``below`` are not; None is always allowed where the
    type allows it. ``counts``: whether results depend on it; ``unless default`` keeps the keys of artifacts that were
    made before there was such a setting. ``when``: on which values of the settings beside it; ``stages``: in which
    stages (default: all). ``counts_as`` turns a value, and the settings beside it, into the value that counts, and
    ``key`` is its name in keys where that is not the field's, so that keys outlive a renaming. ``shared``: of a task's
    settings, whether a source task has the run's value and not its own (`worldmodels.pipeline.source`).
    """

    doc: str
    unit: str = ""
    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None
    options: tuple[str, ...] = ()
    counts: Counts = "always"
    when: Callable[[Any], bool] | None = None
    stages: tuple[str, ...] | None = None
    counts_as: Callable[[Any, Any], Any] | None = None
    key: str | None = None
    shared: bool = False

    def applies(self, value: Any, default: Any, beside: Any) -> bool:
        """Whether results depend on ``value``; ``beside`` has the settings beside it as attributes."""
        if self.counts == "never" or (self.counts == "unless default" and value == default):
            return False
        return self.when is None or self.when(beside)

    def counting(self, value: Any, beside: Any) -> Any:
        """The plain value that stands for ``value`` in a key; ``beside`` as of `applies`."""
        return plain_value(self.counts_as(value, beside) if self.counts_as else value)

    @property
    def allowed(self) -> str:
        """The allowed values in words; nothing where all are."""
        if self.options:
            return ", ".join(self.options)
        low = f"{self.at_least:g} or more" if self.at_least is not None else ""
        low = f"above {self.above:g}" if self.above is not None else low
        high = f"up to {self.at_most:g}" if self.at_most is not None else ""
        high = f"below {self.below:g}" if self.below is not None else high
        if self.at_least is not None and self.at_most is not None:
            return f"{self.at_least:g} to {self.at_most:g}"
        return f"{low} and {high}" if low and high else low or high

    def check(self, key: str, value: Any) -> None:
        """Raise `ConfigError` unless ``value`` is allowed. Infinity and NaN never are."""
        if value is None or value == MISSING:
            return
        if self.options:
            for item in value if isinstance(value, list) else [value]:
                require_one_of(key, item, self.options)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return
        require(math.isfinite(value), f"{key}={value} is out of range: expected a finite number")
        inside = (
            (self.at_least is None or value >= self.at_least)
            and (self.above is None or value > self.above)
            and (self.at_most is None or value <= self.at_most)
            and (self.below is None or value < self.below)
        )
        if not inside and self.at_least is not None and self.at_most is None and self.below is None:
            require(False, f"{key}={value} is too small: expected {self.at_least:g} or more")
        require(inside, f"{key}={value} is out of range: expected {self.allowed}")


@dataclass(frozen=True)
class Part(Setting):
    """A setting whose value is a class, chosen by ``_target_``, with settings of its own. ``names``: short names of
    the classes that come with the package. ``fits``: dotted path of the base, or of the protocol, of every class that
    may be chosen without being asked for (`worldmodels.utils.parts.find`). See `worldmodels.utils.parts`.
    """

    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    fits: str = ""

    @property
    def allowed(self) -> str:
        return ", ".join([*self.names, "or a class of your own"])

    def check(self, key: str, value: Any) -> None:
        """Nothing: `worldmodels.utils.parts` checks it, once the class may be imported."""

    def applies(self, value: Any, default: Any, beside: Any) -> bool:
        """With ``unless default``, the settings of the class count where its name does not."""
        return self.counts != "never" and (self.when is None or self.when(beside))


@dataclass(frozen=True)
class Parts(Setting):
    """A setting whose value is a dict of classes, each with its settings, by names of one's own."""


class Declared(NamedTuple):
    """A declared setting: its name, type, default (`MISSING` where there is none) and declaration."""

    name: str
    type: Any
    default: Any
    setting: Setting


@functools.lru_cache(maxsize=256)
def declared(part: Callable[..., Any]) -> Mapping[str, Declared]:
    """The settings of a config dataclass, or those among the arguments of a class, by name. Do not change the result,
    nor the defaults in it.
    """
    if dataclasses.is_dataclass(part):
        hints = get_type_hints(part, include_extras=True)
        defaults = {field.name: _default(field) for field in dataclasses.fields(part)}
    else:
        hints = argument_types(part)
        defaults = {
            argument.name: MISSING if argument.default is argument.empty else argument.default
            for argument in arguments(part)
        }
    return {
        name: Declared(name, get_args(hints[name])[0], default, setting)
        for name, default in defaults.items()
        if (setting := _setting(hints.get(name))) is not None
    }


def arguments(part: Callable[..., Any]) -> list[inspect.Parameter]:
    """The parameters of a class or a function; none where it has no signature, as one written in C."""
    try:
        return list(inspect.signature(part).parameters.values())
    except ValueError:
        return []


def argument_types(part: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of the `arguments`, evaluated; none where they name what is imported only under ``if
    TYPE_CHECKING``.
    """
    try:
        return get_type_hints(part.__init__ if isinstance(part, type) else part, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default if field.default is not dataclasses.MISSING else MISSING


def typed(key: str, kind: Any, value: Any) -> Any:
    """``value`` as ``kind`` says, where that is made of plain types and lists of these; a whole number also is a
    float. Raises `ConfigError` where it is of another type.
    """
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if value == MISSING or not all(option in EXAMPLES or get_origin(option) is list for option in kinds):
        return value
    if isinstance(value, list) and (lists := [option for option in kinds if get_origin(option) is list]):
        return [typed(key, get_args(lists[0])[0], item) for item in value]
    if type(value) in kinds:
        return value
    if float in kinds and type(value) is int:
        return float(value)
    names = [
        "list" if get_origin(option) is list else "null" if option is NoneType else option.__name__ for option in kinds
    ]
    example = EXAMPLES.get(kinds[0], "[…]")
    shown = "null" if value is None else value
    raise ConfigError(f"{key}={shown} is no {' or '.join(names)}: expected one, for example {key}={example}")


def _setting(hint: Any) -> Setting | None:
    if get_origin(hint) is not Annotated:
        return None
    return next((annotation for annotation in get_args(hint)[1:] if isinstance(annotation, Setting)), None)


@dataclass
class Settings:
    """Base of the config dataclasses: checks types and ranges of what is declared, then all that `check` says, in this
    class and in those it derives from. ``node`` is its place in the config.
    """

    node: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for name, declaration in declared(type(self)).items():
            key = f"{self.node}.{name}" if self.node else name
            value = typed(key, declaration.type, getattr(self, name))
            declaration.setting.check(key, value)
            setattr(self, name, value)
        for base in reversed(type(self).__mro__):
            if issubclass(base, Settings) and "check" in vars(base):
                base.check(self)  # type: ignore[arg-type]

    def check(self) -> None:
        """Raise `ConfigError` where settings do not go together. That of a base class is called as well."""


_implied: ContextVar[dict[str, Any] | None] = ContextVar("implied", default=None)


@contextlib.contextmanager
def implied_defaults() -> Iterator[dict[str, Any]]:
    """The defaults that keys made in this context do not name (``unless default``), by setting, as plain values: a key
    stays the same when such a default changes, and results do not. Those of a chosen class are in its code.
    """
    token = _implied.set(defaults := {})
    try:
        yield defaults
    finally:
        _implied.reset(token)


def counted(config: Any, stage: str = "") -> dict[str, Any]:
    """The settings of a config dataclass that a result of ``stage`` depends on, as plain values, by their names in
    keys.
    """
    from worldmodels.utils import parts

    result: dict[str, Any] = {}
    implied = _implied.get()
    for name, declaration in declared(type(config)).items():
        setting, value = declaration.setting, getattr(config, name)
        if setting.stages is not None and stage not in setting.stages:
            continue
        key = setting.key or name
        if setting.applies(value, declaration.default, config):
            if isinstance(setting, Part):
                result |= parts.counted_part(key, setting, value, declaration.default)
            else:
                result[key] = setting.counting(value, config)
        if implied is not None and setting.counts == "unless default" and key not in result:
            implied[f"{config.node}.{name}"] = plain_value(declaration.default)
    return result


def plain_value(value: Any) -> Any:
    """Lists and dicts all the way down; config dataclasses by what counts of them, without what is null."""
    if isinstance(value, Settings):
        return {key: item for key, item in counted(value).items() if item is not None}
    if isinstance(value, Mapping):
        return {key: plain_value(item) for key, item in value.items()}
    return [plain_value(item) for item in value] if isinstance(value, list | tuple) else value
