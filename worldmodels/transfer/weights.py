"""Copying, freezing and counting weights by module path."""

import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from worldmodels.transfer.config import TransferConfig, of_part
from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError

log = logging.getLogger(__name__)
LSTM_INPUT = "lstm.weight_input"
INPUT_LAYERS = frozenset({LSTM_INPUT})  # their width follows the task's actions: fresh where it differs
ADAPTER = "adapter."  # of M's input to an LSTM of another width: always fresh
OPTIONAL = ("reward_head.", "end_head.")  # of M: fresh where the source has none, left out where unused
SKIP_GAIN = "skip_gain."  # of M: fresh where the source has none
WHOLE = ("",)


@dataclass(frozen=True)
class Counts:
    """Parameters by where they came from and whether they train: copied + fresh = frozen + trainable = total.

    A parameter tensor may be copied in part. Copied is also what a share of the source's weights was added to; frozen
    is what no epoch trains.
    """

    total: int
    copied: int
    fresh: int
    frozen: int
    trainable: int


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network from a safetensors file; every name and shape must fit."""
    network.load_state_dict(read_weights(path))


def read_weights(path: Path) -> dict[str, Tensor]:
    """The weights in a safetensors file, by today's names."""
    return {_renamed(name): value for name, value in safetensors.torch.load_file(path).items()}


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors."""
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    safetensors.torch.save_file(state, path)


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Shape of every weight in a safetensors file, without reading the weights."""
    with safetensors.safe_open(path, "pt") as file:
        return {_renamed(name): tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def _renamed(name: str) -> str:
    return SKIP_GAIN + name.removeprefix("carry.") if name.startswith("carry.") else name


def prepare(
    network: nn.Module, part: str, source: Path | None, transfer: TransferConfig, epochs: int, columns: int = 0
) -> dict[str, Any]:
    """Start ``part`` from a source's weights, if any, and freeze what stays frozen for all ``epochs``. ``columns``: see
    `copy_weights`. Returns the counts, as results.json shows them.
    """
    copied: dict[str, int] = {}
    if source:
        prefixes = loaded_prefixes(network, part, transfer)
        copied = copy_weights(network, read_weights(source), prefixes, columns, transfer.fraction)
    freeze_all(network, part, transfer, epochs)
    wanted = of_part(transfer.unfreeze, part)
    if never := wanted[max(epochs - 1, 0) :]:
        told = "  transfer.unfreeze needs %d epochs of %s and has %d; frozen to the end: %s"
        log.warning(told, len(wanted) + 1, part, epochs, ", ".join(never))
    counts = {group: asdict(value) for group, value in count(network, copied).items()}
    return {**counts.pop(""), "groups": counts}


def loaded_prefixes(network: nn.Module, part: str, transfer: TransferConfig) -> tuple[str, ...]:
    """How names of the weights begin that ``part`` takes from a source. Raises `ConfigError` for a path to nothing."""
    paths = of_part(transfer.load, part)
    for path in paths:
        module_at(network, part, path, "load")
    return tuple("" if path == part else f"{path.removeprefix(f'{part}.')}." for path in paths)


def mismatches(
    network: nn.Module, source: Mapping[str, tuple[int, ...]], prefixes: tuple[str, ...] = WHOLE
) -> list[str]:
    """What keeps source weights of these shapes from fitting, one line each, of those whose names begin with
    ``prefixes``; input layers and M's heads may differ, and an adapter is the network's own.
    """
    own = network.state_dict()
    ignored = (*OPTIONAL, *([ADAPTER] if _has_adapter(own) else []))
    if not any(name.startswith(SKIP_GAIN) for name in source):
        ignored = (
            *ignored,
            SKIP_GAIN,
        )  # at its start it changes nothing; a source's head would be lost without its own
    source, wanted = (
        {name: tuple(shape) for name, shape in each if name.startswith(prefixes) and not name.startswith(ignored)}
        for each in (source.items(), ((name, value.shape) for name, value in own.items()))
    )
    lines = [f"{name} is missing" for name in wanted.keys() - source.keys()]
    lines += [f"{name} is not in this network" for name in source.keys() - wanted.keys()]
    for name in wanted.keys() & source.keys() - INPUT_LAYERS:
        if wanted[name] != source[name]:
            lines.append(f"{name} is {source[name]}, expected {wanted[name]}")
    return sorted(lines)


def copy_weights(
    network: nn.Module,
    source: Mapping[str, Tensor],
    prefixes: tuple[str, ...] = WHOLE,
    columns: int = 0,
    fraction: float | None = None,
) -> dict[str, int]:
    """Copy a source's weights whose names begin with ``prefixes``. Returns how many elements of which were copied.

    Left as initialised: an adapter, heads that the source has not, and an input layer of another width, save for its
    first ``columns`` columns. With a ``fraction`` ω, parameters are not copied: W = W_fresh + ω W_source (Sasso,
    Sabatelli & Wiering 2021, arXiv:2108.06526, who add it to some layers only and copy the others).

    Raises `ConfigError` where anything else differs.
    """
    problems = mismatches(network, {name: tuple(value.shape) for name, value in source.items()}, prefixes)
    if problems:
        raise ConfigError(f"the source's weights do not fit: {problems[0]}")
    own = network.state_dict()
    parameters = {name for name, _ in network.named_parameters()}
    copied = {}
    for name, fresh in own.items():
        if name not in source or not name.startswith(prefixes) or (name.startswith(ADAPTER) and _has_adapter(own)):
            continue
        given = source[name]
        if given.shape == fresh.shape:
            shared = ...
        elif name in INPUT_LAYERS and columns:
            shared = (slice(None), slice(columns))
        else:
            continue
        value = fresh.clone()
        share = fresh[shared] + fraction * given[shared] if fraction and name in parameters else given[shared]
        value[shared] = share
        own[name], copied[name] = value, share.numel()
    network.load_state_dict(own)
    return copied


def _has_adapter(names: Iterable[str]) -> bool:
    return any(name.startswith(ADAPTER) for name in names)


def module_at(network: nn.Module, part: str, path: str, key: str) -> nn.Module:
    """The module of ``part`` at a path; the part's own name is all of it. Raises `ConfigError`, which names the
    ``key`` of ``transfer``, for a path that does not exist.
    """
    modules = {part: network} | {f"{part}.{name}": module for name, module in network.named_modules() if name}
    if path not in modules:
        raise ConfigError(
            f"transfer.{key}={path} is no module: expected {part} or one of {', '.join(list(modules)[1:])}"
        )
    return modules[path]


def freeze(network: nn.Module, part: str, paths: Iterable[str], key: str = "freeze") -> None:
    """Freeze modules of ``part`` (``vision`` or ``memory``) by path; the part's own name freezes all of it.

    Raises `ConfigError` for a path that does not exist. Paths of another part are passed over.
    """
    for path in of_part(paths, part):
        module_at(network, part, path, key).requires_grad_(False)


def freeze_all(network: nn.Module, part: str, transfer: TransferConfig, epochs: int) -> None:
    """Freeze what stays frozen for all ``epochs``, modules included whose turn to unfreeze never comes.

    Raises `ConfigError` for a path that does not exist, and where the first epoch would have nothing to train.
    """
    freeze(network, part, transfer.freeze)
    freeze(network, part, transfer.freeze_random, "freeze_random")
    waiting = unfrozen_later(network, part, transfer, epochs)
    freeze(network, part, of_part(transfer.unfreeze, part)[len(waiting) :], "unfreeze")
    trainable = {id(parameter) for parameter in network.parameters() if parameter.requires_grad}
    at_first = trainable - {id(parameter) for module in waiting for parameter in module.parameters()}
    require(
        bool(at_first) or not trainable,
        f"transfer.unfreeze={transfer.unfreeze} leaves nothing of {part} to train in the first epoch: expected fewer "
        "modules",
    )


def unfrozen_later(network: nn.Module, part: str, transfer: TransferConfig, epochs: int) -> list[nn.Module]:
    """Modules of ``part`` that begin to train at the second epoch, at the third, and so on, of ``epochs``."""
    return [module_at(network, part, path, "unfreeze") for path in of_part(transfer.unfreeze, part)[: epochs - 1]]


def count(network: nn.Module, copied: Mapping[str, int]) -> dict[str, Counts]:
    """Counts of the whole network under ``""`` and of each of its top-level modules under its name. ``copied``:
    elements of each parameter, as `copy_weights` tells.
    """
    groups = ["", *dict(network.named_children())]
    counts = {}
    for group in groups:
        members = {n: p for n, p in network.named_parameters() if not group or n.startswith(group + ".")}
        total = sum(p.numel() for p in members.values())
        taken = sum(copied.get(name, 0) for name in members)
        trainable = sum(p.numel() for p in members.values() if p.requires_grad)
        counts[group] = Counts(total, taken, total - taken, total - trainable, trainable)
    return counts
