"""V and M as the config names them, with fresh weights or with those of an artifact."""

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from worldmodels.config import STAGES, Config
from worldmodels.memory.config import NETWORK as MEMORY
from worldmodels.transfer.budgets import mixes
from worldmodels.transfer.weights import left_out, load_weights, shapes
from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.seeds import sequence
from worldmodels.utils.settings import Part, counted
from worldmodels.vision.config import NETWORK as VISION

if TYPE_CHECKING:
    from worldmodels.memory.interface import Memory
    from worldmodels.vision.interface import Vision

NEEDED = {  # of the interfaces of V and M
    "vision": ("latent_size", "encode", "decode"),
    "memory": ("latent_size", "action_size", "hidden_size", "initial_state", "step", "unroll", "mixture"),
}


def beside_weights(config: Config, *stages: str) -> dict[str, Any]:
    """What the figures of V and M (``stages``: vision, memory) depend on besides their weights, for keys: a network of
    somebody else's with its settings, of which one may hold only where the network is used. The weights of the
    package's own tell all that counts.
    """
    nodes = {"vision": (VISION, config.vae), "memory": (MEMORY, config.memory)}
    foreign = {
        stage: counted(node)["network"]
        for stage, (part, node) in nodes.items()
        if stage in stages and not parts.target(part, node.network).startswith("worldmodels.")
    }
    return {"networks": foreign} if foreign else {}


def make_vision(config: Config, weights: Path | None = None) -> "Vision":
    """V, with fresh weights that the seed determines, or with those of an artifact."""
    return _make(VISION, "vae.network", config.vae.network, config, "vision", weights)


def make_memory(config: Config, action_size: int, weights: Path | None = None, source: Path | None = None) -> "Memory":
    """M for a task with that many actions, with fresh weights that the seed determines, or with those of an
    artifact. Behind an adapter, M is as wide as in the artifact, or as in the ``source`` it is to start from.
    """
    sizes = {"latent_size": config.vae.latent_size, "action_size": action_size}
    if config.transfer.input_layer == "adapter":
        sizes["adapter_width"] = _adapter_width(config, weights or source, sum(sizes.values()))
    return _make(MEMORY, "memory.network", config.memory.network, config, "memory", weights, **sizes)


def _adapter_width(config: Config, file: Path | None, usual: int) -> int:
    """Inputs of M's first layer in a file of weights, or the ``usual`` ones without."""
    network = parts.find(MEMORY, config.memory.network, "memory.network")
    inputs = [*getattr(network, "INPUT_LAYERS", ())]
    require(
        bool(inputs) and "adapter_width" in inspect.signature(network).parameters,
        f"transfer.input_layer=adapter needs an M with INPUT_LAYERS and an argument adapter_width, which "
        f"{network.__name__} has not: use transfer.input_layer=reinit",
    )
    return shapes(file, network)[inputs[0]][1] if file else usual


def _make(part: Part, key: str, value: Any, config: Config, stage: str, weights: Path | None, **facts: int) -> Any:
    # A source of the same seed began with the part's own stream: weights that are mixed with it need another one.
    mixed = mixes(config.transfer, stage)
    keys = ("transfer", STAGES.index(stage)) if mixed else (stage, 3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(sequence(config.seed, *keys).generate_state(1)[0]))
        network = parts.make(part, value, key, **facts)
    missing = [name for name in NEEDED[stage] if not hasattr(network, name)]
    require(
        not missing,
        f"{key}={parts.target(part, value)} has no {', '.join(missing)}: expected all that "
        f"worldmodels/{stage}/interface.py names",
    )
    if weights is not None:
        load_weights(network, weights)
        if stage == "vision" and left_out(weights):
            network.decode = _no_decoder  # also of copies
    return network


def require_decoder(weights: Path) -> Path:
    """V's ``weights``, where its decoder is among them. Raises `ConfigError`."""
    return _no_decoder() if left_out(weights) else weights


def _no_decoder(*arguments: Any) -> NoReturn:
    raise ConfigError(
        "V was exported without its decoder: expected the run that it comes from, or one exported with decoder=true"
    )
