"""The one place where ``_target_`` becomes a network."""

from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from worldmodels.config import STAGES, Config
from worldmodels.memory.network import MDNLSTM
from worldmodels.transfer.weights import LSTM_INPUT, load_weights, shapes
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.seeds import sequence
from worldmodels.vision.network import ConvVAE


def make_vision(config: Config, weights: Path | None = None) -> ConvVAE:
    """V, with fresh weights that the seed determines, or with those of an artifact."""
    return _make("vae.network", config.vae.network, config, "vision", weights)


def make_memory(config: Config, action_size: int, weights: Path | None = None, source: Path | None = None) -> MDNLSTM:
    """M for a task with that many actions, with fresh weights that the seed determines, or with those of an
    artifact. An LSTM behind an adapter is as wide as in the artifact, or as in the ``source`` it is to start from.
    """
    sizes = {"latent_size": config.vae.network.latent_size, "action_size": action_size}
    file = weights or source
    if config.transfer.input_layer == "adapter":
        sizes["adapter_width"] = shapes(file)[LSTM_INPUT][1] if file else sum(sizes.values())
    return _make("memory.network", config.memory.network, config, "memory", weights, **sizes)


def _make(key: str, node: Any, config: Config, part: str, weights: Path | None, **facts: int) -> Any:
    # A source of the same seed began with a part's own stream: what is mixed with its weights must be drawn apart.
    mixed = config.transfer.mixes(part)
    keys = ("transfer", STAGES.index(part)) if mixed else (part, 3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(sequence(config.seed, *keys).generate_state(1)[0]))
        try:
            network = instantiate(OmegaConf.structured(node), **facts)
        except InstantiationException as error:
            raise ConfigError(
                f"{key}._target_={node._target_} cannot be made: {' '.join(str(error).split())}"
            ) from error
    if weights is not None:
        load_weights(network, weights)
    return network
