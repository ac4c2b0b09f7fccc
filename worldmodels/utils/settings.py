"""A part declares its settings where it is defined, once; checks, help and artifact keys follow from that.

A setting is an annotated field of a config dataclass, or an annotated argument of the class that ``_target_`` names::

    @dataclass
    class MemoryConfig(Settings):
        node: ClassVar[str] = "memory"
        steps: Annotated[int, Setting("Training steps.", at_least=1)] = 4000
        cached_rollouts: Annotated[int, Setting("Rollouts kept in memory.", at_least=1, counts="never")] = 2000

`Settings` checks the ranges, `counted` gives what an artifact depends on, and `describe` the lines of ``--help``.
"""

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args, get_origin, get_type_hints

from omegaconf import MISSING

from worldmodels.utils.checks import require, require_one_of

CHANGES_RESULTS = False  # what a setting says counts in the keys of artifacts, not how it is declared
Counts = Literal["always", "unless default", "never"]


@dataclass(frozen=True)
class Setting:
    """What a setting means, allows and changes.

    ``at_least`` and ``at_most`` are allowed values, ``above`` and ``below`` are not; None is always allowed where the
    type allows it. ``counts``: whether results depend on it; ``unless default`` keeps the keys of artifacts that were
    made before there was such a setting. ``when``: on which values of the settings beside it; ``stages``: in which
    stages (default: all). ``counts_as`` turns a value into the one that counts, and ``key`` is its name in keys where
    that is not the field's, so that keys outlive a renaming.
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
    counts_as: Callable[[Any], Any] | None = None
    key: str | None = None

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
            for each in value if isinstance(value, list) else [value]:
                require_one_of(key, each, self.options)
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
    the classes that come with the package. See `worldmodels.utils.parts`.
    """

    names: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def allowed(self) -> str:
        return ", ".join([*self.names, "or a class of your own"])

    def check(self, key: str, value: Any) -> None: ...


class Declared(NamedTuple):
    """A declared setting: its name, type, default (`MISSING` where there is none) and what was said of it."""

    name: str
    type: Any
    default: Any
    setting: Setting


def declared(part: Callable[..., Any]) -> dict[str, Declared]:
    """The settings of a config dataclass, or those among the arguments of a class, by name."""
    if dataclasses.is_dataclass(part):
        hints = get_type_hints(part, include_extras=True)
        found = ((each.name, hints[each.name], _default(each)) for each in dataclasses.fields(part))
    else:
        function: Any = part.__init__ if isinstance(part, type) else part
        hints = get_type_hints(function, include_extras=True)
        given = inspect.signature(part).parameters.values()
        found = ((p.name, hints.get(p.name), MISSING if p.default is p.empty else p.default) for p in given)
    return {
        name: Declared(name, get_args(hint)[0], default, setting)
        for name, hint, default in found
        if (setting := _setting(hint)) is not None
    }


def _default(field: "dataclasses.Field[Any]") -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default if field.default is not dataclasses.MISSING else MISSING


def _setting(hint: Any) -> Setting | None:
    if get_origin(hint) is not Annotated:
        return None
    return next((each for each in get_args(hint)[1:] if isinstance(each, Setting)), None)


@dataclass
class Settings:
    """Base of the config dataclasses: checks the ranges of what is declared, then ``check`` for what takes more than
    one setting. ``node`` is its place in the config.
    """

    node: ClassVar[str] = ""

    def __post_init__(self) -> None:
        for name, each in declared(type(self)).items():
            each.setting.check(f"{self.node}.{name}" if self.node else name, getattr(self, name))
        self.check()

    def check(self) -> None:
        """Raise `ConfigError` where settings do not go together."""


def counted(config: Any, stage: str = "") -> dict[str, Any]:
    """The settings of a config dataclass that a result of ``stage`` depends on, as plain values, by their names in
    keys.
    """
    from worldmodels.utils import parts

    found: dict[str, Any] = {}
    for name, each in declared(type(config)).items():
        setting, value = each.setting, getattr(config, name)
        if not _counts(setting, value, each.default, config, stage):
            continue
        if isinstance(setting, Part):
            found |= parts.counted_part(setting.key or name, setting, value, each.default)
        else:
            value = setting.counts_as(value) if setting.counts_as else value
            found[setting.key or name] = plain_value(value)
    return found


def _counts(setting: Setting, value: Any, default: Any, config: Any, stage: str) -> bool:
    if setting.counts == "never":
        return False
    if setting.counts == "unless default" and value == default and not isinstance(setting, Part):
        return False  # a part's own settings may count where its name does not
    if setting.stages is not None and stage not in setting.stages:
        return False
    return setting.when is None or setting.when(config)


def plain_value(value: Any) -> Any:
    """Lists and dicts all the way down; config dataclasses by what counts of them, without what is null."""
    if isinstance(value, Settings):
        return {key: each for key, each in counted(value).items() if each is not None}
    if isinstance(value, Mapping):
        return {key: plain_value(each) for key, each in value.items()}
    return [plain_value(each) for each in value] if isinstance(value, list | tuple) else value


class Described(NamedTuple):
    """A setting for people: its key, its default, what it means with unit and range, and its type."""

    key: str
    default: Any
    meaning: str
    type: Any


def describe(config: type[Any], node: str = "") -> Iterator[Described]:
    """Every setting of a config dataclass, and of the dataclasses in it, in their order."""
    from worldmodels.utils import parts

    hints = get_type_hints(config)
    for field in dataclasses.fields(config):
        kind, key = hints[field.name], f"{node}.{field.name}".lstrip(".")
        if isinstance(kind, type) and issubclass(kind, Settings):
            yield from describe(kind, key)
        elif each := declared(config).get(field.name):
            yield _described(key, each)
            if isinstance(each.setting, Part):
                yield from parts.describe_part(key, each.setting)


def _described(key: str, each: Declared) -> Described:
    setting = each.setting
    notes = [note for note in (setting.unit, setting.allowed) if note]
    default = (
        each.default.get("_target_")
        if isinstance(each.default, Mapping) and "_target_" in each.default
        else each.default
    )
    meaning = setting.doc + (f" [{'; '.join(notes)}]" if notes else "")
    return Described(key, default, meaning, each.type)
