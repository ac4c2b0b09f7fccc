"""Where a search for C starts, given what another task's search found: its C, and how that one still varied.

The covariance is that of WS-CMA-ES (Nomura, Watanabe, Akimoto, Ozaki & Onishi 2021, "Warm Starting CMA-ES for
Hyperparameter Optimization", AAAI), which starts from the Gaussian that is closest to what was good in the source task
when that is blurred by a deviation α: m is its mean, and Σ = α² I + its covariance. What was good is here what the
source's search says it is, its agent and its covariance at its end, and not its best individuals as in the paper: other
generations meet other episodes, so that the best of all are those of the generations with easy ones. α keeps a search
that has converged from starting where nothing varies.
"""

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from worldmodels.config import Config
from worldmodels.controller.agent import controller_shape, input_sizes
from worldmodels.controller.config import ControllerConfig
from worldmodels.controller.coordinates import stored_scaling
from worldmodels.controller.inputs import open_inputs, privileged
from worldmodels.controller.phases import PhasedSearch
from worldmodels.controller.policy import Shape, agent_parameters, joined
from worldmodels.controller.scaling import Scaling, changed, layer_steps
from worldmodels.controller.search import usual_step
from worldmodels.utils.errors import ConfigError
from worldmodels.vision.look import READ

log = logging.getLogger(__name__)
# Beside C's parameters: those on what is read out, and the covariance with which the search ended, on one scale, of the
# inputs that were open: (N, N), or the variances alone of one that is diagonal.
ON_READOUT, COVARIANCE = "on_readout", "covariance"
LARGEST = 2500  # parameters of a search whose covariance is kept, or started with: 50 MB
ALPHA = 0.1  # α, of a usual first step


@dataclass(frozen=True)
class Source:
    """The weights of another search and the number of its C's outputs."""

    weights: Path
    outputs: int


def takes_covariance(settings: ControllerConfig) -> bool:
    """Whether a search that starts from a source's C is to start with its covariance too."""
    return (settings.warm_start or usual_start(settings)) == "covariance"


def usual_start(settings: ControllerConfig) -> str:
    """What ``controller.warm_start=null`` says."""
    return "covariance" if settings.readout == "salience" else "mean"


def kept_covariance(settings: ControllerConfig, search: PhasedSearch) -> Mapping[str, np.ndarray]:
    """What a search for an agent that sees pixels alone leaves for others to start with, beside its C's."""
    if privileged(settings) is not None or len(search.mean) > LARGEST or (whole := search.covariance) is None:
        return {}
    variances = np.diag(whole).copy()
    return {COVARIANCE: variances if np.array_equal(whole, np.diag(variances)) else whole}


def first_parameters(source: Source, config: Config, outputs: int) -> np.ndarray | None:
    """C's first parameters, (size,), from a source's C; None where that one acts on what is none of this C's."""
    weights = load_file(source.weights)
    if config.controller.readout is None:
        start = warm_start(agent_parameters(weights), source.outputs, controller_shape(config, outputs))
        log.info("  starting with %d of %d parameters from the source", np.count_nonzero(start), len(start))
        return start
    size = Shape(READ, outputs, config.controller.hidden).size
    if source.outputs != outputs or ON_READOUT not in weights or len(weights[ON_READOUT]) != size:
        log.warning("  starting from nothing: the source's C acts on other inputs, or has other actions")
        return None
    return weights[ON_READOUT]


