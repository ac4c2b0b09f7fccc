"""Whether a finished run's V or M fits this run, and with which settings it would."""

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from worldmodels.config import Config
from worldmodels.memory.config import NETWORK as MEMORY
from worldmodels.transfer.weights import left_out, mismatches, shapes
from worldmodels.utils import parts
from worldmodels.utils.checks import require
from worldmodels.utils.errors import ConfigError
from worldmodels.utils.settings import Part
from worldmodels.vision.config import NETWORK as VISION

CHANGES_RESULTS = False


def require_fitting(
    config: Config, source: Config, part: str, network: nn.Module, weights: Path, prefixes: tuple[str, ...]
) -> None:
    """Raise `ConfigError` where ``weights`` of the run of ``source`` do not fit the ``network`` of ``config``.
    ``prefixes``: of the names of those that are taken.
    """
    transfer = config.transfer
    taken = f"transfer={transfer.name} cannot take {part} from {transfer.source_run}"
    require(
        not any(name.startswith(prefixes) for name in left_out(weights)),
        f"{taken}: it was exported without V's decoder; expected the run that it comes from, or one exported with "
        "decoder=true; transfer.load=[vision.encoder] takes the encoder alone",
    )
    if problems := mismatches(network, shapes(weights, network), prefixes):
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        fix = " ".join(map(shlex.quote, _differences(config, source, part)))
        raise ConfigError(
            f"{taken}: {problems[0]}{more}: expected the same network; {f'set {fix}, or ' if fix else ''}use another "
            "source"
        )


def _differences(config: Config, source: Config, part: str) -> Iterator[str]:
    """The settings with which this run's network is the source's, where they are others."""
    if part == "vision":
        yield from _of_network(VISION, "vae.network", config.vae.network, source.vae.network)
        return
    if config.vae.latent_size != source.vae.latent_size:
        yield f"vae.network.latent_size={source.vae.latent_size}"
    yield from _of_network(MEMORY, "memory.network", config.memory.network, source.memory.network)


def _of_network(part: Part, key: str, ours: Any, theirs: Any) -> Iterator[str]:
    settings, usual = parts.complete(part, theirs, key), parts.complete(part, ours, key)
    if (target := parts.target(part, theirs, key)) != parts.target(part, ours, key):
        yield f"{key}={target}"
        usual = parts.complete(part, target, key)  # a class that is chosen anew has its own defaults
    yield from (f"{key}.{name}={_plain(value)}" for name, value in settings.items() if value != usual.get(name))


def _plain(value: Any) -> str:
    """As it is written on the command line."""
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{name}: {_plain(item)}' for name, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_plain, value))}]"
    return {True: "true", False: "false", None: "null"}[value] if isinstance(value, bool | None) else str(value)
