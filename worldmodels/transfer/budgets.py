"""Which parts a strategy is about, and how long they train: what builds go by, so this code counts in artifacts."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldmodels.config import Config
    from worldmodels.transfer.config import TransferConfig

PARTS = ("vision", "memory", "controller")


def of_part(paths: Iterable[str], part: str) -> list[str]:
    """The module paths that lie in ``part``, in their order."""
    return [path for path in paths if path.split(".")[0] == part]


def loaded_parts(transfer: "TransferConfig") -> list[str]:
    """The parts that take something from a source."""
    return [part for part in PARTS if of_part(transfer.load, part)]


def mixes(transfer: "TransferConfig", part: str) -> bool:
    """Whether a source's weights and fresh ones meet in ``part`` by choice, not only in M's input layer."""
    loaded = of_part(transfer.load, part)
    return bool(loaded) and (transfer.fraction is not None or loaded != [part])


def budget_of(transfer: "TransferConfig", part: str) -> float:
    """Share of the data (V) or steps (M) that ``part`` trains on. A part beside a loaded one has all of it."""
    return transfer.budget if part in (loaded_parts(transfer) if transfer.load else transfer.budgeted) else 1.0


def memory_steps(config: "Config") -> float:
    """Steps that M trains for."""
    return config.memory.steps * budget_of(config.transfer, "memory")


def epochs_of(config: "Config", part: str) -> int:
    """Epochs that V or M trains for; an epoch of M is ``memory.validate_every`` steps."""
    return config.vae.epochs if part == "vision" else round(memory_steps(config) / config.memory.validate_every)
