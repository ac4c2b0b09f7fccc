"""V and M as the config names them, with fresh weights or with those of an artifact."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from worldmodels.config import STAGES, Config
from worldmodels.memory.config import NETWORK as MEMORY
from worldmodels.transfer.weights import LSTM_INPUT, load_weights, shapes
from worldmodels.utils import parts
from worldmodels.utils.seeds import sequence
from worldmodels.utils.settings import Part
from worldmodels.vision.config import NETWORK as VISION

if TYPE_CHECKING:
    from worldmodels.memory.network import MDNLSTM
    from worldmodels.vision.network import ConvVAE


def make_vision(config: Config, weights: Path | None = None) -> "ConvVAE":
    """V, with fresh weights that the seed determines, or with those of an artifact."""
    return _make(VISION, "vae.network", config.vae.network, config, "vision", weights)


def make_memory(config: Config, action_size: int, weights: Path | None = None, source: Path | None = None) -> "MDNLSTM":
    """M for a task with that many actions, with fresh weights that the seed determines, or with those of an
    artifact. An LSTM behind an adapter is as wide as in the artifact, or as in the ``source`` it is to start from.
    """
    sizes = {"latent_size": config.vae.latent_size, "action_size": action_size}
    file = weights or source
    if config.transfer.input_layer == "adapter":
        sizes["adapter_width"] = shapes(file)[LSTM_INPUT][1] if file else sum(sizes.values())
    return _make(MEMORY, "memory.network", config.memory.network, config, "memory", weights, **sizes)


def _make(part: Part, key: str, value: Any, config: Config, stage: str, weights: Path | None, **facts: int) -> Any:
    # A source of the same seed began with a part's own stream: what is mixed with its weights must be drawn apart.
    mixed = config.transfer.mixes(stage)
    keys = ("transfer", STAGES.index(stage)) if mixed else (stage, 3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(sequence(config.seed, *keys).generate_state(1)[0]))
        network = parts.make(part, value, key, **facts)
    if weights is not None:
        load_weights(network, weights)
    return network
