"""Copying, freezing and counting weights by module path."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from worldmodels.errors import ConfigError

INPUT_LAYERS = frozenset({"lstm.weight_input"})  # their width follows the task's actions: fresh where it differs
OPTIONAL = ("reward_head.", "end_head.", "carry.")  # of M: fresh where the source has none, left out where unused


@dataclass(frozen=True)
class Counts:
    """Parameters by where they came from and whether they train: copied + fresh = frozen + trainable = total."""

    total: int
    copied: int
    fresh: int
    frozen: int
    trainable: int


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network from a safetensors file; every name and shape must fit."""
    network.load_state_dict(safetensors.torch.load_file(path))


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    safetensors.torch.save_file(state, path)


def prepare(network: nn.Module, part: str, source: Path | None, frozen: Iterable[str]) -> dict[str, Any]:
    """Start ``part`` from a source's weights, if any, and freeze. Returns the counts, as results.json shows them."""
    copied = copy_weights(network, safetensors.torch.load_file(source)) if source else set()
    freeze(network, part, frozen)
    counts = {group: asdict(value) for group, value in count(network, copied).items()}
    return {**counts.pop(""), "groups": counts}


def mismatches(network: nn.Module, source: Mapping[str, tuple[int, ...]]) -> list[str]:
    """What keeps source weights of these shapes from fitting, one line each; input layers and M's heads may differ."""
    source = {name: shape for name, shape in source.items() if not name.startswith(OPTIONAL)}
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items() if not name.startswith(OPTIONAL)}
    lines = [f"{name} is missing" for name in wanted.keys() - source.keys()]
    lines += [f"{name} is not in this network" for name in source.keys() - wanted.keys()]
    for name in wanted.keys() & source.keys() - INPUT_LAYERS:
        if wanted[name] != source[name]:
            lines.append(f"{name} is {source[name]}, expected {wanted[name]}")
    return sorted(lines)


def copy_weights(network: nn.Module, source: Mapping[str, Tensor]) -> set[str]:
    """Copy a source's weights, leaving an input layer of another width, and heads that the source has not, as
    initialised. Returns the names copied.

    Raises `ConfigError` where anything else differs.
    """
    problems = mismatches(network, {name: tuple(value.shape) for name, value in source.items()})
    if problems:
        raise ConfigError(f"the source's weights do not fit: {problems[0]}")
    own = network.state_dict()
    fitting = {name for name, value in own.items() if name in source and value.shape == source[name].shape}
    network.load_state_dict({**own, **{name: source[name] for name in fitting}})
    return fitting


def freeze(network: nn.Module, part: str, paths: Iterable[str]) -> None:
    """Freeze modules of ``part`` (``vision`` or ``memory``) by path; the part's own name freezes all of it.

    Raises `ConfigError` for a path that does not exist. Paths of another part are passed over.
    """
    modules = {part: network} | {f"{part}.{name}": module for name, module in network.named_modules() if name}
    for path in paths:
        if path.split(".")[0] == part:
            if path not in modules:
                raise ConfigError(
                    f"transfer.freeze={path} is no module: expected {part} or one of {', '.join(list(modules)[1:])}"
                )
            modules[path].requires_grad_(False)


def count(network: nn.Module, copied: Collection[str]) -> dict[str, Counts]:
    """Counts of the whole network under ``""`` and of each of its top-level modules under its name."""
    groups = ["", *dict(network.named_children())]
    counts = {}
    for group in groups:
        members = {n: p for n, p in network.named_parameters() if not group or n.startswith(group + ".")}
        total = sum(p.numel() for p in members.values())
        taken = sum(p.numel() for n, p in members.items() if n in copied)
        trainable = sum(p.numel() for p in members.values() if p.requires_grad)
        counts[group] = Counts(total, taken, total - taken, total - trainable, trainable)
    return counts
