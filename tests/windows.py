"""What ``env.view=follow`` shows, cut by hand from stock Gymnasium's picture."""

import numpy as np


def followed(picture, world):
    """256×256 pixels of the walker's picture around its hull, or as near as the picture has them."""
    left = int(600 + 30 * max(0.0, world.scroll)) - 600  # of the picture, whose surface grows as it scrolls
    column, row = 30 * world.hull.position[0] - left, 400 - 30 * world.hull.position[1]
    columns, rows = (np.arange(256) + int(np.rint(middle)) - 128 for middle in (column, row))
    columns, rows = columns - max(columns[-1] - 599, 0), rows - max(rows[-1] - 399, 0)
    columns, rows = columns - min(columns[0], 0), rows - min(rows[0], 0)
    return picture[np.ix_(rows, columns)]
