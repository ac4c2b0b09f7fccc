"""The page in a file of its own, which dreams in the browser alone: M and V's decoder in half precision, with the
JavaScript that runs them (``dream.js``).
"""

import base64
import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from worldmodels.controller.agent import controller_shape
from worldmodels.controller.inputs import read_inputs
from worldmodels.dreams.core import DreamModel
from worldmodels.envs.actions import ActionCodec, BoxCodec, ChoiceCodec, SwitchCodec
from worldmodels.memory.heads import CategoricalReward, End, GaussianReward
from worldmodels.memory.network import MDNLSTM, SkipGain
from worldmodels.playing.keys import choices
from worldmodels.playing.page import page
from worldmodels.playing.session import Played, Session
from worldmodels.utils.checks import require
from worldmodels.utils.disk import no_folder
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.files import write_bytes
from worldmodels.vision.network import ConvVAE, Decoder
from worldmodels.vision.transposed import TransposedConvolution

CHANGES_RESULTS = False
Network = TypeVar("Network", bound=nn.Module)


def write(played: Played, path: Path, temperature: float = 1.0, seed: int = 0) -> int:
    """Write the page, and make its folder. Returns the page's bytes. Raises `ConfigError` where ``dream.js`` does not
    know the networks, and where there can be no such folder.
    """
    text = f"const DATA = {described(played, temperature, seed)};"
    data = page("dream.js", "page.js", data=text).encode()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(no_folder(f"export={path}", error)) from error
    write_bytes(path, data)
    return len(data)


def rounded(network: Network) -> Network:
    """A copy whose weights are those of half precision. Raises `ConfigError` where one is too large."""
    copied = copy.deepcopy(network)
    for name, parameter in copied.named_parameters():
        parameter.data = parameter.data.half().float()
        require(bool(parameter.isfinite().all()), f"half precision cannot hold {name}: this run has no page in a file")
    return copied


def described(played: Played, temperature: float, seed: int) -> str:
    """All that ``dream.js`` needs, in JSON."""
    model, actions = played.model, played.model.spec.actions
    vision, memory = _networks(model)
    vision, memory = rounded(vision), rounded(memory)
    weights, layers = _weights(vision, memory)
    greeting, agent = Session(played, temperature, seed).greeting(), _agent(played)
    facts = {
        "greeting": {**greeting, "agent": agent is not None, "task": False},
        "agent": agent,
        "sizes": {
            "latent": memory.latent_size,
            "action": memory.action_size,
            "hidden": memory.hidden_size,
            "mixtures": memory.mixtures,
        },
        "pace": SkipGain.PACE,
        "layers": layers,
        "reward": _reward(model, memory),
        "most": model.max_steps,
        "first": [
            {"mu": start.mu.tolist(), "deviation": np.exp(start.log_var / 2).tolist()} for start in played.starts
        ],
        "rest": played.keys.rest,
        "stays": played.keys.stays,
        "chooses": isinstance(actions, ChoiceCodec),
        "switches": isinstance(actions, SwitchCodec),
        "integer": _rounds(actions),
        "starts": choices(actions),
        "low": actions.low.tolist(),
        "high": actions.high.tolist(),
        "frames": _text(np.stack([start.frame for start in played.starts])),
        "shapes": {name: list(value.shape) for name, value in weights.items()},
        "weights": _text(np.concatenate([value.detach().numpy().ravel() for value in weights.values()]).astype("<f2")),
    }
    return json.dumps(facts).replace("<", "\\u003c")  # nothing in it ends the script


def _networks(model: DreamModel) -> tuple[ConvVAE, MDNLSTM]:
    """V and M. Raises `ConfigError` where they are other networks than those that ``dream.js`` runs."""
    vision, memory = model.vision, model.memory
    decodes = isinstance(vision, ConvVAE) and type(vision).decode is ConvVAE.decode and type(vision.decoder) is Decoder
    _require(decodes, "V", vision, "the decoder of vae=cvae, foveal or vae_gan")
    _require(type(memory) is MDNLSTM, "M", memory, "the M of memory=mdn_lstm")
    heads = (type(None), GaussianReward, CategoricalReward), (type(None), End)
    for head, classes in zip((memory.reward_head, memory.end_head), heads, strict=True):  # type: ignore[union-attr]
        _require(type(head) in classes, "a head of M", head, "one of memory.network.reward_head's and end_head's own")
    return vision, memory  # type: ignore[return-value]


def _require(condition: bool, what: str, part: Any, expected: str) -> None:
    require(
        condition,
        f"{what} is {type(part).__name__}, which a page in a file cannot run: expected {expected}; "
        "without export= the live page plays it",
    )


def _weights(vision: ConvVAE, memory: MDNLSTM) -> tuple[dict[str, Tensor], list[list[int]]]:
    """Weights by the names and in the order of ``dream.js``; [inputs, outputs, kernel] of the decoder's layers."""
    lstm, decoder = memory.lstm, vision.decoder
    weights: dict[str, Tensor] = {
        "lstm.weight": torch.cat([lstm.weight_input, lstm.weight_hidden], dim=1),
        "lstm.bias": lstm.bias,
        **_of_dense("mdn", memory.mdn),
        **_of_dense("adapter", memory.adapter),
        **_of_dense("end", memory.end_head.dense if memory.end_head else None),
        **_of_dense("reward", memory.reward_head.dense if memory.reward_head else None),
        **_of_dense("decoder.dense", decoder.dense),
    }
    if memory.skip_gain is not None:
        weights["skip_gain"] = memory.skip_gain.gain
    layers = []
    for number, layer in enumerate(decoder.layers):
        assert isinstance(layer, TransposedConvolution) and layer.bias is not None
        weights[f"decoder.{number}.weight"] = layer.weight.permute(0, 2, 3, 1)
        weights[f"decoder.{number}.bias"] = layer.bias
        layers.append([layer.in_channels, layer.out_channels, layer.kernel_size[0]])
    return weights, layers


def _of_dense(name: str, layer: nn.Linear | None) -> Mapping[str, Tensor]:
    return {} if layer is None else {f"{name}.weight": layer.weight, f"{name}.bias": layer.bias}


def _agent(played: Played) -> dict[str, Any] | None:
    """C, and what becomes of its outputs. None where there is none, and for CarRacing's hand-made rules."""
    config = played.model.config
    if played.controller is None or config.env.heuristic:
        return None
    layers = controller_shape(config, played.model.spec.outputs).split(played.controller)
    return {
        "inputs": read_inputs(config.controller),
        "layers": [{"weights": weights.tolist(), "biases": bias.tolist()} for weights, bias in layers],
        "squash": list(config.env.squash),
        "threshold": config.env.discrete == "threshold",
    }


def _rounds(actions: ActionCodec) -> bool:
    """Whether continuous actions are whole numbers."""
    between = np.minimum(actions.low + np.float32(0.3), actions.high)
    return isinstance(actions, BoxCodec) and not np.array_equal(actions.nearest(between), between)


def _reward(model: DreamModel, memory: MDNLSTM) -> dict[str, Any]:
    """What tells the reward of a step."""
    if model.step_reward is not None:
        return {"kind": "same", "value": model.step_reward}
    head = memory.reward_head
    if isinstance(head, GaussianReward):
        return {"kind": "gaussian", "offset": float(head.offset), "scale": float(head.scale)}
    if isinstance(head, CategoricalReward):
        return {"kind": "categorical", "bins": head.bins.tolist()}
    return {"kind": "none"}


def _text(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
