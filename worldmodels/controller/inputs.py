"""What C reads, and when: what a search goes by, so this code counts in artifacts."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worldmodels.controller.config import ControllerConfig


def open_inputs(config: "ControllerConfig", generation: int) -> list[str]:
    """Those of ``controller.inputs`` that are open in a generation, counted from 1."""
    opened = [phase for phase in config.phases if phase.inputs is not None and phase.generation <= generation]
    last = max(opened, key=lambda phase: phase.generation).inputs if opened else config.inputs
    return [name for name in config.inputs if name in (last or [])]


def read_inputs(config: "ControllerConfig") -> list[str]:
    """What C reads at the end of the search: those of ``controller.inputs`` that open within its generations."""
    return open_inputs(config, config.generations)


def privileged(config: "ControllerConfig") -> str | None:
    """What makes C no agent that was trained on pixels; None where nothing does."""
    if "state" in config.inputs:
        return "C reads the true state"
    return "C acts on a read-out fitted to the true state" if config.readout else None
