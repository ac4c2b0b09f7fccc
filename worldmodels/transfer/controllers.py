"""Where a search for C starts, given what another task's search found."""

import numpy as np

from worldmodels.utils.errors import ConfigError


def warm_start(source: np.ndarray, source_outputs: int, input_size: int, outputs: int) -> np.ndarray:
    """C's parameters, W row by row and then b, with as many of a source's as fit; zero elsewhere.

    Columns are C's inputs, z first, then h, then c: they mean the same on both sides as far as the axes of V's z and of
    M's h do. Rows are actions, of which those of two tasks share only their index: row 1 is copied to row 1 and so on;
    rows that the source lacks are zero. What transfers is how z and h are combined, not which actions follow.

    source: (A_source (D_source + 1),) -> (A (D + 1),). Raises `ConfigError` where the source is no such vector.
    """
    if len(source) % source_outputs:
        raise ConfigError(
            f"the source's controller has {len(source)} parameters: expected a multiple of its {source_outputs} outputs"
        )
    weights = source[:-source_outputs].reshape(source_outputs, -1)
    rows, columns = min(source_outputs, outputs), min(weights.shape[1], input_size)
    start, bias = np.zeros((outputs, input_size)), np.zeros(outputs)
    start[:rows, :columns] = weights[:rows, :columns]
    bias[:rows] = source[-source_outputs:][:rows]
    return np.concatenate([start.ravel(), bias])
