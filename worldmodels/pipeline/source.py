"""The source of a transfer, checked before any weight is read, so that a bad request is refused before the libraries
load.

**The rule.** A source that is trained is the run itself on another task: it has all settings of the run except
``transfer``, which is scratch, and the task. Of the task's settings (``env.*``) the source shares those declared with
``shared=True``, such as ``env.action_repeat``, so that M does not move between time scales unasked. All others (id,
picture, actions) are the source task's own, from its file. ``transfer.source_settings`` overrides both.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from worldmodels.config import STAGES, Config
from worldmodels.envs.config import EnvConfig
from worldmodels.store.runs import FinishedRun
from worldmodels.transfer.config import TransferConfig
from worldmodels.utils.checks import require
from worldmodels.utils.composing import unknown_option
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.settings import declared, typed

CHANGES_RESULTS = False
Compose = Callable[[list[str]], DictConfig]
SHARED = tuple(name for name, declaration in declared(EnvConfig).items() if declaration.setting.shared)

SETTABLE = tuple(name for name in declared(EnvConfig) if name not in ("name", "default_source"))


def compose_of_application(overrides: list[str]) -> DictConfig:
    """A config of other overrides, with the config files that the running Hydra application finds, to read only."""
    hydra_config = HydraConfig.get()
    paths = [declaration for declaration in hydra_config.overrides.hydra if declaration.startswith("hydra.searchpath=")]
    folders = [source.path for source in hydra_config.runtime.config_sources]
    return _composed(hydra_config.job.config_name, (*overrides, *paths), *folders)


@functools.lru_cache(maxsize=16)  # the jobs of a sweep share their sources; Hydra takes a tenth of a second
def _composed(name: str, overrides: tuple[str, ...], *_: str) -> DictConfig:
    return hydra.compose(name, list(overrides))


def check_source(config: Config, compose: Compose = compose_of_application) -> Config | None:
    """The config of the source task where it is to be trained; None where a finished run is used or nothing is loaded.
    ``compose`` makes a config from overrides. Raises `ConfigError` where there can be no such source, where M is to
    keep columns for a z of another size, or where C is to start from one with another hidden layer.
    """
    transfer = config.transfer
    if not config.loaded:
        return None
    trained, source = None, None
    if transfer.source_run is None:
        trained = source = source_config(config, compose)
    else:
        source = FinishedRun(Path(transfer.source_run), config.allow).config
    if "memory" in config.loaded and transfer.input_layer == "keep_latent":
        theirs, this = source.vae.latent_size, config.vae.latent_size
        require(
            theirs == this,
            f"transfer.input_layer=keep_latent keeps M's columns of z, of which the source "
            f"{transfer.source_run or source.env.name} has {theirs} and this run {this}: set "
            f"vae.network.latent_size={theirs}, or use transfer.input_layer=reinit",
        )
    if "controller" in config.loaded:
        theirs, this = (each.controller.hidden or "null" for each in (source, config))
        require(
            theirs == this,
            f"transfer={transfer.name} starts from a source's C, and {transfer.source_run or source.env.name} has "
            f"controller.hidden={theirs} where this run has {this}: set controller.hidden={theirs}, or use another "
            "strategy, for example transfer=pretrained",
        )
    return trained


def source_config(config: Config, compose: Compose) -> Config:
    """The config of the source task: ``config`` itself, from scratch, on the task ``source_env`` (see above)."""
    transfer = config.transfer
    try:
        task = OmegaConf.to_object(compose([f"env={transfer.source_env}"])["env"])
    except (HydraException, ConfigError) as error:
        if line := unknown_option(error, "transfer.source_env"):
            raise ConfigError(line) from None
        raise
    shared = {name: getattr(config.env, name) for name in SHARED}
    settings = _source_settings(transfer.source_settings)
    recorded: dict[str, Any] = dict.fromkeys(("recorded", "recorded_key"))  # of the target's task
    return dataclasses.replace(
        config,
        env=dataclasses.replace(_env(task), **{**shared, **settings}),
        transfer=TransferConfig(),
        vae=dataclasses.replace(config.vae, frames=transfer.source_frames),
        collect=dataclasses.replace(config.collect, **recorded),
        stage=config.loaded[-1],
        objective=None,
    )


def _source_settings(values: Mapping[str, Any]) -> dict[str, Any]:
    """``transfer.source_settings``, each checked under the name that the user wrote."""
    settings = {}
    for name, value in values.items():
        key = f"transfer.source_settings.{name}"
        require(name in SETTABLE, f"{key} is unknown: expected one of {', '.join(SETTABLE)}")
        declaration = declared(EnvConfig)[name]
        settings[name] = typed(key, declaration.type, value)
        declaration.setting.check(key, settings[name])
    return settings


def _env(task: Any) -> EnvConfig:
    assert isinstance(task, EnvConfig)
    return task


def describe_source(config: Config, source: Config) -> str:
    """The settings that a trained source shares with the run ``config``, in a line."""
    source_settings = config.transfer.source_settings
    shared = ", ".join(f"env.{name}={getattr(source.env, name)}" for name in SHARED if name not in source_settings)
    replaced = "".join(f"; transfer.source_settings: {name}={value}" for name, value in source_settings.items())
    return (
        f"source task: {source.env.name}, from scratch, with all settings of this run but the task's own (env.*); "
        f"of those it has {shared} of this run{replaced}"
    )


def other_time_scale(config: Config, source: Config) -> str | None:
    """A warning that M comes from a source with steps of another length; None where they are equal."""
    theirs, this = source.env.action_repeat, config.env.action_repeat
    if "memory" not in config.loaded or theirs == this:
        return None
    return f"M comes from a source with env.action_repeat={theirs}, and this run has {this}: its step is another time"


def without_effect(config: Config) -> Iterator[str]:
    """Settings that were given and change nothing in this run, a line each."""
    transfer, env = config.transfer, config.env
    for name in ("source_env", "source_run", "source_settings"):
        if not transfer.load and (value := getattr(transfer, name)):
            yield (
                f"transfer.{name}={value} has no effect: transfer={transfer.name} takes nothing from a source; use "
                "another strategy, for example transfer=pretrained"
            )
    if transfer.load and transfer.source_run is not None and transfer.source_settings:
        yield (
            f"transfer.source_settings={transfer.source_settings} has no effect: transfer.source_run is taken as it "
            "is; use transfer.source_env to train a source"
        )
    if (start := config.controller.warm_start) and "controller" not in transfer.load and config.iterations == 1:
        yield (
            f"controller.warm_start={start} has no effect: transfer={transfer.name} takes no C from a source; use "
            "transfer=warm_controller"
        )
    limited = [
        (config.collect, config.collect.recorded is None),
        (config.heldout, config.probe.enabled or config.measure.enabled),
        (config.controller, STAGES.index(config.last_stage) >= STAGES.index("controller")),
    ]
    limits = {f"{node.node}.max_steps": node.max_steps for node, reached in limited if reached}
    usual = env.shipped.get("max_steps", declared(EnvConfig)["max_steps"].default)
    if env.max_steps != usual and None not in limits.values():
        limits_in_force = ", ".join(f"{key}={limit}" for key, limit in limits.items()) or "recorded rollouts"
        yield f"env.max_steps={env.max_steps} has no effect beside {limits_in_force}: set these, or null for this limit"
