"""Copying, freezing and counting weights by module path."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor, nn

from worldmodels.transfer.budgets import of_part
from worldmodels.transfer.config import TransferConfig
from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError, DamagedFile

log = logging.getLogger(__name__)
ALL_NAMES = ("",)
LEFT_OUT = "left_out"  # metadata of a file of weights
LONGEST = 200  # characters of a message
Network = nn.Module | type[nn.Module]


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
    """Fill a network from a safetensors file; every name and shape must fit, save for what was `left_out`. Raises
    `DamagedFile`.
    """
    try:
        weights, missing = read_weights(path, network), left_out(path)
        fresh = {name: value for name, value in network.state_dict().items() if name in missing}
        network.load_state_dict({**fresh, **weights})
    except (RuntimeError, ValueError, TypeError, AttributeError, safetensors.SafetensorError) as error:
        why = " ".join(str(error).split())[:LONGEST]
        raise DamagedFile(f"{path} does not hold the weights of {type(network).__name__}: {why}") from error


def left_out(path: Path) -> list[str]:
    """Names of the weights that a safetensors file was written without, because an agent needs none of them."""
    with safetensors.safe_open(path, "pt") as file:
        return json.loads((file.metadata() or {}).get(LEFT_OUT, "[]"))


def read_weights(path: Path, network: Network) -> dict[str, Tensor]:
    """The weights in a safetensors file, by today's names in this kind of network."""
    return {_renamed(name, network): value for name, value in safetensors.torch.load_file(path).items()}


def save_weights(network: nn.Module, path: Path) -> None:
    """Write a network's weights as safetensors."""
    save_tensors({name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}, path)


def save_tensors(tensors: dict[str, Tensor], path: Path, missing: Sequence[str] = ()) -> None:
    """Write weights as safetensors. ``missing``: names that are `left_out`."""
    safetensors.torch.save_file(tensors, path, {LEFT_OUT: json.dumps(list(missing))} if missing else None)


def shapes(path: Path, network: Network) -> dict[str, tuple[int, ...]]:
    """Shape of every weight in a safetensors file, by today's names, without reading the weights."""
    with safetensors.safe_open(path, "pt") as file:
        return {_renamed(name, network): tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118


def _renamed(name: str, network: Network) -> str:
    for old, new in getattr(network, "RENAMED", {}).items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    return name


def _names(network: Network, kind: str) -> tuple[str, ...]:
    """Names of weights that a network declares, ``INPUT_LAYERS`` and so on: see `Memory`."""
    return tuple(getattr(network, kind, ()))


def prepare(
    network: nn.Module, part: str, source: Path | None, transfer: TransferConfig, epochs: int, columns: int = 0
) -> dict[str, Any]:
    """Start ``part`` from a source's weights, if any, and freeze what stays frozen for all ``epochs``. ``columns``: see
    `copy_weights`. Returns the counts, as results.json shows them.
    """
    copied: dict[str, int] = {}
    if source:
        prefixes = loaded_prefixes(network, part, transfer)
        copied = copy_weights(network, read_weights(source, network), prefixes, columns, transfer.fraction)
    freeze_all(network, part, transfer, epochs)
    to_unfreeze = of_part(transfer.unfreeze, part)
    if never := to_unfreeze[max(epochs - 1, 0) :]:
        warning = "  transfer.unfreeze needs %d epochs of %s and has %d; frozen to the end: %s"
        log.warning(warning, len(to_unfreeze) + 1, part, epochs, ", ".join(never))
    counts = {group: asdict(value) for group, value in count(network, copied).items()}
    return {**counts.pop(""), "groups": counts}


def loaded_prefixes(network: nn.Module, part: str, transfer: TransferConfig) -> tuple[str, ...]:
    """Prefixes of the names of the weights that ``part`` takes from a source. Raises `ConfigError` for a path that does
    not exist, and where ``transfer.input_layer`` needs M's input layer and it is not loaded.
    """
    paths = of_part(transfer.load, part)
    for path in paths:
        module_at(network, part, path, "load")
    prefixes = tuple("" if path == part else f"{path.removeprefix(f'{part}.')}." for path in paths)
    if part == "memory" and transfer.input_layer != "reinit":
        inputs = _names(network, "INPUT_LAYERS")
        require(
            bool(inputs),
            f"transfer.input_layer={transfer.input_layer} needs an M that names its INPUT_LAYERS, which "
            f"{type(network).__name__} does not: use transfer.input_layer=reinit",
        )
        for name in inputs:
            require(
                name.startswith(prefixes),
                f"transfer.input_layer={transfer.input_layer} needs a source for memory.{name.rpartition('.')[0]}: add "
                "memory to transfer.load, or use transfer.input_layer=reinit",
            )
    return prefixes


def mismatches(
    network: nn.Module, source: Mapping[str, tuple[int, ...]], prefixes: tuple[str, ...] = ALL_NAMES
) -> list[str]:
    """Why source weights of these shapes do not fit, a line for each weight whose name begins with ``prefixes``.
    Differences that the network declares are allowed: see `Memory`.
    """
    weights = network.state_dict()
    ignored = (*_names(network, "OPTIONAL"), *_adapters_of(network, weights))
    # What is added changes nothing at its start; a source's own would be lost.
    ignored += tuple(added for added in _names(network, "ADDED") if not any(name.startswith(added) for name in source))
    source, expected = (
        {
            name: tuple(shape)
            for name, shape in named_shapes
            if name.startswith(prefixes) and not name.startswith(ignored)
        }
        for named_shapes in (source.items(), ((name, value.shape) for name, value in weights.items()))
    )
    hint = ""
    if hasattr(network, "action_size") and not _names(network, "INPUT_LAYERS"):
        hint = f"; a layer as wide as the task's actions is named in {type(network).__name__}.INPUT_LAYERS"
    lines = [f"{name} is missing in the source's network" for name in expected.keys() - source.keys()]
    lines += [f"{name} is in the source's network and not in this run's" for name in source.keys() - expected.keys()]
    for name in expected.keys() & source.keys() - {*_names(network, "INPUT_LAYERS")}:
        if expected[name] != source[name]:
            lines.append(f"{name} is {source[name]} in the source's network and {expected[name]} in this run's{hint}")
    return sorted(lines)


def copy_weights(
    network: nn.Module,
    source: Mapping[str, Tensor],
    prefixes: tuple[str, ...] = ALL_NAMES,
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
    weights = network.state_dict()
    parameters = {name for name, _ in network.named_parameters()}
    adapters, inputs = _adapters_of(network, weights), _names(network, "INPUT_LAYERS")
    copied = {}
    for name, fresh in weights.items():
        if name not in source or not name.startswith(prefixes) or name.startswith(adapters):
            continue
        theirs = source[name]
        if theirs.shape == fresh.shape:
            shared = ...
        elif name in inputs and columns:
            shared = (slice(None), slice(columns))
        else:
            continue
        value = fresh.clone()
        share = fresh[shared] + fraction * theirs[shared] if fraction and name in parameters else theirs[shared]
        value[shared] = share
        weights[name], copied[name] = value, share.numel()
    network.load_state_dict(weights)
    return copied


def _adapters_of(network: nn.Module, names: Iterable[str]) -> tuple[str, ...]:
    """The adapters that the network has."""
    return tuple(adapter for adapter in _names(network, "ADAPTERS") if any(name.startswith(adapter) for name in names))


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
        copied_count = sum(copied.get(name, 0) for name in members)
        trainable = sum(p.numel() for p in members.values() if p.requires_grad)
        counts[group] = Counts(total, copied_count, total - copied_count, total - trainable, trainable)
    return counts
