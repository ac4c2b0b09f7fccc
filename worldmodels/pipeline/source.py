"""What can be told of a source before any weight is read, so that nonsense is refused before the libraries load."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from worldmodels.config import Config, to_config
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.checks import require

NOT_INHERITED = {  # a source task's own, or none of its business
    *("env", "transfer", "stage", "hydra"),
    *("collect.recorded", "collect.recorded_key"),
}


@dataclass(frozen=True)
class Request:
    """What a run was asked for: its overrides, the option it has of the group ``vae``, and the way to compose a config
    from other overrides.
    """

    overrides: Sequence[str]
    vae: str
    compose: Callable[[list[str]], DictConfig]

    @classmethod
    def of_application(cls) -> "Request":
        """What the command line of the running Hydra application asks for."""
        hydra_config = HydraConfig.get()
        paths = [each for each in hydra_config.overrides.hydra if each.startswith("hydra.searchpath=")]
        return cls(
            [*hydra_config.overrides.task, *paths],
            hydra_config.runtime.choices["vae"],
            partial(hydra.compose, hydra_config.job.config_name),
        )


def check_source(config: Config, request: Request | None = None) -> Config | None:
    """The config of the source task where it is to be trained, None where a finished run is taken or nothing is loaded.
    ``request``: what ``config`` was composed from, by default the command line. Raises `ConfigError` where there can be
    no such source, or its z is not what M's kept columns read.
    """
    transfer = config.transfer
    if not config.loaded:
        return None
    trained, source = None, None
    if transfer.source_run is None:
        trained = source = source_config(config, request or Request.of_application())
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


def source_config(config: Config, request: Request) -> Config:
    """The config of the source task: composed from the same overrides with ``transfer=scratch`` on ``source_env``, with
    the target's V, which is trained on ``source_frames``.
    """
    overrides = [
        str(override.input_line)
        for override in OverridesParser.create().parse_overrides(list(request.overrides))
        if _inherited(override.key_or_group)
    ]
    if not any(override.startswith("vae=") for override in overrides):
        overrides.append(f"vae={request.vae}")  # the target's, not the source task's own
    overrides += [f"env={config.transfer.source_env}", "transfer=scratch", f"stage={config.loaded[-1]}"]
    overrides.append(f"vae.frames={config.transfer.source_frames}")
    return to_config(request.compose(overrides))


def _inherited(key: str) -> bool:
    """Whether an override of the command line holds for a source task too."""
    return key in ("env.renderer", "hydra.searchpath") or not {key, key.split(".")[0]} & NOT_INHERITED
