"""From ``env.id`` and ``env.kwargs`` to a Gymnasium environment; what goes wrong is told in a line."""

import importlib
import inspect
import os
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, find_highest_version, get_env_id, load_env_creator, parse_env_id

from worldmodels.envs.config import EnvConfig, task_path
from worldmodels.utils.errors import ConfigError

PICTURES = "rgb_array"  # the render mode that gives arrays
EXTRAS = {"ale_py": "atari", "vizdoom": "doom"}  # modules that register tasks, and our extras that install them
REFUSALS = (AssertionError, KeyError, TypeError, ValueError)  # of a task that is given arguments


def registered(config: EnvConfig) -> EnvSpec:
    """What is registered under ``env.id``; the ``module`` of ``module:Mine-v0`` is imported first. Raises
    `ConfigError`.
    """
    module, _, name = config.id.rpartition(":")
    try:
        if module:
            importlib.import_module(module)
        space, plain, version = parse_env_id(name)
        if version is None and (latest := find_highest_version(space, plain)) is not None:
            name = get_env_id(space, plain, latest)
        return gymnasium.spec(name)
    except (ModuleNotFoundError, SyntaxError, NameError) as error:
        raise _not_imported(config, error) from error
    except gymnasium.error.Error as error:
        raise ConfigError(
            f"env.id={config.id} is no task of Gymnasium {gymnasium.__version__} ({_words(error)}): expected a "
            "registered id, or package:id of a package that registers it; see gymnasium.pprint_registry()"
        ) from error


def _not_imported(config: EnvConfig, error: Exception) -> ConfigError:
    module = config.id.partition(":")[0].partition(".")[0]
    if module in EXTRAS:
        return ConfigError(
            f"env.id={config.id} needs the package {module}, which cannot be imported ({_words(error)}): expected the "
            f"extra {EXTRAS[module]}; run pip install 'worldmodels[{EXTRAS[module]}]'"
        )
    return ConfigError(
        f"env.id={config.id} cannot be imported ({_words(error)}): expected a module that Python finds; install its "
        "package, or put its folder on PYTHONPATH"
    )


def gives_pictures(config: EnvConfig) -> bool:
    """Whether the environment can be asked for pictures, as far as its class tells."""
    creator = _creator(config)
    metadata = getattr(creator, "metadata", None)
    if isinstance(metadata, dict):
        return PICTURES in (metadata.get("render_modes") or ())
    parameters = inspect.signature(creator).parameters.values()
    return any(parameter.name == "render_mode" or parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)


def make(config: EnvConfig, render_mode: str | None) -> gymnasium.Env[Any, Any]:
    """The environment with Gymnasium's own wrappers. Raises `ConfigError` where it is not there, lacks what it needs,
    or does not take its arguments.
    """
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())  # without one, SDL complains in every process
    _creator(config)
    mode = {} if render_mode is None else {"render_mode": render_mode}
    try:
        return gymnasium.make(config.id, disable_env_checker=True, **mode, **config.kwargs)
    except gymnasium.error.DependencyNotInstalled as error:
        raise ConfigError(f"env.id={config.id} needs a package that is missing: {_words(error)}") from error
    except gymnasium.error.Error as error:
        raise ConfigError(f"env.id={config.id} cannot be made: {_words(error)}") from error
    except REFUSALS as error:
        if not config.kwargs and "argument" not in str(error):
            raise  # nothing that was asked for: a fault of the task
        raise ConfigError(
            f"env.kwargs={dict(config.kwargs)} does not suit env.id={config.id} ({_words(error)}): "
            "expected arguments of that task; remove or change the one it does not take"
        ) from error


def task_parts(config: EnvConfig) -> list[str]:
    """Dotted paths of the code of a task: its class, and the environment and what registers it, where these are not
    Gymnasium's own.
    """
    return [task_path(config), *_sources(config)]


def _sources(config: EnvConfig) -> Iterator[str]:
    spec = registered(config)
    point = spec.entry_point
    path = point.replace(":", ".") if isinstance(point, str) else f"{point.__module__}.{_name(point)}" if point else ""
    module, _, _ = config.id.rpartition(":")
    for source in (path, f"{module}.__name__" if module else ""):  # of a module, an attribute that it has
        if source and not source.startswith("gymnasium."):
            yield source


def _creator(config: EnvConfig) -> Callable[..., Any]:
    """What makes the environment: its class, as a rule."""
    point = registered(config).entry_point
    if not isinstance(point, str):
        return point  # type: ignore[return-value]
    try:
        return load_env_creator(point)
    except gymnasium.error.DependencyNotInstalled as error:
        raise ConfigError(f"env.id={config.id} needs a package that is missing: {_words(error)}") from error
    except (ImportError, AttributeError, SyntaxError, NameError) as error:
        raise _not_imported(config, error) from error


def _name(creator: Any) -> str:
    return getattr(creator, "__name__", type(creator).__name__)


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())
