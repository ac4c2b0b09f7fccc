"""What can be told of a source before any weight is read, so that nonsense is refused before the libraries load.

**The rule.** A source that is trained is the run itself on another task: it has all settings of the run, however they
were given, but for ``transfer``, which is scratch, and for the task. Of the task's settings (``env.*``) those that say
how the run goes about any task, declared with ``shared=True``, are the run's as well, such as ``env.action_repeat``:
M is not moved from one time scale to another unasked. All else (id, picture, actions) is the source task's own, as its
file has it. ``transfer.source_settings`` wins over both.
"""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from worldmodels.config import STAGES, Config
from worldmodels.envs.config import EnvConfig
from worldmodels.store.runs import FinishedRun
from worldmodels.transfer.config import TransferConfig
from worldmodels.utils.checks import require, require_one_of
from worldmodels.utils.settings import declared

CHANGES_RESULTS = False
Compose = Callable[[list[str]], DictConfig]
SHARED = tuple(name for name, each in declared(EnvConfig).items() if each.setting.shared)

SETTABLE = tuple(name for name in declared(EnvConfig) if name not in ("name", "default_source"))


def compose_of_application(overrides: list[str]) -> DictConfig:
    """A config of other overrides, with the config files that the running Hydra application finds."""
    hydra_config = HydraConfig.get()
    paths = [each for each in hydra_config.overrides.hydra if each.startswith("hydra.searchpath=")]
    return hydra.compose(hydra_config.job.config_name, [*overrides, *paths])


def check_source(config: Config, compose: Compose = compose_of_application) -> Config | None:
    """The config of the source task where it is to be trained, None where a finished run is taken or nothing is loaded.
    ``compose``: makes a config from overrides. Raises `ConfigError` where there can be no such source, or its z is not
    what M's kept columns read.
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
        theirs, own = source.vae.latent_size, config.vae.latent_size
        require(
            theirs == own,
            f"transfer.input_layer=keep_latent keeps M's columns of z, of which the source "
            f"{transfer.source_run or source.env.name} has {theirs} and this run {own}: set "
            f"vae.network.latent_size={theirs}, or use transfer.input_layer=reinit",
        )
    return trained


def source_config(config: Config, compose: Compose) -> Config:
    """The config of the source task: ``config`` itself, from scratch, on the task ``source_env`` (see above)."""
    transfer = config.transfer
    task = OmegaConf.to_object(compose([f"env={transfer.source_env}"])["env"])
    shared = {name: getattr(config.env, name) for name in SHARED}
    for name in transfer.source_settings:
        require_one_of("transfer.source_settings: the key", name, SETTABLE)
    recorded: dict[str, Any] = dict.fromkeys(("recorded", "recorded_key"))  # of the target's task
    return dataclasses.replace(
        config,
        env=dataclasses.replace(_env(task), **{**shared, **transfer.source_settings}),
        transfer=TransferConfig(),
        vae=dataclasses.replace(config.vae, frames=transfer.source_frames),
        collect=dataclasses.replace(config.collect, **recorded),
        stage=config.loaded[-1],
        objective=None,
    )


def _env(task: Any) -> EnvConfig:
    assert isinstance(task, EnvConfig)
    return task


def describe_source(config: Config, source: Config) -> str:
    """What a source that is trained has of the run ``config``, in a line."""
    given = config.transfer.source_settings
    shared = ", ".join(f"env.{name}={getattr(source.env, name)}" for name in SHARED if name not in given)
    own = "".join(f"; transfer.source_settings: {name}={value}" for name, value in given.items())
    return (
        f"source task: {source.env.name}, from scratch, with all settings of this run but the task's own (env.*); "
        f"of those it has {shared} of this run{own}"
    )


def other_time_scale(config: Config, source: Config) -> str | None:
    """That M comes from a source whose steps are of another length, in a line; None where it does not."""
    theirs, own = source.env.action_repeat, config.env.action_repeat
    if "memory" not in config.loaded or theirs == own:
        return None
    return f"M comes from a source with env.action_repeat={theirs}, and this run has {own}: its step is another time"


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
    limited = [
        (config.collect, config.collect.recorded is None),
        (config.heldout, config.probe.enabled or config.measure.enabled),
        (config.controller, STAGES.index(config.last_stage) >= STAGES.index("controller")),
    ]
    limits = {f"{node.node}.max_steps": node.max_steps for node, reached in limited if reached}
    if env.max_steps != declared(EnvConfig)["max_steps"].default and None not in limits.values():
        told = ", ".join(f"{key}={limit}" for key, limit in limits.items()) or "recorded rollouts"
        yield f"env.max_steps={env.max_steps} has no effect beside {told}: set these, or null for this limit"
