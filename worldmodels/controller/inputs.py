"""What C reads and where it is scored, and when: what a search goes by, so this code counts in artifacts."""

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
    return "C acts on a read-out fitted to the true state" if config.readout == "state" else None


def places(config: "ControllerConfig") -> set[str]:
    """Where C is scored in one generation or another: ``reality``, ``dream``."""
    begins = {1, *(phase.generation for phase in config.phases)}
    return {place_at(config, generation) for generation in begins if generation <= config.generations}


def place_at(config: "ControllerConfig", generation: int) -> str:
    """Where C is scored in a generation, counted from 1."""
    chosen = [phase for phase in config.phases if phase.where is not None and phase.generation <= generation]
    return max(chosen, key=lambda phase: phase.generation).where or config.where if chosen else config.where


def dreams(config: "ControllerConfig") -> bool:
    """Whether any generation is scored in dreams."""
    return "dream" in places(config)