def first_covariance(source: Source, config: Config, scaling: Scaling) -> np.ndarray | None:
    """The search's first covariance, (size, size), in the coordinates of ``scaling``; None: the search's own. On a
    read-out it is the source's as it is, for the search goes on in the same task.
    """
    settings = config.controller
    if not takes_covariance(settings):
        return None
    weights = load_file(source.weights)
    found = weights.get(COVARIANCE)
    if found is None or (settings.readout is None and ON_READOUT in weights):
        log.warning(
            "  starting with the source's mean alone: its search left no covariance that this one can start with (one "
            "by earlier code, by a search that has none, on a read-out, or of more than %d parameters)",
            LARGEST,
        )
        return None
    found = np.diag(found) if found.ndim == 1 else found
    if settings.readout is not None:
        return found
    shape = Shape(_inputs_of(len(found), source.outputs, settings.hidden), source.outputs, settings.hidden)
    theirs = changed(found, stored_scaling(source.weights.parent, shape).to_controller)
    inputs = sum(size for name, size in input_sizes(config).items() if name in open_inputs(settings, 1))
    opened = dataclasses.replace(scaling.shape, inputs=inputs)
    return warm_covariance(theirs, shape, scaling, opened, usual_step(settings, opened.size))


def warm_covariance(source: np.ndarray, shape: Shape, scaling: Scaling, opened: Shape, step: float) -> np.ndarray:
    """Of a search for C in the coordinates of ``scaling``: Σ = α² I + the source's, where `warm_start` takes parameters
    from it, with α = `ALPHA` of the usual first ``step``; of the others, that step alone. ``opened``: the C's that the
    search begins with. Of inputs that open later nothing is taken: their weights are 0 until then, and do not vary.

    source: (N, N), of the parameters of a C of this ``shape`` themselves, not of coordinates of its search: the two
    searches vary the same C's, whatever the scales of their inputs. Returns (size, size) of ``scaling.shape``.
    """
    first = warm_start(np.arange(1.0, shape.size + 1), shape.outputs, opened)
    places = warm_start(first, opened.outputs, scaling.shape).astype(int)
    taken = places > 0
    covariance = np.zeros((len(places), len(places)))
    covariance[np.ix_(taken, taken)] = source[np.ix_(places[taken] - 1, places[taken] - 1)]
    log.info("  and with the covariance of %d of them, which is the source's", taken.sum())
    # The step is one in the coordinates that the search begins in, whose layers have steps of their own.
    steps = np.where(taken, ALPHA * step, step) * layer_steps(scaling.shape, opened.inputs) / scaling.steps
    return changed(covariance, scaling.to_search) + np.diag(steps**2)


def warm_start(source: np.ndarray, source_outputs: int, shape: Shape) -> np.ndarray:
    """Parameters of a C of this shape, with as many as fit of a source's, which has the same hidden layer; zero
    elsewhere.

    Columns of the first layer are C's inputs, z first, then h, then c: they mean the same on both sides as far as the
    axes of V's z and of M's h do. Rows of the last layer are actions, of which those of two tasks share only their
    index: row 1 is copied to row 1 and so on; rows that the source lacks are zero. What transfers is how z and h are
    combined, not which actions follow.

    source: (size of the source's C,) -> (size,). Raises `ConfigError` where the source is no such vector.
    """
    inputs = _inputs_of(len(source), source_outputs, shape.hidden)
    start = shape.split(np.zeros(shape.size))
    theirs = Shape(inputs, source_outputs, shape.hidden).split(source)
    for (weights, bias), (their_weights, their_bias) in zip(start, theirs, strict=True):
        rows, columns = (min(sizes) for sizes in zip(weights.shape, their_weights.shape, strict=True))
        weights[:rows, :columns] = their_weights[:rows, :columns]
        bias[:rows] = their_bias[:rows]
    return joined(start)


def _inputs_of(size: int, outputs: int, hidden: int | None) -> int:
    """How many numbers a source's C of so many parameters reads. Raises `ConfigError` where there is no such C."""
    blind = Shape(0, outputs, hidden)
    inputs, over = divmod(size - blind.size, blind.layers[0][0])
    if over or inputs < 1:
        raise ConfigError(
            f"the source's controller has {size} parameters: expected those of one with {outputs} outputs"
            f" and {'no hidden layer' if hidden is None else f'a hidden layer of {hidden}'}"
        )
    return inputs
