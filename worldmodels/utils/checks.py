"""Checks of single values in a config, and what they say."""

import math
from collections.abc import Iterable

from worldmodels.utils.errors import ConfigError

CHANGES_RESULTS = False


def require(condition: bool, message: str) -> None:
    """Raise `ConfigError` with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ConfigError(message)


def require_one_of(key: str, value: str, options: Iterable[str]) -> None:
    """Raise `ConfigError` unless ``value`` is among ``options``."""
    require(value in list(options), f"{key}={value} is unknown: expected one of {', '.join(options)}")


def require_at_least(key: str, value: float | None, least: float) -> None:
    """Raise `ConfigError` unless ``value`` is None or at least ``least``."""
    require(value is None or value >= least, f"{key}={value} is too small: expected {least} or more")
    require(value is None or math.isfinite(value), f"{key}={value} is too large: expected a finite number")


def require_positive(key: str, value: float) -> None:
    """Raise `ConfigError` unless ``value`` is a finite number above 0."""
    require(0 < value < math.inf, f"{key}={value} is out of range: expected a finite number above 0")
