"""Where a search for C starts, given what another task's search found."""

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from worldmodels.config import Config
from worldmodels.controller.agent import controller_shape
from worldmodels.controller.policy import Shape, agent_parameters, joined
from worldmodels.utils.errors import ConfigError

log = logging.getLogger(__name__)
# Beside C's parameters: those on what is read out, and the covariance with which the search ended, on one scale.
ON_READOUT, COVARIANCE = "on_readout", "covariance"


@dataclass(frozen=True)
class Source:
    """The weights of another search and the number of its C's outputs."""

    weights: Path
    outputs: int


def start_from(source: Source, config: Config, outputs: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """C's first parameters and the search's first covariance, as a source's search leaves them."""
    weights = load_file(source.weights)
    if config.controller.readout is None:
        start = warm_start(agent_parameters(weights), source.outputs, controller_shape(config, outputs))
        log.info("  starting with %d of %d parameters from the source", np.count_nonzero(start), len(start))
        return start, None
    if source.outputs != outputs or ON_READOUT not in weights:
        log.warning("  starting from nothing: the source's C acts on other inputs, or has other actions")
        return None, None
    return weights[ON_READOUT], weights.get(COVARIANCE)


def warm_start(source: np.ndarray, source_outputs: int, shape: Shape) -> np.ndarray:
    """Parameters of a C of this shape, with as many as fit of a source's, which has the same hidden layer; zero
    elsewhere.

    Columns of the first layer are C's inputs, z first, then h, then c: they mean the same on both sides as far as the
    axes of V's z and of M's h do. Rows of the last layer are actions, of which those of two tasks share only their
    index: row 1 is copied to row 1 and so on; rows that the source lacks are zero. What transfers is how z and h are
    combined, not which actions follow.

    source: (size of the source's C,) -> (size,). Raises `ConfigError` where the source is no such vector.
    """
    blind = Shape(0, source_outputs, shape.hidden)
    inputs, over = divmod(len(source) - blind.size, blind.layers[0][0])
    if over or inputs < 1:
        raise ConfigError(
            f"the source's controller has {len(source)} parameters: expected those of one with {source_outputs} outputs"
            f" and {'no hidden layer' if shape.hidden is None else f'a hidden layer of {shape.hidden}'}"
        )
    start = shape.split(np.zeros(shape.size))
    theirs = dataclasses.replace(blind, inputs=inputs).split(source)
    for (weights, bias), (their_weights, their_bias) in zip(start, theirs, strict=True):
        rows, columns = (min(sizes) for sizes in zip(weights.shape, their_weights.shape, strict=True))
        weights[:rows, :columns] = their_weights[:rows, :columns]
        bias[:rows] = their_bias[:rows]
    return joined(start)
