"""What can be told of a source before any weight is read, so that nonsense is refused before the libraries load."""

from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser

from worldmodels.config import Config, to_config
from worldmodels.store.runs import FinishedRun
from worldmodels.utils.checks import require

NOT_INHERITED = {  # a source task's own, or none of its business
    *("env", "transfer", "stage", "hydra"),
    *("collect.recorded", "collect.recorded_key"),
}


def check_source(config: Config) -> Config | None:
    """The config of the source task where it is to be trained, None where a finished run is taken or nothing is loaded.
    Raises `ConfigError` where there can be no such source, or its z is not what M's kept columns read.
    """
    transfer = config.transfer
    if not config.loaded:
        return None
    trained = source_config(config) if transfer.source_run is None else None
    source = trained or FinishedRun(Path(str(transfer.source_run))).config
    if "memory" in config.loaded and transfer.input_layer == "keep_latent":
        theirs, own = source.vae.latent_size, config.vae.latent_size
        require(
            theirs == own,
            f"transfer.input_layer=keep_latent keeps M's columns of z, of which the source "
            f"{transfer.source_run or source.env.name} has {theirs} and this run {own}: set "
            f"vae.network.latent_size={theirs}, or use transfer.input_layer=reinit",
        )
    return trained


def source_config(config: Config) -> Config:
    """The config of the source task: composed from the same command line with ``transfer=scratch`` on
    ``source_env``, with the target's V, which is trained on ``source_frames``.
    """
    overrides = [
        override.input_line
        for override in OverridesParser.create().parse_overrides(list(HydraConfig.get().overrides.task))
        if _inherited(override.key_or_group)
    ]
    if not any(override is not None and override.startswith("vae=") for override in overrides):
        overrides.append(f"vae={HydraConfig.get().runtime.choices['vae']}")  # the target's, not the source task's own
    overrides += [f"env={config.transfer.source_env}", "transfer=scratch", f"stage={config.loaded[-1]}"]
    overrides.append(f"vae.frames={config.transfer.source_frames}")
    job = HydraConfig.get().job
    return to_config(hydra.compose(job.config_name, [override for override in overrides if override is not None]))


def _inherited(key: str) -> bool:
    """Whether an override of the command line holds for a source task too."""
    return key == "env.renderer" or not {key, key.split(".")[0]} & NOT_INHERITED
